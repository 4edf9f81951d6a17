import json
import math
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from search.records.study import RecordError, read_rows, read_study
from search.storage import StorageError
from tests.dashboards.studies import FACTS, PROMOTION, Builder, write_row


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def test_a_study_is_read_as_it_was_written(builder: Builder) -> None:
    builder.trial([0.2, 0.5, 0.4], TrialState.COMPLETE, "finished")
    builder.trial([0.2, 0.1], TrialState.PRUNED, "diverged", audit=True)
    builder.trial([0.3], None, None)
    study = builder.read()
    assert (study.name, study.maximize, study.metric) == ("terrain", True, "validation mIoU")
    assert study.facts["class_names"] == FACTS["class_names"]
    assert study.facts["budget"] == {"trials": 20, "hours": None}
    assert study.facts["driver_s"] == 157.0
    assert "promotion" not in study.facts
    complete, diverged, running = study.trials
    assert (complete.state, complete.reason, complete.value, complete.best_epoch) == ("COMPLETE", "finished", 0.5, 2)
    assert complete.values == {1: 0.2, 2: 0.5, 3: 0.4}
    assert set(complete.params) == set(complete.distributions)
    assert not complete.violated and not complete.audit
    # Optuna gives a pruned trial its last value.
    assert (diverged.state, diverged.value, diverged.violated, diverged.audit) == ("PRUNED", 0.1, True, True)
    assert (running.state, running.value, running.ended_s) == ("RUNNING", None, None)
    assert running.started_s is not None and complete.ended_s is not None
    assert [row.epoch for row in complete.rows] == [1, 2, 3]
    assert complete.rows is complete.rows
    assert complete.rows[1].arrays["val/iou"][:2] == pytest.approx([0.6, 0.5])
    assert math.isnan(complete.rows[1].arrays["val/iou"][4])


def test_reading_changes_no_file(builder: Builder) -> None:
    builder.trial([0.2], TrialState.COMPLETE, "finished")
    before = {path: path.read_bytes() for path in sorted(builder.root.rglob("*")) if path.is_file()}
    assert builder.read().trials[0].rows
    assert {path: path.read_bytes() for path in sorted(builder.root.rglob("*")) if path.is_file()} == before


def test_a_promotion_is_among_the_facts(builder: Builder) -> None:
    builder.study.set_user_attr("promotion", PROMOTION)
    assert builder.read().facts["promotion"] == PROMOTION


def test_a_missing_study_is_named_with_those_there_are(builder: Builder) -> None:
    with pytest.raises(RecordError, match=r"no study 'other' in .*; expected one of: 'terrain'"):
        read_study(builder.storage, "other")


def test_a_missing_storage_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="expected Optuna's journal at"):
        read_study(str(tmp_path / "optuna.journal"), "s")
    with pytest.raises(StorageError, match="expected an SQLite database at"):
        read_study(f"sqlite:///{tmp_path / 'optuna.db'}", "s")
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_two_objectives_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    optuna.create_study(study_name="two", storage=url, directions=["maximize", "minimize"])
    with pytest.raises(RecordError, match="study 'two' has 2 objectives"):
        read_study(url, "two")


def test_a_study_of_another_tool_in_a_database_is_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = optuna.create_study(study_name="plain", storage=RDBStorage(url), direction="minimize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    record = read_study(url, "plain", root=tmp_path)
    assert (record.maximize, record.metric, record.settings) == (False, "objective value", {})
    assert [trial.state for trial in record.trials] == ["COMPLETE", "COMPLETE"]
    assert record.trials[0].rows == ()


def test_folders_lie_under_the_root_that_is_given(builder: Builder, tmp_path: Path) -> None:
    builder.trial([0.2], TrialState.COMPLETE, "finished")
    moved = read_study(builder.storage, builder.name, root=tmp_path / "elsewhere")
    assert moved.trials[0].folder.is_relative_to(tmp_path / "elsewhere")
    assert moved.trials[0].rows == ()


def test_a_row_cut_short_by_a_crash_is_no_row(tmp_path: Path) -> None:
    write_row(tmp_path, 1, 0.5)
    write_row(tmp_path, 2, float("nan"))
    path = tmp_path / "epochs.jsonl"
    path.write_text(path.read_text() + '{"epoch": 3, "val')
    rows = read_rows(path)
    assert [row.epoch for row in rows] == [1, 2]
    assert rows[1].value is None and math.isnan(rows[1].metrics["val/miou"])


@pytest.mark.parametrize("line", ["not json", "[]", json.dumps({"epoch": 1}), json.dumps({"epoch": 1, "value": 1.0})])
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "epochs.jsonl"
    write_row(tmp_path, 1, 0.5)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(RecordError, match=r"epochs\.jsonl, line 2: expected one epoch's row as JSON"):
        read_rows(path)
