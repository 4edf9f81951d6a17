"""`contourney report --worst-images` and `--figures` on a study whose trials were really trained."""

import json
import shutil
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from dashboards.browser import BROWSERS
from dashboards.extremes import COUNTS, PICTURES, find_extremes
from dashboards.figures.extremes import extremes_table
from dashboards.report import study_figures
from search.records.study import read_study
from search.storage import open_storage
from studies.files.study_settings import StudySettings
from studies.stored import save_settings
from studies.workspace import Workspace
from tests.studies.commands import Call, caller
from trainables.data.dataset import prepare
from trainables.data.splits import Split
from trainables.fit import fit

pytestmark = pytest.mark.slow

NAME = "terrain"
RATES = (1e-3, 3e-3, 1e-2, 1e-4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study of four complete trials; the weights of the third best were dropped."""
    place = Workspace.open(tmp_path_factory.mktemp("worst") / "w")
    trial = {"epochs": 1, "data": {"format": "terrain", "terrain": {"images": 16}}, "model": {"width": 2, "depth": 2}}
    settings = StudySettings.model_validate({"name": NAME, "trial": trial, "search": {"trials": len(RATES)}})
    study = optuna.create_study(study_name=NAME, storage=open_storage(place.storage, write=True), direction="maximize")
    save_settings(study, settings)
    data = prepare(settings.trial.data, Split.VALIDATION, place.cache)
    facts = {"class_names": list(data.class_names), "fingerprints": {"validation": data.fingerprint}}
    study.set_user_attr("facts", facts | {"split": "validation"})
    for number, rate in enumerate(RATES):
        study.enqueue_trial({"optimizer.lr": rate})
        asked, folder = study.ask(), place.trial_folder(NAME, number)
        asked.suggest_float("optimizer.lr", 1e-4, 1e-2, log=True)
        own = settings.trial.model_copy(update={"optimizer": settings.trial.optimizer.model_copy(update={"lr": rate})})
        list(fit(own, folder, place.cache))
        (row,) = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
        asked.report(row["value"], 1)
        asked.set_user_attr("folder", str(folder.relative_to(place.root)))
        asked.set_user_attr("best_epoch", 1)
        study.tell(asked, row["value"], state=TrialState.COMPLETE)
    (place.trial_folder(NAME, ranking(study)[2]) / "best.pt").unlink()
    return place


def ranking(study: optuna.Study) -> list[int]:
    return [trial.number for trial in sorted(study.trials, key=lambda one: (-(one.value or 0), one.number))]


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trained: Workspace, tmp_path: Path
) -> Call:
    called = caller(capsys, monkeypatch)
    output = str(tmp_path / "report.html")
    return lambda *more: called("report", NAME, "--output", output, "--workspace", str(trained.root), *more)


def test_the_best_trials_predict_the_same_images_and_their_matrices_give_their_miou(
    call: Call, trained: Workspace, tmp_path: Path
) -> None:
    study = optuna.load_study(study_name=NAME, storage=open_storage(trained.storage))
    order = ranking(study)
    code, out, err = call("--worst-images")
    assert (code, err) == (0, "")
    with_weights = [order[0], order[1], order[3]]
    assert out.splitlines()[0] == (
        f"{NAME}: worst and best images of each class with trials {', '.join(map(str, with_weights))}"
    )
    names: list[list[str]] = []
    for number in with_weights:
        folder = trained.trial_folder(NAME, number)
        with np.load(folder / COUNTS) as kept, np.load(folder / PICTURES) as pictures:
            counts_NKK, all_names = kept["counts_NKK"], kept["names"].tolist()
            names.append(pictures["names"].tolist())
            for index, name in enumerate(names[-1]):
                truth, prediction = pictures[f"truth_{index}"], pictures[f"prediction_{index}"]
                valid = truth != 255
                pairs = np.stack([truth[valid], prediction[valid]])
                expected = np.zeros_like(counts_NKK[0])
                np.add.at(expected, tuple(pairs), 1)
                assert (counts_NKK[all_names.index(name)] == expected).all()
        counts_KK = counts_NKK.sum(axis=0)
        right_K, target_K = counts_KK.diagonal(), counts_KK.sum(axis=1)
        ious = (right_K / (target_K + counts_KK.sum(axis=0) - right_K))[target_K > 0]
        assert ious.mean() == pytest.approx(study.trials[number].value, abs=5e-7)
        if number == order[0]:
            expected_names = {all_names[one.image] for one in find_extremes(counts_NKK)}
            assert set(names[0]) == expected_names
    assert names == [names[0]] * 3
    assert not (trained.trial_folder(NAME, order[2]) / COUNTS).exists()
    rows = extremes_table(read_study(trained.storage, NAME, trained.root))
    assert [key for key in rows[0] if key.startswith("IoU")] == [f"IoU, trial {number}" for number in with_weights]
    page = (tmp_path / "report.html").read_text()
    assert "Worst and best images of each class" in page and "Worst images, trial by trial" in page


def test_weights_that_were_dropped_are_named_and_no_page_is_written(
    call: Call, trained: Workspace, tmp_path: Path
) -> None:
    study = optuna.load_study(study_name=NAME, storage=open_storage(trained.storage))
    best = trained.trial_folder(NAME, ranking(study)[0]) / "best.pt"
    shutil.move(best, tmp_path / "kept.pt")
    try:
        code, _, err = call("--worst-images")
        assert code == 2
        assert f"trial {ranking(study)[0]} has no weights: expected" in err
        assert not (tmp_path / "report.html").exists()
    finally:
        shutil.move(tmp_path / "kept.pt", best)


def test_other_data_are_refused(call: Call, trained: Workspace, tmp_path: Path) -> None:
    study = optuna.load_study(study_name=NAME, storage=open_storage(trained.storage, write=True))
    facts = study.user_attrs["facts"]
    study.set_user_attr("facts", facts | {"fingerprints": {"validation": "0" * 64}})
    try:
        code, _, err = call("--worst-images")
        assert code == 2
        assert "are not those it was launched with (fingerprint " in err
        assert not (tmp_path / "report.html").exists()
    finally:
        study.set_user_attr("facts", facts)


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no browser: apt-get install chromium")
def test_every_figure_is_a_file_with_the_traces_it_has(call: Call, trained: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    code, out, err = call("--worst-images", "--figures", str(folder), "--format", "svg")
    assert (code, err) == (0, "")
    figures = {
        key: figure
        for key, figure in study_figures(read_study(trained.storage, NAME, trained.root)).items()
        if figure.layout.meta["missing"] is None
    }
    assert out.splitlines()[-1] == f"{len(figures)} figures in {folder}"
    assert {path.name for path in folder.iterdir()} == {f"{key}.svg" for key in figures}
    assert {"history", "curves", "class-iou", "pictures", "extremes", "cost", "slice-optimizer.lr"} <= set(figures)
    for key, figure in figures.items():
        root = ElementTree.parse(folder / f"{key}.svg").getroot()
        kinds = [set((one.get("class") or "").split()) for one in root.iter()]
        drawn = {
            "scatter": sum({"trace", "scatter"} <= kind for kind in kinds),
            "bar": sum({"trace", "bars"} <= kind for kind in kinds),
            "heatmap": sum("hm" in kind for kind in kinds),
        }
        asked = Counter(trace.type for trace in figure.data)
        assert drawn == {kind: asked[kind] for kind in drawn}, key
        assert sum(asked.values()) == sum(drawn.values()), key
        if figure.layout.images:
            images = list(root.iter("{http://www.w3.org/2000/svg}image"))
            assert len(images) == len(figure.layout.images), key
