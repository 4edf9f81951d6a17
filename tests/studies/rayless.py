"""A driver that runs its trials itself, without Ray, in a process that kills itself at a chosen moment.

Everything but Ray is real: lease, journal, trial folders, MLflow. The moments are before and after every write; a
driver dies at the N-th of them, or at a named point. `Drivers` forks each from one process that has imported all.
"""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.bridge import Proposal
from search.budget import Budget
from search.first_trials import keep_first
from search.lease import open_lease
from search.storage import open_storage
from studies.files.space_checks import study_space
from studies.files.study_file import parse_study
from studies.running.announcing import announcing
from studies.running.searching import searching
from studies.running.warm_start import first_trials
from studies.stored import is_used, open_study, save_settings
from studies.upkeep.changing import change_space
from studies.workspace import Workspace
from tests.studies.running import ROOT, environment
from trainables.settings import TrialSettings
from trainables.trial_folder import TrialFolder
from trainables.trial_run import TrialRun

FACTS = {"metric": "validation mIoU", "class_names": ["background", "object"], "fingerprints": {"train": "t"}}
WRITES = (
    (JournalFileBackend, "append_logs"),
    (TrialFolder, "append_row"),
    (TrialFolder, "save"),
    (MlflowClient, "create_run"),
    (MlflowClient, "log_batch"),
    (MlflowClient, "log_artifacts"),
    (MlflowClient, "set_terminated"),
    (MlflowClient, "update_run"),
    (MlflowClient, "set_tag"),
)
# Name of a point: the write it belongs to, whether before or after it, and which call of it.
POINTS = {
    "row-written": (TrialFolder, "append_row", "after", 5),
    "checkpoint-before-report": (TrialFolder, "save", "after", 6),
    "half-of-a-report": (JournalFileBackend, "append_logs", "after", 40),
    "optuna-before-mlflow": (MlflowClient, "log_batch", "before", 6),
    "run-before-its-id": (MlflowClient, "create_run", "after", 3),
    "parent-alone": (MlflowClient, "create_run", "after", 1),
    "end-before-mlflow": (MlflowClient, "set_terminated", "before", 1),
    "end-in-mlflow": (MlflowClient, "set_terminated", "after", 1),
}
# Those of a change of the space of a study that has CHANGED_TRIALS trials.
CHANGED_TRIALS = 6
CHANGE_WRITES = ((JournalStorage, "create_new_trial"), (JournalStorage, "delete_study"))
CHANGE_POINTS = {
    "half-of-the-copy": (JournalStorage, "create_new_trial", "after", 2),
    "copy-ready": (JournalStorage, "delete_study", "before", 1),
    "original-deleted": (JournalStorage, "delete_study", "after", 1),
    "half-of-the-rewriting": (JournalStorage, "create_new_trial", "after", CHANGED_TRIALS + 2),
    "before-the-copy-goes": (JournalStorage, "delete_study", "before", 2),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def watch(moment: Callable[[type, str, str], None], writes: Sequence[tuple[type, str]] = WRITES) -> None:
    """Call `moment` with class, method and `before` or `after` around every write of this process."""

    def watched(owner: type, name: str) -> Callable[..., Any]:
        write = getattr(owner, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            moment(owner, name, "before")
            result = write(*arguments, **keywords)
            moment(owner, name, "after")
            return result

        return call

    for owner, name in writes:
        setattr(owner, name, watched(owner, name))


def die_at(point: str) -> Callable[[type, str, str], None]:
    wanted = (POINTS | CHANGE_POINTS)[point]
    calls = 0

    def moment(owner: type, name: str, when: str) -> None:
        nonlocal calls
        if (owner, name, when) == wanted[:3]:
            calls += 1
            if calls == wanted[3]:
                die()

    return moment


def die_after(moments: int) -> Callable[[type, str, str], None]:
    seen = 0

    def moment(owner: type, name: str, when: str) -> None:
        nonlocal seen
        seen += 1
        if seen == moments:
            die()

    return moment


@dataclass
class Lines:
    """Keeps what is said."""

    said: list[str] = field(default_factory=list)

    def begin(self, total: int | None, ended: Mapping[str, int], best: tuple[float, int, int] | None) -> None: ...

    def say(self, text: str) -> None:
        print(text, flush=True)

    def on_trial(self, number: int, reason: object, values: Mapping[str, Any]) -> None: ...

    def on_epoch(self, number: int, epoch: int, value: float | None) -> None: ...


def drive(root: Path, text: str, workers: int = 2) -> None:
    """Launch the study, or go on with it, an epoch of each open trial in turn."""
    workspace = Workspace.open(root)
    settings = parse_study(text, "study.yaml", "kills", (), {})
    storage = open_storage(workspace.storage, write=True)
    with open_lease(workspace.storage, settings.name):
        if is_used(settings.name, workspace):
            study = open_study(settings.name, workspace, write=True)
        else:
            study = optuna.create_study(
                study_name=settings.name, storage=storage, direction="maximize", load_if_exists=True
            )
            study.set_user_attr("metric", FACTS["metric"])
            study.set_user_attr("facts", FACTS)
            keep_first(study, first_trials(settings, workspace).trials)
            save_settings(study, settings)
        space, fixed = study_space(settings), settings.trial.model_dump(mode="json")

        def start(proposal: Proposal) -> TrialRun:
            folder = workspace.trial_folder(settings.name, proposal.number)
            bridge.set_attribute(proposal.number, "folder", os.path.relpath(folder, workspace.root))
            trial = TrialSettings.model_validate(space.apply(fixed, proposal.values))
            return TrialRun(trial, folder, workspace.cache, have=proposal.recorded)

        budget = Budget(settings.search.trials, None)
        with (
            announcing(study, settings, Lines()) as announcer,
            searching(study, settings, workspace, budget, announcer) as bridge,
        ):
            running: dict[int, TrialRun] = {}
            while True:
                while len(running) < workers and (proposal := bridge.ask()) is not None:
                    running[proposal.number] = start(proposal)
                if not running:
                    announcer.ended("budget")
                    return
                for number, run in list(running.items()):
                    if bridge.report(number, run.next_row()).stop:
                        del running[number]


class Drivers:
    """Drivers of studies, one after another, each in a process of its own."""

    def __init__(self, home: Path) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.studies.rayless"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # Creating MLflow's tables takes seconds: once, then copied.
        self._tables = home / "mlflow.db"
        assert self._ask({"tables": str(self._tables)}) == 0

    def workspace(self, root: Path) -> Path:
        """A new workspace."""
        root.mkdir(parents=True)
        shutil.copy(self._tables, root / "mlflow.db")
        return root

    def drive(self, root: Path, study: str, *, at: str | None = None, after: int | None = None) -> int:
        """Run a driver to its end, or until it dies; returns its exit code, negative for a signal."""
        return self._ask({"root": str(root), "study": study, "at": at, "after": after})

    def change(self, root: Path, name: str, assignments: Sequence[str], *, at: str) -> int:
        """Change a study's space in a process that dies at a point of it; returns its exit code."""
        return self._ask({"root": str(root), "name": name, "change": list(assignments), "at": at})

    def close(self) -> None:
        """End the process that forks."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        assert self._server.wait(timeout=180) == 0

    def _ask(self, wanted: Mapping[str, Any]) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(wanted), file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())


def serve() -> None:
    """Fork a driver for every line of standard input and answer with its exit code."""
    answers = os.fdopen(os.dup(1), "w")
    # What a driver says goes where it does not mix with the answers.
    os.dup2(2, 1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(_driver(json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


def _driver(wanted: Mapping[str, Any]) -> int:
    try:
        if "tables" in wanted:
            MlflowClient(f"sqlite:///{wanted['tables']}").search_experiments()
            return 0
        if "change" in wanted:
            watch(die_at(wanted["at"]), CHANGE_WRITES)
            change_space(wanted["name"], Workspace.open(Path(wanted["root"])), wanted["change"], print)
            return 0
        if wanted["at"] is not None:
            watch(die_at(wanted["at"]))
        elif wanted["after"] is not None:
            watch(die_after(wanted["after"]))
        drive(Path(wanted["root"]), wanted["study"])
    except BaseException:  # noqa: BLE001 - the edge of a process
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # What a driver would import late, each anew.
    for late in ("trainables.check", "tests.studies.scripted", "mlflow.store.tracking.sqlalchemy_store"):
        importlib.import_module(late)
    serve()
