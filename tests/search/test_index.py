"""The index on disk: what a first look finds with it is what it finds without, and it may be deleted at any time."""

import copy
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search.records import index as index_module
from search.records.index import Index, index_path
from search.records.index_rows import pack
from search.records.live import LiveRecords, Loaded
from search.records.study import RecordError, Row, StudyRecord, TrialRecord, read_study
from search.storage import open_storage
from tests.dashboards.studies import Builder, write_row


class Looking:
    """A dashboard's reader of a workspace, with what it said."""

    def __init__(self, root: Path) -> None:
        self.said: list[str] = []
        storage = str(root / "optuna.journal")
        self.path = index_path(root / "cache", storage)
        self.records = LiveRecords(storage, root, Index(self.path, self.said.append))
        self.unindexed = self.records.unindexed
        self.loaded = self.records.load()

    def close(self) -> "Looking":
        self.records.close()
        return self


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """A study with trials of several states and two others, one of them deleted."""
    builder = Builder(tmp_path_factory.mktemp("prepared"))
    for _ in range(3):
        builder.trial(4, TrialState.COMPLETE, "finished")
    builder.trial([0.3, float("nan")], TrialState.PRUNED, "diverged")
    builder.trial([], TrialState.FAIL, "error", error="Traceback")
    builder.trial([0.2], None, None)
    for name in ("gone", "kept"):
        other = Builder(builder.root, name)
        other.study.tell(other.study.ask(), 0.5)
        other.study.enqueue_trial({"optimizer.lr": 0.01})
    optuna.delete_study(study_name="gone", storage=builder.study._storage)
    return builder


@pytest.fixture
def builder(prepared: Builder, tmp_path: Path) -> Builder:
    """The prepared study, of one's own."""
    shutil.copytree(prepared.root, tmp_path, dirs_exist_ok=True)
    builder = copy.copy(prepared)
    builder.root, builder.storage = tmp_path, str(tmp_path / "optuna.journal")
    builder.study = optuna.load_study(
        study_name="terrain",
        storage=JournalStorage(JournalFileBackend(builder.storage)),
        sampler=prepared.study.sampler,
    )
    return builder


def plain(study: StudyRecord) -> tuple[StudyRecord, list[dict[str, Any]]]:
    """A study with its rows, comparable: a NaN equals itself."""
    trials = [{one.name: repr(getattr(trial, one.name)) for one in fields(TrialRecord)} for trial in study.trials]
    return replace(study, trials=()), [
        {**found, "rows": repr(trial.rows), "device_s": trial.device_s, "row": repr(trial.row(2))}
        for found, trial in zip(trials, study.trials, strict=True)
    ]


def assert_true(looking: Looking, builder: Builder) -> None:
    for name in looking.records.names():
        found = plain(looking.records.read(name).study)
        assert found == plain(read_study(builder.storage, name, builder.root))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of lines of the journal that each reading gave."""
    counts: list[int] = []
    original = JournalFileBackend.read_logs

    def counting(self: JournalFileBackend, start: int) -> Any:
        counts.append(0)
        for log in original(self, start):
            counts[-1] += 1
            yield log

    monkeypatch.setattr(JournalFileBackend, "read_logs", counting)
    return counts


def test_the_second_start_reads_nothing_and_finds_the_same(builder: Builder, tmp_path: Path, lines: list[int]) -> None:
    first = Looking(tmp_path).close()
    size = len((tmp_path / "optuna.journal").read_text().splitlines())
    assert first.loaded == Loaded(trials=8, new_records=size, new_rows=4 * 3 + 2 + 1)
    assert first.loaded.words == f"index: 8 trials; {size} new records and 15 new epochs read"
    lines.clear()
    second = Looking(tmp_path)
    assert second.loaded == Loaded(8, 0, 0)
    assert second.loaded.words == "index: 8 trials, none changed since it was built; opened"
    assert (first.unindexed, second.unindexed) == (True, False)
    assert sum(lines) == 0
    assert_true(second, builder)
    assert first.said == second.said == []


def test_only_what_is_new_is_read_at_a_start_and_at_a_look(
    builder: Builder, tmp_path: Path, lines: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    Looking(tmp_path).close()
    running = builder.study.get_trials(deepcopy=False)[5]
    live = optuna.trial.Trial(builder.study, running._trial_id)
    write_row(builder.folder(live), 2, 0.4)
    live.report(0.4, step=2)
    lines.clear()
    later = Looking(tmp_path)
    assert sum(lines) == 1
    assert later.loaded == Loaded(8, 1, 2)
    monkeypatch.setattr("search.records.live.KEEP_S", -1.0)
    write_row(builder.folder(live), 3, 0.5)
    live.report(0.5, step=3)
    builder.trial(3, TrialState.COMPLETE, "finished")
    later.records.read("terrain")
    assert_true(later, builder)
    # Nothing was closed: a killed dashboard leaves what it kept.
    lines.clear()
    last = Looking(tmp_path)
    assert (last.loaded, sum(lines)) == (Loaded(9, 0, 0), 0)
    assert_true(last, builder)


def test_two_dashboards_keep_one_index(builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.records.live.KEEP_S", -1.0)
    one, other = Looking(tmp_path), Looking(tmp_path)
    for ahead, behind in ((one, other), (other, one)):
        builder.trial(2, TrialState.COMPLETE, "finished")
        ahead.records.read("terrain")
        builder.trial(3, TrialState.PRUNED, "pruned")
        ahead.records.read("terrain")
        behind.records.read("terrain")
        assert_true(Looking(tmp_path).close(), builder)
    one.close()
    other.close()
    last = Looking(tmp_path)
    assert last.loaded == Loaded(12, 0, 0)
    assert_true(last, builder)
    assert last.said == one.said == other.said == []


def test_a_study_made_anew_under_its_name_is_the_new_one(builder: Builder, tmp_path: Path, lines: list[int]) -> None:
    Looking(tmp_path).close()
    optuna.delete_study(study_name="terrain", storage=builder.study._storage)
    shutil.rmtree(tmp_path / "studies")
    again = Builder(tmp_path)
    again.trial([0.9], TrialState.COMPLETE, "finished")
    lines.clear()
    looking = Looking(tmp_path)
    assert 0 < sum(lines) < 30
    assert [trial.values for trial in looking.records.read("terrain").study.trials] == [{1: 0.9}]
    assert_true(looking, again)
    assert looking.said == []
    with closing(sqlite3.connect(looking.path)) as database:
        assert database.execute("select count(*) from rows").fetchone() == (1,)


def test_a_journal_that_proves_damaged_is_read_from_its_start_again(builder: Builder, tmp_path: Path) -> None:
    looking = Looking(tmp_path)
    with (tmp_path / "optuna.journal").open("a") as journal:
        journal.write('{"op_code": 6}\n{"op_code": 0, "worker_id": "w", "study_name": "late", "directions": [1]}\n')
    with pytest.raises((RecordError, KeyError)):
        looking.records.names()
    looking.close()
    with pytest.raises(RecordError, match="no record of Optuna's journal"):
        Looking(tmp_path)


def test_another_journal_at_the_same_place_is_read_from_its_start(builder: Builder, tmp_path: Path) -> None:
    Looking(tmp_path).close()
    (tmp_path / "optuna.journal").unlink()
    shutil.rmtree(tmp_path / "studies")
    again = Builder(tmp_path)
    for _ in range(12):
        again.trial(6, TrialState.COMPLETE, "finished")
    looking = Looking(tmp_path)
    assert_true(looking, again)
    assert len(looking.said) == 1
    assert "another journal was read" in looking.said[0] and "it is built anew" in looking.said[0]


def _delete(path: Path) -> None:
    path.unlink()


def _tear(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _overwrite(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _age(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("update about set value = '0, optuna 4.0' where key = 'version'")


def _lose(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("delete from trials where trial_id = 1")


def _spoil(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("""update trials set others = '{"params": {"nothing": 1}}'""")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_delete, None),
        (_empty, None),
        (_tear, "cannot be read"),
        (_overwrite, "cannot be read"),
        (_age, "is of another version (0, optuna 4.0; expected"),
        (_lose, "trials are missing"),
        (_spoil, "does not fit"),
    ],
)
def test_a_file_that_cannot_be_used_is_built_anew_and_that_is_said(
    builder: Builder, tmp_path: Path, harm: Callable[[Path], None], words: str | None
) -> None:
    first = Looking(tmp_path).close()
    harm(first.path)
    second = Looking(tmp_path).close()
    assert_true(second, builder)
    assert second.loaded == first.loaded
    if words is None:
        assert second.said == []
    else:
        assert len(second.said) == 1
        assert words in second.said[0] and second.said[0].endswith("it is built anew")
    assert Looking(tmp_path).loaded == Loaded(8, 0, 0)


@pytest.mark.parametrize("harm", [_delete, _overwrite])
def test_a_file_that_goes_while_it_is_used_is_missed_by_nobody(
    builder: Builder, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    looking = Looking(tmp_path)
    harm(looking.path)
    builder.trial(2, TrialState.COMPLETE, "finished")
    looking.records.read("terrain")
    assert_true(looking, builder)
    looking.close()
    last = Looking(tmp_path)
    assert_true(last, builder)
    assert last.loaded.trials == 9


def test_where_nothing_can_be_kept_the_records_are_read(builder: Builder, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    looking = Looking(tmp_path).close()
    assert_true(looking, builder)
    assert len(looking.said) == 1
    assert "is not used" in looking.said[0]
    assert looking.loaded.trials == 8


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'optuna.db'}"
    return str(request.getfixturevalue("postgres").database())


def test_a_database_is_asked_for_its_ended_trials_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> tuple[LiveRecords, int]:
        """A new dashboard that looks and ends; with it, how many trials the database gave."""
        given.clear()
        records = LiveRecords(url, tmp_path, Index(index_path(tmp_path / "cache", url), said.append))
        records.load()
        records.close()
        assert plain(records.read("s").study) == plain(read_study(url, "s", tmp_path))
        return records, given[0]

    given: list[int] = []
    said: list[str] = []
    original = optuna.storages.RDBStorage._get_trials

    def counting(self: Any, *arguments: Any, **named: Any) -> Any:
        found = original(self, *arguments, **named)
        given.append(len(found))
        return found

    monkeypatch.setattr(optuna.storages.RDBStorage, "_get_trials", counting)
    storage = open_storage(url, write=True)
    study = optuna.create_study(study_name="s", storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask({"lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)}) for _ in range(5)]
    trials[0].set_user_attr("folder", "t")
    (tmp_path / "t").mkdir()
    write_row(tmp_path / "t", 1, 0.5)
    for trial in trials:
        trial.report(0.5, 1)
    for number in (0, 2, 4):
        study.tell(trials[number], float(number))
    assert look()[1] == 5
    # Those that still ran are asked for again, and those that came.
    trials[1].report(0.7, 2)
    study.tell(trials[3], state=TrialState.PRUNED)
    study.tell(study.ask(), 9.0)
    records, count = look()
    assert count == 3
    assert records.load().new_rows == 0
    # A study that is made anew under its name, in SQLite under its ids too.
    optuna.delete_study(study_name="s", storage=storage)
    study = optuna.create_study(study_name="s", storage=storage)
    for _ in range(7):
        study.tell(study.ask(), 1.0)
    assert look()[1] == 7
    assert look()[1] == 0
    assert [words.partition(": it is built anew")[0].rpartition(" ")[2] for words in said] in ([], ["there)"])


def test_rows_that_changed_or_cannot_be_read_come_from_their_file(builder: Builder, tmp_path: Path) -> None:
    Looking(tmp_path).close()
    file = tmp_path / builder.study.trials[0].user_attrs["folder"] / "epochs.jsonl"
    write_row(file.parent, 5, 0.25)
    trial = Looking(tmp_path).records.read("terrain").study.trials[0]
    assert [row.epoch for row in trial.rows] == [1, 2, 3, 4, 5]
    file.write_text("no row\n")
    with pytest.raises(RecordError, match=r"epochs\.jsonl, line 1"):
        assert trial.rows
    with pytest.raises(RecordError, match=r"epochs\.jsonl, line 1"):
        assert trial.device_s
    file.unlink()
    assert (trial.rows, trial.device_s, trial.row(1)) == ((), None, None)


def test_rows_that_the_index_lost_come_from_their_file(builder: Builder, tmp_path: Path) -> None:
    looking = Looking(tmp_path)
    with closing(sqlite3.connect(looking.path)) as database, database:
        database.execute("update rows set numbers = x'00'")
    assert_true(looking, builder)
    assert len(looking.said) == 1 and "holds no rows of " in looking.said[0]


def test_rows_that_are_not_alike_stay_in_their_file() -> None:
    one = Row(1, 0.5, {"a": 1.0}, {"b": [1.0, 2.0]}, 1.0, 2.0, 0.5, "w", None)
    assert pack([]) is None
    assert pack([one, replace(one, epoch=2)]) is not None
    others: list[dict[str, Any]] = [{"metrics": {"c": 1.0}}, {"arrays": {"b": [1.0]}}, {"value": float("nan")}]
    for other in [*others, {"arrays": {}}]:
        assert pack([one, replace(one, **other)]) is None


def test_without_records_nothing_is_written(tmp_path: Path) -> None:
    looking = Looking(tmp_path).close()
    assert (looking.unindexed, looking.loaded) == (False, Loaded(0, 0, 0))
    assert list(tmp_path.iterdir()) == []


def test_another_optuna_makes_another_version() -> None:
    assert optuna.__version__ in index_module.VERSION
