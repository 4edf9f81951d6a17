"""One opening of the test split for several: what is written, in which order, and what goes on after a kill."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from dashboards.figures.promoted_pictures import promoted_pictures_table
from dashboards.masks import read_pictures
from search.records.study import read_study
from studies.confirmatory.confirm import promotions
from studies.confirmatory.table import row_table
from studies.files.study_settings import CONFIRM
from studies.promotion.promote import promote
from studies.promotion.replicates import digest_of
from studies.promotion.table import opening_table
from studies.promotion.vault import TestVault, VaultError
from studies.stored import StudyError, confirm_study, open_study
from studies.workspace import Workspace
from tests.studies.prepared import copied
from tests.studies.promotion.trained import NAME, WIDE

# MLflow warns of type hints of its own; the command line shows no warnings.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]


def test_killed_again_and_again_it_is_one_opening_with_one_result_each(together: tuple[Workspace, list[Any]]) -> None:
    place, records = together
    assert [(record["row"], record["opening"]) for record in records] == [("plain", 1), (WIDE, 1)]
    assert [record["opened_with"] for record in records] == [[f"row {WIDE}, seed 0"], ["row plain, seed 0"]]
    opening, *results = TestVault(place.storage, records[0]["fingerprint"]).entries()
    folders = [place.trial_folder(NAME + CONFIRM, number) for number in (0, 1)]
    assert opening["subjects"] == [
        {"study": NAME + CONFIRM, "trial": number, "row": row, "seed": 0, "weights": digest_of(folder / "best.pt")}
        for number, (row, folder) in enumerate(zip(("plain", WIDE), folders, strict=True))
    ]
    assert [(entry["kind"], entry["subject"]) for entry in results] == [
        ("result", subject) for subject in opening["subjects"]
    ]
    assert [entry["result"]["miou"] for entry in results] == [record["test"]["miou"] for record in records]
    assert [entry["hash"] for entry in results] == [record["head"] for record in records]
    # What is kept with the study is what is returned; the table of the rows shows both.
    kept = confirm_study(NAME, place)
    assert kept is not None
    assert promotions(kept) == dict(enumerate(records))
    found = {row.name: row.test_miou for row in row_table(NAME, place).rows}
    assert [found[row].mean for row in ("plain", WIDE) if found[row]] == [record["test"]["miou"] for record in records]
    assert opening_table(records).row_count == 2


def test_each_is_registered_once_under_a_name_of_its_own(together: tuple[Workspace, list[Any]]) -> None:
    place, records = together
    client = MlflowClient(place.tracking)
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`contourney.role` = 'promotion'")
    assert {run.info.run_id for run in runs} == {record["mlflow_run_id"] for record in records}
    for record, name in zip(records, (f"{NAME}-plain", f"{NAME}-{WIDE}"), strict=True):
        (version,) = client.search_model_versions(f'name = "{name}"')
        assert (version.run_id, record["model"]) == (record["mlflow_run_id"], name)
        assert client.get_model_version_by_alias(name, "champion").run_id == version.run_id
        assert client.get_run(version.run_id).data.metrics["test/miou"] == record["test"]["miou"]


def test_another_opening_of_the_same_needs_a_reason_and_names_both(together: tuple[Workspace, list[Any]]) -> None:
    place, records = together
    words = (
        rf"opening 1: .* row plain, seed 0, mIoU {records[0]['test']['miou']:.4f}\n"
        rf".*opening 1: .* row {WIDE}, seed 0, mIoU {records[1]['test']['miou']:.4f}"
    )
    for rows in (("plain", WIDE), ("plain",)):
        with pytest.raises(VaultError, match=words):
            promote(NAME, place, rows=rows)
    assert len(TestVault(place.storage, records[0]["fingerprint"]).entries()) == 3


def test_the_worst_images_are_those_of_the_matrices_and_their_pictures_are_kept(
    together: tuple[Workspace, list[Any]],
) -> None:
    place, records = together
    for number, record in enumerate(records):
        folder = place.trial_folder(NAME + CONFIRM, number)
        with np.load(folder / "test_per_image_confusion.npz") as kept:
            names, counts_NKK = kept["names"].tolist(), kept["counts_NKK"]
        scores = {name: plain_miou(counts_KK) for name, counts_KK in zip(names, counts_NKK.tolist(), strict=True)}
        worst = sorted(names, key=lambda name: (scores[name], name))[:3]
        assert [one["image"] for one in record["test"]["worst"]] == worst
        assert [one["miou"] for one in record["test"]["worst"]] == pytest.approx([scores[name] for name in worst])
        # Evenly chosen ones first, then the worst that are none of these; each gives its matrix again.
        pictures = read_pictures(folder / "test_pictures.npz")
        evenly = [names[0], names[-1]]
        assert [one.name for one in pictures] == evenly + [name for name in worst if name not in evenly]
        for one in pictures:
            counts_KK = np.zeros_like(counts_NKK[0])
            np.add.at(counts_KK, (one.truth_HW.ravel(), one.prediction_HW.ravel()), 1)
            assert (counts_KK == counts_NKK[names.index(one.name)]).all()


def plain_miou(counts_KK: list[list[int]]) -> float:
    """Of one image with loops alone: mean IoU of the classes it has."""
    classes = range(len(counts_KK))
    found = []
    for k in classes:
        target, predicted = sum(counts_KK[k]), sum(counts_KK[j][k] for j in classes)
        if target:
            found.append(counts_KK[k][k] / (target + predicted - counts_KK[k][k]))
    return sum(found) / len(found)


def test_declared_rows_are_evaluated_in_the_winners_opening(few: Workspace, tmp_path: Path) -> None:
    place = copied(few.root, tmp_path / "w")
    records = promote(NAME, place)
    assert [(record.get("row"), record["opening"]) for record in records] == [(None, 1), ("plain", 1)]
    assert [record["model"] for record in records] == [NAME, f"{NAME}-plain"]
    assert [record["chosen_by"] for record in records] == [
        "best single value of the search",
        "listed in promotion.rows",
    ]
    assert open_study(NAME, place).user_attrs["promotion"] == records[0]
    opening, *_ = TestVault(place.storage, records[0]["fingerprint"]).entries()
    assert [subject["study"] for subject in opening["subjects"]] == [NAME, NAME + CONFIRM]
    # The study's page shows them.
    pictures = promoted_pictures_table(read_study(place.storage, NAME, place.root))
    assert {row["picture"] for row in pictures} >= {one["image"] for one in records[0]["test"]["worst"]}


def test_what_cannot_be_promoted_together_opens_nothing(few: Workspace, tmp_path: Path) -> None:
    place = copied(few.root, tmp_path / "w")
    with pytest.raises(StudyError, match="row 'plain' of study 'few' has no complete run with seed 7"):
        promote(NAME, place, rows=("plain", WIDE), seed=7)
    with pytest.raises(StudyError, match="has no row 'narrow'; expected one of: plain, w'ide"):
        promote(NAME, place, rows=("plain", "narrow"))
    (place.trial_folder(NAME + CONFIRM, 0) / "best.pt").unlink()
    with pytest.raises(StudyError, match="trial 0 has no weights"):
        promote(NAME, place)
    assert "contourney-vault" not in {study.study_name for study in open_study(NAME, place)._storage.get_all_studies()}
