"""Importance per class against Optuna's evaluator on a study whose objective is that class's IoU."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial

from dashboards.figures.importance_classes import draw_importance_classes, importance_classes_table
from search.records.study import StudyRecord
from tests.dashboards.studies import FACTS, Builder


def with_ious(builder: Builder, count: int, ious: Callable[[dict[str, Any]], list[float | None]]) -> StudyRecord:
    """A study of so many trials of one epoch whose IoU per class is a function of their parameters."""
    for _ in range(count):
        trial = builder.trial([0.5], TrialState.COMPLETE, "finished")
        path = builder.folder(trial) / "epochs.jsonl"
        row = json.loads(path.read_text())
        row["arrays"]["val/iou"] = ious(trial.params)
        path.write_text(json.dumps(row) + "\n")
    return builder.read()


def rates_and_sets(params: dict[str, Any]) -> list[float | None]:
    """Frequent classes follow the rate, the rarest the augmentation; one is always 0, one undefined."""
    rate, fine = params["optimizer.lr"], 0.001 * params["model.depth"]
    return [0.8 - rate + fine, 0.7 - 2 * rate, 0.0, None, 0.1 + 0.3 * (params["augment.set"] == "terrain")]


def test_each_class_has_optunas_shares_on_its_own_iou(builder: Builder) -> None:
    study = with_ious(builder, 30, rates_and_sets)
    rows = importance_classes_table(study)
    for index, name in ((0, "background"), (1, "soil")):
        reference = optuna.create_study(direction="maximize")
        for trial in study.trials:
            iou = trial.rows[0].arrays["val/iou"][index]
            reference.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=iou))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = PedAnovaImportanceEvaluator(target_quantile=5 / 30).evaluate(reference)
            expected = get_param_importances(reference, evaluator=PedAnovaImportanceEvaluator(target_quantile=5 / 30))
        found = {row["parameter"]: row["importance"] for row in rows if row["class"] == name}
        # What too few of the best trials had is not judged: the others' proportions stay.
        assert found == pytest.approx({path: raw[path] / sum(raw[one] for one in found) for path in found})
        assert next(iter(found)) == next(iter(expected)) == "optimizer.lr"


def test_the_rare_class_names_the_parameter_that_helps_it_and_what_the_best_used(builder: Builder) -> None:
    study = with_ious(builder, 30, rates_and_sets)
    rows = importance_classes_table(study)
    # By share of the training pixels: 0.3, 0.2, 0.002; the class that is always 0 and the undefined one have none.
    assert list(dict.fromkeys(row["class"] for row in rows)) == ["soil", "background", "big rock"]
    rare = [row for row in rows if row["class"] == "big rock"]
    assert rare[0]["parameter"] == "augment.set"
    sets = next(row for row in rare if row["parameter"] == "augment.set")
    terrain = sum(trial.params["augment.set"] == "terrain" for trial in study.trials)
    assert sets["used by the best"].startswith(f"terrain ({sets['best trials']} of {sets['best trials']}")
    assert sets["used by all"] == f"terrain ({terrain} of 30)"
    notes = draw_importance_classes(study).layout.meta["notes"]
    assert "Not judged, undefined or the same in too many trials: bedrock, sand." in notes
    for name in ("soil", "background", "big rock"):
        assert sum(row["importance"] for row in rows if row["class"] == name) == pytest.approx(1.0)


def test_the_heat_map_has_the_tables_shares_and_says_what_it_shows(builder: Builder) -> None:
    study = with_ious(builder, 12, rates_and_sets)
    rows = importance_classes_table(study)
    figure = draw_importance_classes(study)
    shown = [cell for line in figure.data[0].z for cell in line if cell is not None]
    assert sorted(shown) == pytest.approx(sorted(row["importance"] for row in rows))
    assert list(figure.layout.xaxis.ticktext) == ["soil<br>30.0%", "background<br>20.0%", "big rock<br>0.2%"]
    words = figure.layout.meta["subtitle"]
    assert "12 trials (12 complete)" in words and "validation split (32 images) at epoch 1" in words


def test_classes_the_data_does_not_name_have_numbers_and_their_own_order(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    builder = Builder(tmp_path_factory.mktemp("own"), facts={**FACTS, "class_names": ["a"]})
    rows = importance_classes_table(with_ious(builder, 12, rates_and_sets))
    assert list(dict.fromkeys(row["class"] for row in rows)) == ["class 0", "class 1", "class 4"]


def test_what_is_missing_is_said(builder: Builder) -> None:
    assert "0 ended trials" in draw_importance_classes(builder.read()).layout.meta["missing"]
    for _ in range(3):
        builder.folder(builder.trial([0.5], TrialState.COMPLETE, "finished")).joinpath("epochs.jsonl").unlink()
    study = builder.read()
    assert importance_classes_table(study) == []
    assert "The rows of 3 trials are not here: expected " in draw_importance_classes(study).layout.meta["missing"]
