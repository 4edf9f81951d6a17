"""A study as MLflow shows it: one experiment, one parent run, one child run a trial."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from search.records.mlflow_points import TrialEnd, best_point, file_text, row_points
from search.states import MLFLOW_STATUS, Reason
from search.storage import masked, shown

STATE, REASON = "contourney.state", "contourney.reason"
METRICS_A_BATCH = 1000
PARAMETERS_A_BATCH = 100
# MLflow cuts a longer value.
PARAMETER_CHARACTERS = 6000


class TrackingError(ValueError):
    """MLflow cannot be used as asked."""


def check_tracking(uri: str, study: str) -> None:
    """Raise TrackingError unless MLflow at `uri` answers and takes an experiment of this name; creates nothing."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return
    try:
        experiment = MlflowClient(tracking_uri=uri).get_experiment_by_name(study)
    except (MlflowException, RequestException, OSError) as error:
        reason = masked(str(error).strip().splitlines()[0], uri)[:200]
        raise TrackingError(
            f"MLflow at {shown(uri)} does not answer: {reason}; start it, or correct MLFLOW_TRACKING_URI"
        ) from error
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"MLflow holds a deleted experiment named {study!r}, which blocks the name; restore it (`mlflow "
            f"experiments restore -x {experiment.experiment_id}`), purge it (`mlflow gc`), or use another --name"
        )


@dataclass(frozen=True)
class RunLabel:
    """How one trial's run is called, with the tags and parameters that it has beside every run's."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """The runs of one parent: its name and tag, the tag that numbers its children, and each child's label."""

    parent: str
    tag: tuple[str, str]
    number: str
    label: Callable[[int], RunLabel]


def trial_family(study: str) -> Family:
    """The runs of a search's trials."""
    return Family(study, ("contourney.study", study), "contourney.trial", lambda n: RunLabel(f"trial-{n}"))


def confirm_family(study: str, label: Callable[[int], RunLabel]) -> Family:
    """The runs of a study's confirmatory trials: apart from the search's and without its tag."""
    return Family(f"{study}/confirm", ("contourney.role", "confirm"), "contourney.confirm", label)


class MlflowStore:
    """Writes the runs of one study, or of its confirmatory `family`; every call can be repeated without a duplicate.

    A run is looked up by its tags before it is created, and a metric's timestamp is the end of its own epoch, so
    that a repeated point is the same point. Not safe for several threads.
    """

    def __init__(
        self, uri: str, study: str, artifacts: str | None, best_metric: str, family: Family | None = None
    ) -> None:
        """`artifacts` is where a new experiment keeps files; `best_metric` names the metric of a trial's best value."""
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        self.errors: tuple[type[Exception], ...] = (MlflowException, RequestException, OSError)
        self.uri = uri
        self.client = MlflowClient(tracking_uri=uri)
        self.best_metric = best_metric
        self._study = study
        self._family = family or trial_family(study)
        # Runs by trial, and those of a trial that has another already.
        self.runs: dict[int, str] = {}
        self.doubles: dict[int, list[str]] = {}
        self._tried: set[int] = set()
        self._pending: dict[str, list[Any]] = {}
        self.experiment_id = self._open_experiment(artifacts)
        self.parent_id = self._open_parent(self._family)
        # One listing now replaces a look-up by tag before each run is created.
        self.states = self._list_states()

    def open_trial(self, number: int, values: Mapping[str, Any]) -> str:
        """The run id of a trial, RUNNING, with its parameters; found by tag or created."""
        if number in self.runs:
            self.client.update_run(self.runs[number], status=MLFLOW_STATUS[TrialState.RUNNING])
            self.client.set_tag(self.runs[number], STATE, TrialState.RUNNING.name)
        else:
            self.create(number, None)
        # Of a run that is there too: a crash may have come before its parameters, and equal ones change nothing.
        self.add_parameters(self.runs[number], self.parameters(number, values))
        return self.runs[number]

    def create(self, number: int, started_s: float | None) -> str:
        """Create the run of a trial that started at `started_s`, now if None; returns its id."""
        label = self._family.label(number)
        own = {"mlflow.parentRunId": self.parent_id, self._family.number: str(number)}
        if number in self._tried:
            # An answer may have been lost, not the run.
            mine = " and ".join(f"tags.`{key}` = '{value}'" for key, value in own.items())
            if found := self._find_run(mine):
                self.runs[number] = found
                return found
        self._tried.add(number)
        tags = {**label.tags, **own, STATE: TrialState.RUNNING.name}
        self.runs[number] = self._create(label.name, tags, started_s)
        self._tried.discard(number)
        return self.runs[number]

    def parameters(self, number: int, values: Mapping[str, Any]) -> dict[str, str]:
        """The parameters of a trial's run."""
        all_ = {**self._family.label(number).parameters, **values}
        return {key: str(value)[:PARAMETER_CHARACTERS] for key, value in all_.items()}

    def add_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        """Write parameters to a run, at most 100 a call."""
        from mlflow.entities import Param

        new = [Param(key, value) for key, value in parameters.items()]
        for start in range(0, len(new), PARAMETERS_A_BATCH):
            self.client.log_batch(run_id, params=new[start : start + PARAMETERS_A_BATCH])

    def add_epoch(self, number: int, row: Mapping[str, Any]) -> None:
        """Buffer one epoch's finite metrics until `flush` or the end of the trial."""
        self._pending.setdefault(self._known(number), []).extend(row_points(row))

    def drop(self) -> None:
        """Forget the buffered metrics."""
        self._pending.clear()

    def flush(self) -> None:
        """Write the buffered metrics, at most 1,000 a call."""
        for run_id in list(self._pending):
            points = self._pending[run_id]
            while points:
                self.client.log_batch(run_id, metrics=points[:METRICS_A_BATCH])
                del points[:METRICS_A_BATCH]
            del self._pending[run_id]

    def close_trial(self, number: int, state: TrialState, reason: Reason, ended_s: float, end: TrialEnd) -> None:
        """Write a trial's best value, files, reason and state."""
        run_id = self._known(number)
        self.flush()
        self.log_files(run_id, {name: file_text(value) for name, value in end.files.items()})
        points = [best_point(self.best_metric, end)] if end.best else []
        self.tell(run_id, state, reason, ended_s, points)

    def tell(
        self, run_id: str, state: TrialState, reason: Reason | None, ended_s: float, points: Sequence[Any] = ()
    ) -> None:
        """Write a trial's state and reason, and last metric points with them.

        The state goes last: a run whose tag and status say that its trial has ended has everything.
        """
        from mlflow.entities import RunTag

        tags = [RunTag(REASON, reason)] if reason else []
        self.client.log_batch(run_id, metrics=points, tags=[*tags, RunTag(STATE, state.name)])
        if state.is_finished():
            self.client.set_terminated(run_id, MLFLOW_STATUS[state], int(ended_s * 1000))
        else:
            self.client.update_run(run_id, status=MLFLOW_STATUS[state])

    def close_study(self, finished: bool) -> None:
        """End the parent run, or let it wait."""
        if finished:
            self.client.set_terminated(self.parent_id, "FINISHED")
        else:
            self.client.update_run(self.parent_id, status="SCHEDULED")

    def add_confirmatory_run(
        self, role: str, key: str, metrics: Mapping[str, float], tags: Mapping[str, str], folder: Path
    ) -> str:
        """Write a finished run outside of the search's, with the files of `folder`; returns its id.

        Such runs stand under a parent of their own. The run of the same role and key is found again.
        """
        from mlflow.entities import Metric

        parent_id = self._open_parent(confirm_family(self._study, lambda _: RunLabel(key)))
        run_id = self._find_run(f"tags.`contourney.role` = '{role}' and tags.`contourney.key` = '{key}'")
        own = {"mlflow.parentRunId": parent_id, "contourney.role": role, "contourney.key": key, **tags}
        run_id = run_id or self._create(f"{role}-{key}", own)
        when_ms = int(time.time() * 1000)
        self.client.log_batch(run_id, metrics=[Metric(name, value, when_ms, 0) for name, value in metrics.items()])
        self.client.log_artifacts(run_id, str(folder))
        self.client.set_terminated(run_id, "FINISHED")
        self.client.set_terminated(parent_id, "FINISHED")
        return run_id

    def register_model(self, run_id: str, path: str, name: str, alias: str) -> int:
        """Register a run's model as the next version of `name` under `alias`; returns the version.

        A model of the same run that is registered already keeps its version.
        """
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        versions = self.client.search_model_versions(f"name = '{_quoted(name)}'")
        found = next((version for version in versions if version.run_id == run_id), None)
        if found is None:
            source = f"{self.client.get_run(run_id).info.artifact_uri}/{path}"
            found = self.client.create_model_version(name, source, run_id=run_id)
        self.client.set_registered_model_alias(name, alias, found.version)
        return int(found.version)

    def _list_states(self) -> dict[int, tuple[str, str]]:
        """(state tag, run status) of every trial's run, which it also remembers."""
        found: dict[int, tuple[str, str]] = {}
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id],
                f"tags.`mlflow.parentRunId` = '{self.parent_id}'",
                max_results=500,
                # The first of two runs of a trial counts.
                order_by=["start_time ASC"],
                page_token=token,
            )
            for run in page:
                if self._family.number in run.data.tags:
                    number = int(run.data.tags[self._family.number])
                    if number in found:
                        self.doubles.setdefault(number, []).append(str(run.info.run_id))
                        continue
                    self.runs[number] = str(run.info.run_id)
                    found[number] = (run.data.tags.get(STATE, ""), run.info.status)
            token = page.token
            if not token:
                return found

    def log_files(self, run_id: str, texts: Mapping[str, str]) -> None:
        """Write texts as a run's artifacts by file name."""
        if not texts:
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, text in texts.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            self.client.log_artifacts(run_id, folder)

    def _known(self, number: int) -> str:
        return self.runs[number] if number in self.runs else self.open_trial(number, {})

    def _find_run(self, condition: str) -> str | None:
        runs = self.client.search_runs([self.experiment_id], condition, max_results=1, order_by=["start_time ASC"])
        return str(runs[0].info.run_id) if runs else None

    def _open_parent(self, family: Family) -> str:
        key, value = family.tag
        found = self._find_run(f"tags.`{key}` = '{_quoted(value)}'")
        self.new_parent = found is None
        return found or self._create(family.parent, {key: value})

    def _open_experiment(self, artifacts: str | None) -> str:
        experiment = self.client.get_experiment_by_name(self._study)
        if experiment is None:
            return str(self.client.create_experiment(self._study, artifact_location=artifacts))
        return str(experiment.experiment_id)

    def _create(self, name: str, tags: Mapping[str, str], started_s: float | None = None) -> str:
        started_ms = None if started_s is None else int(started_s * 1000)
        run = self.client.create_run(self.experiment_id, start_time=started_ms, run_name=name, tags=dict(tags))
        return str(run.info.run_id)


def _quoted(text: str) -> str:
    return text.replace("'", "\\'")
