"""The model card of a prepared record: everything a reader must know, and every name as text."""

import copy
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from search.records.study import StudyRecord
from studies.promotion.model_card import model_card
from tests.dashboards.studies import FACTS, PROMOTION, Builder
from trainables.settings import TrialSettings

CLASSES = ["background", "soil", "bed|rock", "<sand>", "big rock"]
RECORD: dict[str, Any] = PROMOTION | {
    "chosen_by": "mean over replicates",
    "channels": 3, "versions": {"python": "3.12.1", "torch": "2.15.0"},
    "gap": -0.05,
    "choice": {
        "seeds": 3, "kind": "screen", "images": 32, "resampling": "groups", "optimism": 0.02, "seed_sd": 0.01,
        "winner": 0, "pairs": [{"trials": [0, 1], "difference": 0.01, "se": 0.02, "p_holm": 0.6}],
        "finalists": [
            {"trial": 0, "pruned": False, "value": 0.66, "left_out": None, "mean": 0.64, "sd": 0.01,
             "interval": [0.6, 0.68], "device_s": 1800.0, "runs": [0, 1, 2]},
            {"trial": 1, "pruned": False, "value": 0.65, "left_out": "diverged with seed 2"},
        ],
    },
}  # fmt: skip
PIXELS = {"class_pixels": {"train": [50, 30, 15, 5, 0], "validation": [60, 20, 10, 9, 1]}}
TEST: dict[str, Any] = {
    "iou": dict(zip(CLASSES, [0.8, 0.7, 0.65, 0.62, None], strict=True)),
    "interval": [0.55, 0.66],
    "iou_interval": {name: None if name == "big rock" else [0.5, 0.9] for name in CLASSES},
    "images_with": dict(zip(CLASSES, [40, 40, 30, 12, 0], strict=True)),
    "unreliable": ["<sand>"],
    "worst": [{"image": "scene_07", "miou": 0.1234}, {"image": "a_b", "miou": 0.2}],
    "resampling": {"words": "bootstrap of 8 groups", "conditional": True},
}


@pytest.fixture
def study(tmp_path: Path) -> StudyRecord:
    builder = Builder(tmp_path, facts=FACTS | {"class_names": CLASSES, **PIXELS, "leak": {"images": 3, "of": 32}})
    builder.trial([0.4, 0.5], TrialState.COMPLETE, "finished")
    builder.trial([0.3], TrialState.PRUNED, "pruned")
    record = copy.deepcopy(RECORD)
    record["test"] |= TEST
    record["validation"]["iou"] = dict.fromkeys(CLASSES, 0.7)
    builder.study.set_user_attr("promotion", record)
    return builder.read()


def lines(card: str) -> set[str]:
    return set(card.splitlines())


def test_a_card_tells_data_search_choice_figures_and_limits(study: StudyRecord) -> None:
    card = model_card(study, TrialSettings(), "terrain")
    params = study.trials[0].params
    assert {
        "| images | 96 train, 32 validation |",
        f"| optimizer.lr | 0.0001 to 0.1, log | {params['optimizer.lr']:.4g} |",
        "| model.depth | 2 to 4 | " + str(params["model.depth"]) + " |",
        "Budget: 20 trials. Spent: 2 trials (1 complete, 1 pruned), 0.00 device-hours.",
        "Replicates of the finalists: 3 runs, 1.50 device-hours.",
        "| chosen | mean over replicates |",
        "| 0 | 0.6600 | 0.6400 | 0.0100 | 0.6000 to 0.6800 | 30 min 0 s | promoted |",
        "| mIoU | 0.6512 | 0.6012 | 0.5500 to 0.6600 |  |",
        r"| IoU bed\|rock | 0.7000 | 0.6500 | 0.5000 to 0.9000 |  |",
        r"| IoU \<sand\> | 0.7000 | 0.6200 | 0.5000 to 0.9000 | in 12 images: unreliable |",
        r"- In too few test images for an interval to be relied on: \<sand\>.",
        "- Without a pixel in the test split, so nothing is known of them: big rock.",
        "- 3 seeds are a screen; a claim that the finalists differ needs 5.",
        "- initial weights: random",
        r"| bed\|rock | 15.00% | 10.00% | 30 |",
        r"Lowest mIoU of a single test image, over the classes that it has: scene\_07 (0.1234), a\_b (0.2000).",
        r"- labels: 0 background, 1 soil, 2 bed\|rock, 3 \<sand\>, 4 big rock",
        "mlflow models serve -m models:/terrain@champion --env-manager local --port 5001",
        "image = numpy.asarray(PIL.Image.open('picture.png').convert('RGB'))[None]",
        "python 3.12.1, torch 2.15.0",
    } <= lines(card)
    assert "3 of 32 validation images are the same or nearly the same as training" in card
    assert "in opening 2 of this test split" in card
    assert "(opening 2: more data)" in card
    assert "conditional on these sequences" in card
    assert f"weights (SHA-256): `{'w' * 64}`" in card


def test_every_row_of_a_table_has_as_many_cells_as_its_heading(study: StudyRecord) -> None:
    for part in model_card(study, TrialSettings(), "terrain").split("\n\n"):
        if part.startswith("|"):
            cells = {line.replace(r"\|", "").count("|") for line in part.splitlines()}
            assert len(cells) == 1, part


def test_a_trial_that_the_user_named_was_compared_with_nothing(study: StudyRecord) -> None:
    record = {key: value for key, value in study.facts["promotion"].items() if key != "choice"}
    study.facts["promotion"] = record | {"chosen_by": "named by the user", "opening": 1, "again": None}
    card = model_card(study, TrialSettings(), "terrain")
    assert "chosen by: named by the user" in card
    assert "- Chosen without replicates: what other seeds would give is not known." in lines(card)
    assert "had been opened before" not in card


def test_a_row_was_not_searched(study: StudyRecord) -> None:
    study.facts["promotion"] |= {"row": "wide", "seed": 6}
    study.settings["rows"] = {"wide": {"set": {"model.width": 64}}}
    card = model_card(study, TrialSettings(), "terrain-wide")
    assert "nothing was searched for it" in card
    assert "| model.width | 64 |" in lines(card)
    assert "## Search" not in card
    assert "| sampler |" not in card


def test_a_name_is_quoted_in_commands_and_what_was_opened_together_is_told(study: StudyRecord) -> None:
    study.facts["promotion"] |= {"opened_with": ["row a*b, seed 0", "row c, seed 0"], "channels": 1}
    card = model_card(study, TrialSettings(), "it's; $(mine)")
    assert """contourney predict 'models:/it'"'"'s; $(mine)@champion' picture.png --output masks""" in lines(card)
    assert "image = numpy.asarray(PIL.Image.open('picture.png').convert('L'))[None, ..., None]" in lines(card)
    assert r"together with row a\*b, seed 0 and row c, seed 0; chosen by" in card
    assert (
        r"- Evaluated together with row a\*b, seed 0 and row c, seed 0: the highest of several test figures would be "
        "optimistic." in lines(card)
    )


def test_a_refit_has_seen_the_validation_images(study: StudyRecord) -> None:
    study.facts["promotion"] |= {"refit": {"epochs": 12, "images": 128}}
    card = model_card(study, TrialSettings(), "terrain")
    assert "Refit of the winner: 12 epochs on 128 images." in lines(card)
    assert (
        "- Trained on the validation images too: the figures on validation are those of the run that it repeats."
        in (lines(card))
    )


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("download", r"- initial weights: timm's resnet18.a1\_in1k, licence apache-2.0"),
        ("/w/encoder.pt", "- initial weights: the file /w/encoder.pt, whose licence is not recorded"),
    ],
)
def test_the_licence_of_initial_weights_as_far_as_it_is_known(study: StudyRecord, weights: str, expected: str) -> None:
    model = {"name": "smp_unet", "encoder": "resnet18", "weights": weights}
    assert expected in lines(model_card(study, TrialSettings.model_validate({"model": model}), "terrain"))
