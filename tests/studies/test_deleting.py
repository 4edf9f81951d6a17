"""Deleting a study for good: what goes, what stays, what a crash in the middle leaves."""

import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient

from search.lease import open_lease
from search.records.mlflow_delete import DELETED
from search.storage import open_storage
from studies.files.study_settings import CONFIRM
from studies.promotion.vault import LEDGER, TestVault
from studies.running.places import keep_storage
from studies.stored import is_used, open_study
from studies.workspace import Workspace
from tests.studies.commands import Call, caller
from tests.studies.prepared import FILE, NAME, copied, make
from tests.studies.rayless import drive
from tests.studies.running import ROOT, environment


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("done") / "w", trials=2)


@pytest.fixture
def place(done: Path, tmp_path: Path) -> Workspace:
    place = copied(done, tmp_path / "w")
    study = optuna.create_study(study_name=NAME + CONFIRM, storage=open_storage(place.storage, write=True))
    study.enqueue_trial({}, user_attrs={"role": "row", "key": "a", "seed": 0})
    folder = place.trial_folder(NAME + CONFIRM, 0)
    folder.mkdir(parents=True)
    (folder / "best.pt").write_bytes(b"12345")
    TestVault(place.storage, "f" * 64).note({"study": NAME})
    (place.study_folder(NAME) / "report.html").write_text("a report")
    return place


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


def names(place: Workspace) -> list[str]:
    return sorted(optuna.get_all_study_names(open_storage(place.storage)))


def test_without_yes_nothing_is_deleted_and_all_is_told(call: Call, place: Workspace) -> None:
    before = {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file() and "mlflow" not in path.name}
    code, out, err = call("delete", NAME, "--workspace", str(place.root))
    assert code == 2
    assert "nothing was deleted: to delete study 'prepared' for good, say --yes" in err
    files = [path for path in place.study_folder(NAME).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    assert out.splitlines() == [
        "Optuna: 2 trials, 1 runs of rows and repetitions",
        "MLflow: 3 runs (`mlflow gc` frees what MLflow deleted)",
        f"{place.study_folder(NAME)}: {len(files)} files, {size:,} bytes",
        f"{place.study_folder(NAME + CONFIRM)}: 1 files, 5 bytes",
    ]
    assert before == {path: path.read_bytes() for path in before}


def test_all_of_a_study_goes_and_its_name_is_free(call: Call, place: Workspace, tmp_path: Path) -> None:
    code, out, err = call("delete", NAME, "--workspace", str(place.root), "--yes")
    assert (code, err) == (0, "")
    assert out.endswith("study 'prepared' is deleted\n")
    assert names(place) == [LEDGER]
    assert list((place.root / "studies").iterdir()) == []
    assert len(TestVault(place.storage, "f" * 64).entries()) == 1
    assert MlflowClient(place.tracking).get_experiment_by_name(NAME) is None
    assert call("delete", NAME, "--workspace", str(place.root), "--yes")[0] == 2
    # The same name can be run again, in MLflow too.
    drive(place.root, FILE % 1)
    assert len(open_study(NAME, place).trials) == 1
    experiment = MlflowClient(place.tracking).get_experiment_by_name(NAME)
    assert experiment is not None
    assert len(MlflowClient(place.tracking).search_runs([experiment.experiment_id])) == 2


def test_the_ledger_and_others_studies_are_refused(call: Call, place: Workspace) -> None:
    root = str(place.root)
    ledger = call("delete", LEDGER, "--workspace", root, "--yes")
    assert ledger[0] == 2
    assert "the ledger of the test split is never deleted" in ledger[2]
    other = optuna.create_study(study_name="other", storage=open_storage(place.storage, write=True))
    other.enqueue_trial({})
    refused = call("delete", "other", "--workspace", root, "--yes")
    assert "was not launched by contourney" in refused[2]
    assert call("delete", "none", "--workspace", root, "--yes")[0] == 2
    for held in (NAME, NAME + CONFIRM):
        with open_lease(place.storage, held):
            taken = call("delete", NAME, "--workspace", root, "--yes")
            assert taken[0] == 2
            assert f"study {held!r} is being run by process" in taken[2]
    assert names(place) == [LEDGER, "other", NAME, NAME + CONFIRM]
    assert place.trial_folder(NAME, 1).is_dir()


def test_runs_that_others_put_into_the_experiment_stay(call: Call, place: Workspace) -> None:
    client = MlflowClient(place.tracking)
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    mine = client.create_run(experiment.experiment_id)
    code, out, _ = call("delete", NAME, "--workspace", str(place.root), "--yes")
    assert code == 0
    assert "1 runs of others in its experiment stay" in out
    assert [run.info.run_id for run in client.search_runs([experiment.experiment_id])] == [mine.info.run_id]


def test_trial_folders_at_a_uri_go_too(call: Call, place: Workspace, tmp_path: Path) -> None:
    uri = (tmp_path / "there").as_uri()
    keep_storage(optuna.create_study(study_name="new", storage=open_storage(place.storage, write=True)), uri)
    study = optuna.load_study(study_name="new", storage=open_storage(place.storage, write=True))
    study.set_user_attr("facts", {})
    folder = tmp_path / "there" / place.study_folder("new").name / "trials" / "00000"
    folder.mkdir(parents=True)
    (folder / "best.pt").write_bytes(b"1234567")
    code, out, _ = call("delete", "new", "--workspace", str(place.root), "--yes")
    assert code == 0
    assert f"{uri}/{place.study_folder('new').name}: 1 files, 7 bytes" in out
    assert list((tmp_path / "there").iterdir()) == []


KILLED = """
import os, signal, sys
import mlflow, optuna, shutil
from pathlib import Path
from studies.upkeep.deleting import delete
from studies.workspace import Workspace

owner, name = {
    "renamed": (mlflow.MlflowClient, "rename_experiment"),
    "experiment": (mlflow.MlflowClient, "delete_experiment"),
    "folder": (shutil, "rmtree"),
    "confirm": (optuna, "delete_study"),
}[sys.argv[2]]
real = getattr(owner, name)

def dying(*arguments, **keywords):
    real(*arguments, **keywords)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, dying)
delete("prepared", Workspace.open(Path(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", ["renamed", "experiment", "folder", "confirm"])
def test_a_kill_at_each_step_is_completed_by_the_same_command(call: Call, place: Workspace, point: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(place.root), point], cwd=ROOT, env=environment(), check=False, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    assert is_used(NAME, place)
    assert call("delete", NAME, "--workspace", str(place.root), "--yes")[0] == 0
    assert names(place) == [LEDGER]
    assert list((place.root / "studies").iterdir()) == []
    client = MlflowClient(place.tracking)
    assert client.get_experiment_by_name(NAME) is None
    assert client.search_experiments(filter_string=f"tags.`{DELETED}` = '{NAME}'") == []
