from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.records.live import LiveRecords
from search.records.study import RecordError, read_study
from tests.dashboards.studies import Builder


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def test_it_reads_what_a_single_look_reads_and_grows_with_it(builder: Builder) -> None:
    records = LiveRecords(builder.storage)
    builder.trial(3, TrialState.COMPLETE, "finished")
    running = builder.trial([0.2], None, None)
    assert records.names() == ["terrain"]
    before = records.read("terrain")
    once = read_study(builder.storage, "terrain")
    own = [{key: value for key, value in vars(trial).items() if key != "index"} for trial in before.study.trials]
    assert own == [vars(trial) for trial in once.trials]
    assert before.study == replace(once, trials=before.study.trials)
    assert [trial.rows for trial in before.study.trials] == [trial.rows for trial in once.trials]
    assert records.read("terrain") is before
    running.report(0.4, step=2)
    after = records.read("terrain")
    assert after.revision != before.revision
    assert after.study.trials[1].values == {1: 0.2, 2: 0.4}
    # What did not change is not read again.
    assert after.study.trials[0] is before.study.trials[0]


def test_an_attribute_of_the_study_is_a_change_and_another_study_is_none(builder: Builder, tmp_path: Path) -> None:
    records = LiveRecords(builder.storage)
    first = records.read("terrain")
    Builder(tmp_path, "other")
    assert records.read("terrain").revision == first.revision
    builder.study.set_user_attr("driver_s", 200.0)
    assert records.read("terrain").study.facts["driver_s"] == 200.0


def test_a_storage_may_come_later_and_a_study_may_go(tmp_path: Path) -> None:
    records = LiveRecords(str(tmp_path / "optuna.journal"), tmp_path)
    assert records.names() == []
    builder = Builder(tmp_path)
    assert records.read("terrain").study.trials == ()
    optuna.delete_study(study_name="terrain", storage=builder.study._storage)
    assert records.names() == []
    with pytest.raises(RecordError, match="no study 'terrain'"):
        records.read("terrain")
    (tmp_path / "optuna.journal").rename(tmp_path / "moved")
    assert records.names() == []
    Builder(tmp_path, "another")
    assert records.names() == ["another"]


def test_a_folder_outside_of_the_workspace_is_not_read(builder: Builder, tmp_path: Path) -> None:
    for folder in ("../elsewhere", "/etc", "studies/../../elsewhere"):
        builder.ask().set_user_attr("folder", folder)
    for trial in LiveRecords(builder.storage).read("terrain").study.trials:
        assert trial.folder == tmp_path / "no-such-folder"


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution should be")
def test_equal_distributions_are_one_object_and_choices_may_be_lists(builder: Builder) -> None:
    for _ in range(2):
        builder.trial(1, TrialState.COMPLETE, "finished")
    builder.study.ask().suggest_categorical("sizes", [[1, 2], [3]])  # type: ignore[list-item]
    first, second, third = LiveRecords(builder.storage).read("terrain").study.trials
    for path in first.distributions.keys() & second.distributions.keys():
        assert first.distributions[path] is second.distributions[path]
    assert third.params["sizes"] in ([1, 2], [3])


def test_a_database_is_asked_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = optuna.create_study(study_name="s", storage=url)
    records = LiveRecords(url, tmp_path)
    study.tell(study.ask(), 0.5)
    first = records.read("s")
    assert [trial.value for trial in first.study.trials] == [0.5]
    study.tell(study.ask(), 0.25)
    assert [trial.value for trial in records.read("s").study.trials] == [0.5, 0.25]
    assert records.read("s").study.trials[0] is first.study.trials[0]


def test_a_journal_damaged_meanwhile_is_said(builder: Builder, tmp_path: Path) -> None:
    records = LiveRecords(builder.storage)
    records.read("terrain")
    with (tmp_path / "optuna.journal").open("a") as journal:
        journal.write("no record\n{}\n")
    with pytest.raises(RecordError, match=r"optuna\.journal cannot be read"):
        records.read("terrain")
