"""Optuna's storage in a real PostgreSQL that is restarted under load, and in SQLite; the lease in PostgreSQL."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.bridge import take_over
from search.lease import LeaseLost, LeaseTaken, PostgresLease, open_lease
from search.records.lease import LeaseRecord, read_lease
from search.retrying import guard, hurry
from search.storage import StorageError, StorageLost, masked, open_storage, shown
from tests.search.tabulated import EPOCHS, Records, open_bridge, row, run_side_by_side, value_at
from tests.search.test_storage import holding
from tests.servers import PASSWORD, Postgres, Proxy, wait_for


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.database()


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    proxy = Proxy(postgres.port)
    yield proxy
    proxy.close()


def new_study(url: str) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=open_storage(url, write=True), direction="maximize")


def reopen(url: str) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=open_storage(url, write=True))


def curves(study: optuna.Study) -> list[object]:
    return [
        (trial.number, trial.state, trial.params, trial.intermediate_values, trial.value, trial.user_attrs["reason"])
        for trial in study.trials
    ]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/optuna.db"
    return str(request.getfixturevalue("url"))


def test_a_database_has_what_a_journal_has(database: str, tmp_path: Path) -> None:
    found = []
    for storage in (str(tmp_path / "optuna.journal"), database):
        study = new_study(storage)
        with open_lease(storage, "s") as lease:
            guard(study, lease, pytest.fail)
            bridge = open_bridge(study, trials=12, sampler="tpe", pruner="median", audit=0.3)
            run_side_by_side(bridge, workers=3, stop_after=20)
            bridge.interrupt()
        again = reopen(storage)
        with open_lease(storage, "s") as lease:
            guard(again, lease, pytest.fail)
            run_side_by_side(open_bridge(again, trials=12, sampler="tpe", pruner="median", audit=0.3), workers=3)
        found.append(curves(reopen(storage)))
    assert found[0] == found[1]
    assert len(found[1]) == 12


def test_an_sqlite_database_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"
    with pytest.raises(StorageError, match="no studies here: expected an SQLite database"):
        open_storage(storage)
    assert list(tmp_path.iterdir()) == []
    new_study(storage)
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "optuna.db")) as database:
        assert database.execute("pragma journal_mode").fetchone() == ("wal",)
    with pytest.raises(StorageError, match="expected sqlite:///PATH of a file"):
        open_storage("sqlite://")


def test_a_second_driver_is_told_who_holds_the_study_and_takes_over_after_its_death(url: str) -> None:
    code = "from search.lease import PostgresLease\nlease = PostgresLease(sys.argv[1], 's').__enter__()"
    with holding(code, url) as pid:
        who = rf"'s' is being run by process {pid} on {socket.gethostname()} since 20\d\d-.*; stop that one first"
        with pytest.raises(LeaseTaken, match=who):
            PostgresLease(url, "s").__enter__()
        with PostgresLease(url, "another"):
            pass
        held = read_lease(url, "s")
        assert (held.held, held.pid, held.host) == (True, pid, socket.gethostname())
        assert read_lease(url, "another") == LeaseRecord(False)

    def taken() -> bool:
        try:
            with PostgresLease(url, "s"):
                return True
        except LeaseTaken:
            return False

    wait_for(taken, "the lease of a killed holder")
    # Given back by a process that lives, it can be had at once.
    for _ in range(20):
        with PostgresLease(url, "s"):
            pass


def test_a_lease_is_taken_again_after_a_restart_and_lost_to_whoever_came_first(postgres: Postgres, url: str) -> None:
    study = new_study(url)
    with PostgresLease(url, "s") as lease:
        guard(study, lease, lambda text: None)
        postgres.restart()
        study.set_user_attr("written", 1)
        with pytest.raises(LeaseTaken, match=f"process {os.getpid()} on"):
            PostgresLease(url, "s").__enter__()
        postgres.restart()
        told = f"process {os.getpid()} on .* since this driver lost the database"
        with PostgresLease(url, "s"), pytest.raises(LeaseLost, match=told):
            study.set_user_attr("written", 2)
        # It has stopped for good, also after the other's end.
        with pytest.raises(LeaseLost):
            study.set_user_attr("written", 3)
    assert reopen(url).user_attrs == {"written": 1}


def test_a_lease_that_lost_its_connection_alone_is_noticed(postgres: Postgres, url: str) -> None:
    with PostgresLease(url, "s") as lease:
        name = url.rpartition("/")[2]
        postgres.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
        with PostgresLease(url, "s"), pytest.raises(LeaseLost):
            lease.check()
        lease.check()


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_when_the_server_crashes_under_load(postgres: Postgres, url: str) -> None:
    study, said, records, trials = new_study(url), [], Records(), 120
    with PostgresLease(url, "s") as lease:
        guard(study, lease, said.append)
        bridge = open_bridge(study, trials=trials, records=records)

        def crash() -> None:
            for crashes in range(1, 6):
                wait_for(lambda so_far=crashes * 150: len(records.events) > so_far, "reports between two crashes")
                postgres.restart()

        crashing = threading.Thread(target=crash)
        crashing.start()
        run_side_by_side(bridge, workers=6)
        crashing.join()
    assert sum("does not answer" in text for text in said) == sum("answers again" in text for text in said)
    assert any("does not answer" in text for text in said)
    assert PASSWORD not in " ".join(said)
    found = reopen(url).trials
    assert [trial.number for trial in found] == list(range(trials))
    assert {trial.state for trial in found} == {TrialState.COMPLETE}
    for trial in found:
        assert trial.intermediate_values == {e: value_at(trial.params, e) for e in range(1, EPOCHS + 1)}
    reported = [event[1:3] for event in records.events if event[0] == "epoch"]
    assert len(reported) == len(set(reported)) == trials * EPOCHS
    assert postgres.execute("select count(*) from trials", url.rpartition("/")[2]) == [(trials,)]


def test_a_lost_answer_leaves_one_effect(postgres: Postgres, url: str, proxy: Proxy) -> None:
    """The commit of every kind of write is carried out and its answer lost."""
    said: list[str] = []
    study = new_study(url.replace(f":{postgres.port}/", f":{proxy.port}/"))
    with PostgresLease(url, "s") as lease:
        guard(study, lease, said.append)
        storage = study._storage

        def losing(write: object) -> None:
            # The COMMIT of the write itself: those of its readings are told apart by order.
            proxy.lose_answer_to(b"COMMIT")
            write()  # type: ignore[operator]

        losing(lambda: study.set_user_attr("a", 1))
        losing(lambda: storage.create_new_trial(study._study_id))
        assert [trial.state for trial in study.trials] == [TrialState.RUNNING]
        losing(lambda: storage.set_trial_user_attr(1, "a", 1))
        losing(lambda: storage.set_trial_intermediate_value(1, 1, 0.5))
        losing(lambda: storage.set_trial_state_values(1, TrialState.WAITING))
        # The answer says that this caller has it, not that somebody else was first.
        taken = []
        losing(lambda: taken.append(storage.set_trial_state_values(1, TrialState.RUNNING)))
        assert taken == [True]
        distribution = optuna.distributions.FloatDistribution(0, 1)
        losing(lambda: storage.set_trial_param(1, "x", 0.25, distribution))
        losing(lambda: taken.append(storage.set_trial_state_values(1, TrialState.COMPLETE, [0.5])))
        assert taken == [True, True]
        with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
            storage.set_trial_state_values(1, TrialState.COMPLETE, [0.7])
        losing(lambda: study.enqueue_trial({"x": 0.5}))
        losing(lambda: study.ask())
    assert proxy.losses == 10
    # Optuna itself tries twice to make a trial.
    assert len(said) == 2 * (10 - 2)
    trials = reopen(url).trials
    assert [(trial.state, trial.params, trial.value) for trial in trials] == [
        (TrialState.COMPLETE, {"x": 0.25}, 0.5),
        (TrialState.RUNNING, {}, None),
    ]
    assert take_over(reopen(url)) == [1]


def test_a_storage_that_stays_away_stops_its_driver(
    postgres: Postgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.retrying.DRIVER_PATIENCE_S", 0.5)
    study, said = new_study(url), []
    with PostgresLease(url, "s") as lease:
        guard(study, lease, said.append)
        bridge = open_bridge(study)
        bridge.ask()
        postgres.stop()
        try:
            with pytest.raises(StorageLost, match=r"has not answered for 0.5 s .*contourney resume") as lost:
                bridge.report(0, row(1, 0.5))
            with pytest.raises(StorageLost):
                bridge.interrupt()
            with pytest.raises(StorageError, match="cannot open OPTUNA_STORAGE"):
                open_storage(url)
            with pytest.raises(StorageError, match="cannot open OPTUNA_STORAGE"):
                PostgresLease(url, "s").__enter__()
        finally:
            postgres.start()
    assert PASSWORD not in f"{lost.value}{said}"
    assert len(said) == 1
    assert said[0].endswith("trying again for up to 0.5 seconds")
    assert take_over(reopen(url)) == [0]


def test_an_end_that_is_asked_for_does_not_wait_long(
    postgres: Postgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.retrying.ENDING_PATIENCE_S", 0.5)
    study = new_study(url)

    def say(text: str) -> None:
        # The driver is signalled in the middle of a call, as soon as it waits.
        assert "trying again for up to 5 minutes" in text
        hurry(study)

    with PostgresLease(url, "s") as lease:
        guard(study, lease, say)
        bridge = open_bridge(study)
        bridge.ask()
        postgres.stop()
        try:
            with pytest.raises(StorageLost, match=r"has not answered for 0.5 s"):
                bridge.report(0, row(1, 0.5))
        finally:
            postgres.start()


def test_a_wrong_password_is_refused_and_no_password_shown(postgres: Postgres, url: str) -> None:
    wrong = url.replace("s3cret", "an-other-s3cret")
    with pytest.raises(StorageError, match=r"cannot open OPTUNA_STORAGE .*password authentication failed") as refused:
        open_storage(wrong)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:s3/cr@et@host:5/db", "postgresql://me:***@host:5/db"),
        ("http://me:s3cret@host:5000", "http://me:***@host:5000"),
        ("http://host:5000", "http://host:5000"),
        ("postgresql://me@host/db?password=s3cret&sslmode=require", "postgresql://me@host/db?password=***&sslmode=require"),
        ("/a/path/optuna.journal", "/a/path/optuna.journal"),
    ],
)  # fmt: skip
def test_what_is_shown_has_no_password(url: str, seen: str) -> None:
    assert shown(url) == seen
    assert masked(f"error at {url} in two words", url) == f"error at {seen} in two words"


def test_a_password_is_masked_however_it_is_spelt() -> None:
    url = "postgresql://me:s3cret%2Fof@host/db"
    assert (
        masked("no: s3cret%2Fof, s3cret/of, postgresql://me:s3cret/of@h", url) == "no: ***, ***, postgresql://me:***@h"
    )
