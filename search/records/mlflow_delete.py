"""Taking a study out of MLflow: its runs and, where it holds no others, its experiment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.records.mlflow_store import check_tracking

# An experiment tag: what a crash left between the new name and the deletion is found by it.
DELETED = "contourney.deleted"


@dataclass(frozen=True)
class ExperimentRuns:
    """Runs of a study in its MLflow experiment, and those that other people put there."""

    ours: tuple[str, ...]
    others: int


def experiment_runs(uri: str, study: str) -> ExperimentRuns:
    """The runs in the experiment of a study, none where there is none; raises TrackingError where MLflow is away."""
    client, experiments = _experiments(uri, study)
    ours: list[str] = []
    others = 0
    for experiment in experiments:
        token = None
        while True:
            page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
            for run in page:
                # Children of the search have the number's tag alone.
                if any(key.startswith("contourney.") for key in run.data.tags):
                    ours.append(str(run.info.run_id))
                else:
                    others += 1
            token = page.token
            if not token:
                break
    return ExperimentRuns(tuple(ours), others)


def delete_experiment(uri: str, study: str) -> None:
    """Delete a study's runs; its experiment too where no other run is in it. Can be repeated after a crash.

    The experiment gets another name first: MLflow keeps what is deleted until `mlflow gc`, and it blocks its name.
    """
    found = experiment_runs(uri, study)
    client, experiments = _experiments(uri, study)
    if found.others:
        for run_id in found.ours:
            client.delete_run(run_id)
        return
    for experiment in experiments:
        client.set_experiment_tag(experiment.experiment_id, DELETED, study)
        if experiment.name == study:
            client.rename_experiment(experiment.experiment_id, f"{study} (deleted, {experiment.experiment_id})")
        client.delete_experiment(experiment.experiment_id)


def _experiments(uri: str, study: str) -> tuple[Any, list[Any]]:
    """A client, and the active experiments that are the study's: by name, or marked for deletion."""
    from mlflow import MlflowClient

    check_tracking(uri, study)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return None, []
    client = MlflowClient(tracking_uri=uri)
    named = client.get_experiment_by_name(study)
    quoted = study.replace("'", "\\'")
    marked = client.search_experiments(filter_string=f"tags.`{DELETED}` = '{quoted}'")
    found = {one.experiment_id: one for one in [*([named] if named is not None else []), *marked]}
    return client, list(found.values())
