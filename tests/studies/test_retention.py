"""What is kept of ended trials: by a driver as the ranking moves, and by `contourney clean`."""

import json
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.lease import open_lease
from search.storage import open_storage
from studies.files.study_file import parse_study
from studies.files.study_settings import StudySettings
from studies.promotion.promote import promote
from studies.promotion.vault import TestVault
from studies.pseudo_label import pseudo_label
from studies.running.trial_place import join_uri
from studies.stored import StudyError, save_settings
from studies.upkeep.retention import Retention
from studies.workspace import Workspace
from tests.studies.commands import Call, caller

FILES = ("epochs.jsonl", "applied.json", "best.pt", "last.pt")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


def settings_of(weights: int | str, name: str = "s") -> StudySettings:
    text = f"name: {name}\nspace: {{optimizer.lr: {{low: 0.1, high: 0.2}}}}\nsearch: {{trials: 9}}\n"
    text += f"retention: {{weights: {weights}}}"
    return parse_study(text, "study.yaml", name, (), {})


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Workspace.open(tmp_path / "w")


def created(workspace: Workspace, weights: int | str = 2, name: str = "s") -> optuna.Study:
    study = optuna.create_study(
        study_name=name, storage=open_storage(workspace.storage, write=True), direction="maximize"
    )
    save_settings(study, settings_of(weights, name))
    return study


def add(study: optuna.Study, workspace: Workspace, value: float, state: TrialState = TrialState.COMPLETE) -> int:
    """A trial with this value and a file of 100 bytes for each that a real one has."""
    trial = study.ask()
    trial.report(value, 1)
    folder = workspace.trial_folder(study.study_name, trial.number)
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes(b"x" * 100)
    if state.is_finished():
        study.tell(trial, value if state is TrialState.COMPLETE else None, state=state)
    return trial.number


def having(study: optuna.Study, workspace: Workspace, name: str) -> list[int]:
    """Numbers of the trials that have a file."""
    trials = study.get_trials(deepcopy=False)
    return [t.number for t in trials if (workspace.trial_folder(study.study_name, t.number) / name).exists()]


def test_weights_of_the_best_are_kept_as_the_ranking_moves(workspace: Workspace) -> None:
    study = created(workspace)
    retention = Retention(study, workspace)
    expected = {0: [0], 1: [0, 1], 2: [0, 2], 3: [0, 2], 4: [2, 4], 5: [2, 4]}
    for value in (0.5, 0.3, 0.6, 0.4, 0.9, 0.6):
        number = add(study, workspace, value)
        retention.tidy()
        assert having(study, workspace, "best.pt") == expected[number]
        assert having(study, workspace, "last.pt") == []
    assert study.best_trial.number in having(study, workspace, "best.pt")
    assert having(study, workspace, "epochs.jsonl") == having(study, workspace, "applied.json") == [0, 1, 2, 3, 4, 5]


def test_complete_trials_come_before_pruned_ones_and_failed_ones_have_no_rank(workspace: Workspace) -> None:
    study = created(workspace)
    add(study, workspace, 0.9, TrialState.PRUNED)
    add(study, workspace, 0.1)
    add(study, workspace, 0.8, TrialState.PRUNED)
    add(study, workspace, 0.95, TrialState.FAIL)
    Retention(study, workspace).tidy()
    assert having(study, workspace, "best.pt") == [0, 1]


def test_a_trial_that_goes_on_keeps_everything(workspace: Workspace) -> None:
    study = created(workspace, weights=1)
    add(study, workspace, 0.9)
    running = add(study, workspace, 0.1, TrialState.RUNNING)
    waiting = add(study, workspace, 0.1, TrialState.RUNNING)
    study._storage.set_trial_state_values(study.get_trials()[waiting]._trial_id, TrialState.WAITING)
    Retention(study, workspace).tidy()
    assert having(study, workspace, "last.pt") == [running, waiting]
    assert having(study, workspace, "best.pt") == [0, running, waiting]


def test_a_resumed_study_catches_up_and_what_was_written_late_goes_at_the_end(workspace: Workspace) -> None:
    study = created(workspace)
    for value in (0.1, 0.2, 0.3, 0.4):
        add(study, workspace, value)
    retention = Retention(study, workspace)
    retention.tidy()
    assert having(study, workspace, "best.pt") == [2, 3]
    for name in ("best.pt", "last.pt"):
        (workspace.trial_folder("s", 0) / name).write_bytes(b"late")
    retention.tidy()
    assert having(study, workspace, "last.pt") == [0]
    retention.tidy(whole=True)
    assert having(study, workspace, "last.pt") == []
    assert having(study, workspace, "best.pt") == [2, 3]


def test_all_that_were_ever_promoted_are_kept(workspace: Workspace) -> None:
    study = created(workspace, weights=1)
    for value in (0.1, 0.2, 0.3, 0.4):
        add(study, workspace, value)
    # The ledger remembers one that the study's record no longer names, and one of another study.
    TestVault(workspace.storage, "f").open({"study": "s", "trial": 1, "weights": "w"}, again=None)
    TestVault(workspace.storage, "g").open({"study": "other", "trial": 2, "weights": "w"}, again=None)
    study = optuna.load_study(study_name="s", storage=open_storage(workspace.storage, write=True))
    study.set_user_attr("promotion", {"trial": 0})
    Retention(study, workspace).tidy()
    assert having(study, workspace, "best.pt") == [0, 1, 3]


def test_all_weights_may_be_kept_and_those_of_runs_outside_of_the_search_always_are(workspace: Workspace) -> None:
    study = created(workspace, weights="all")
    rows = optuna.create_study(study_name="s/confirm", storage=study._storage, direction="maximize")
    for one in (study, rows):
        for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
            add(one, workspace, value)
        Retention(one, workspace).tidy()
        assert having(one, workspace, "best.pt") == [0, 1, 2, 3, 4, 5]
        assert having(one, workspace, "last.pt") == []


def test_files_at_a_uri_go_there_too(workspace: Workspace, tmp_path: Path) -> None:
    study = created(workspace)
    study.set_user_attr("storage", (tmp_path / "far").as_uri())
    for value in (0.1, 0.2, 0.3):
        add(study, workspace, value)
    local = workspace.study_folder("s") / "trials"
    far = Path(join_uri(str(tmp_path / "far"), workspace.study_folder("s").name, "trials"))
    shutil.copytree(local, far)
    Retention(study, workspace).tidy()
    assert sorted(path.parent.name for path in far.glob("*/best.pt")) == ["00001", "00002"]
    assert not list(far.glob("*/last.pt"))
    assert len(list(far.glob("*/epochs.jsonl"))) == 3


def test_a_place_that_does_not_answer_ends_no_study(workspace: Workspace, tmp_path: Path) -> None:
    study = created(workspace)
    study.set_user_attr("storage", (tmp_path / "far").as_uri())
    (tmp_path / "far").symlink_to("far")
    add(study, workspace, 0.1)
    retention = Retention(study, workspace)
    retention.tidy()
    (tmp_path / "far").unlink()
    far = tmp_path / "far" / workspace.study_folder("s").name / "trials" / "00000"
    far.mkdir(parents=True)
    (far / "last.pt").write_bytes(b"x")
    retention.tidy()
    assert not (far / "last.pt").exists()


def test_dropped_weights_are_said_to_be(workspace: Workspace, tmp_path: Path) -> None:
    study = created(workspace)
    study.set_user_attr("facts", {})
    for value in (0.1, 0.2, 0.3):
        add(study, workspace, value)
    Retention(study, workspace).tidy()
    words = r"trial 0 were dropped: they are kept for the top 2 only \(retention.weights\), which are trials 1, 2;"
    with pytest.raises(StudyError, match=words):
        promote("s", workspace, trial=0)
    (workspace.trial_folder("s", 1) / "best.pt").unlink()
    with pytest.raises(StudyError, match=r"trial 1 has no weights: expected .*best.pt"):
        promote("s", workspace, trial=1)
    study.set_user_attr("promotion", {"trial": 1, "weights": "w"})
    with pytest.raises(StudyError, match=r"trial 1 has no weights: expected .*best.pt"):
        pseudo_label("s", workspace, tmp_path / "labels.npz", data=None, images=None)


def test_clean_says_what_it_would_free_and_frees_it_when_told(workspace: Workspace, call: Call) -> None:
    study = created(workspace)
    for value in (0.1, 0.2, 0.3):
        add(study, workspace, value)
    (workspace.cache / "images").mkdir(parents=True)
    (workspace.cache / "images" / "a.npy").write_bytes(b"x" * 1000)
    (workspace.cache / "build.lock").touch()
    (workspace.root / "studies" / "gone-01234567" / "trials").mkdir(parents=True)
    (workspace.root / "studies" / "gone-01234567" / "trials" / "best.pt").write_bytes(b"x" * 70)
    before = {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}

    code, out, _ = call("clean", "s", "--workspace", str(workspace.root))
    assert code == 0
    assert "optimizer states of ended trials: s: 3 files, 300 bytes (0.0 MiB), can be freed" in out
    assert "weights of trials that are not kept: s: 1 files, 100 bytes" in out
    assert "400 bytes can be freed" in out
    assert "cache" not in out
    assert "never touched: rows" in out
    code, out, _ = call("clean", "--all", "--workspace", str(workspace.root), "--json")
    assert code == 0
    found = json.loads(out)["freed"]
    assert [(one["files"], one["bytes"], one["done"]) for one in found] == [
        (3, 300, False), (1, 100, False), (1, 1000, False), (1, 70, False),
    ]  # fmt: skip
    assert {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()} == before

    code, out, _ = call("clean", "--all", "--yes", "--workspace", str(workspace.root))
    assert code == 0
    assert "1 files, 70 bytes (0.0 MiB), left, --orphans deletes them" in out
    assert "freed 1,400 bytes" in out
    assert having(study, workspace, "best.pt") == [1, 2]
    assert having(study, workspace, "last.pt") == []
    assert having(study, workspace, "epochs.jsonl") == [0, 1, 2]
    assert [path.name for path in workspace.cache.iterdir()] == ["build.lock"]
    assert (workspace.root / "studies" / "gone-01234567").exists()
    call("clean", "--all", "--yes", "--orphans", "--workspace", str(workspace.root))
    assert [path.name for path in (workspace.root / "studies").iterdir()] == [workspace.study_folder("s").name]
    assert workspace.storage in map(str, workspace.root.iterdir())


def test_clean_leaves_a_study_that_is_being_run_alone(workspace: Workspace, call: Call) -> None:
    study = created(workspace)
    add(study, workspace, 0.1)
    workspace.cache.mkdir()
    (workspace.cache / "a.npy").write_bytes(b"x")
    with open_lease(workspace.storage, "s"):
        code, out, _ = call("clean", "--all", "--yes", "--workspace", str(workspace.root))
    assert code == 0
    assert "left alone: study 's' is being run by process" in out
    assert having(study, workspace, "last.pt") == [0]
    assert (workspace.cache / "a.npy").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected the name of a study, or --all"),
        (["s", "--all"], "expected the name of a study, or --all"),
        (["s", "--orphans"], "it goes with --all --yes"),
        (["none"], "no study 'none' in"),
    ],
)
def test_clean_refuses_what_it_cannot_mean(workspace: Workspace, call: Call, arguments: list[str], said: str) -> None:
    created(workspace)
    code, _, err = call("clean", *arguments, "--workspace", str(workspace.root))
    assert code == 2
    assert said in err
