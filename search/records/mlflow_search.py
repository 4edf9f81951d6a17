"""Finding runs in MLflow across all experiments by a tag that they carry."""

from search.records.mlflow_store import check_tracking


def tags_of_runs(uri: str, key: str) -> dict[str, dict[str, str]]:
    """All tags of the runs that have the tag `key`, by run id; raises TrackingError where MLflow is away."""
    check_tracking(uri, "")
    # MLflow takes a second to import.
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found: dict[str, dict[str, str]] = {}
    token = None
    while experiments:
        page = client.search_runs(experiments, f"tags.`{key}` LIKE '%'", max_results=1000, page_token=token)
        found |= {str(run.info.run_id): dict(run.data.tags) for run in page}
        token = page.token
        if not token:
            break
    return found
