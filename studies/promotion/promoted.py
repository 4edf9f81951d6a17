"""The weights of a model that is to be used: by its study's name, its name in the registry, or its file."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.storage import masked
from studies.promotion.replicates import digest_of
from studies.running.places import trial_place
from studies.stored import StudyError, confirm_study, open_study
from studies.upkeep.retention import no_weights
from studies.workspace import Workspace

REGISTRY = "models:/"
SUFFIX = ".pt"


@contextmanager
def weights_of(model: str, workspace: Workspace) -> Iterator[Path]:
    """The best.pt of a promoted study, of a registered model (models:/NAME@champion), or at a path.

    A registered model is downloaded for as long as the context lasts. Raises StudyError.
    """
    if model.startswith(REGISTRY):
        with tempfile.TemporaryDirectory() as scratch:
            yield _download(model, workspace, Path(scratch))
    elif model.endswith(SUFFIX):
        path = Path(model).expanduser()
        if not path.is_file():
            raise StudyError(f"{model} is missing: expected a trial's best.pt")
        yield path
    else:
        yield promoted_weights(model, workspace)[1]


def promoted_weights(name: str, workspace: Workspace) -> tuple[Mapping[str, Any], Path]:
    """The record of a study's promotion and the weights that were promoted; raises StudyError."""
    study = open_study(name, workspace)
    record = study.user_attrs.get("promotion")
    if record is None:
        raise StudyError(
            f"study {name!r} has not been promoted: `contourney promote` chooses the trial whose model is used"
        )
    # The weights of a finalist that was pruned are those of the run that trained it to the end.
    confirm = confirm_study(name, workspace) if "run" in record else None
    source, number = (study, record["trial"]) if confirm is None else (confirm, record["run"])
    best = trial_place(source, number, workspace).fetch(["best.pt"]) / "best.pt"
    if not best.is_file():
        raise no_weights(source, number, best)
    if digest_of(best) != record["weights"]:
        raise StudyError(f"{best} is not what was promoted: promote the trial again, or restore the file")
    return record, best


def _download(model: str, workspace: Workspace, scratch: Path) -> Path:
    # MLflow takes a second to import; only this needs it.
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    name, version, alias = _named(model)
    database = workspace.tracking.removeprefix("sqlite:///")
    if database != workspace.tracking and not Path(database).is_file():
        # MLflow would make one.
        raise StudyError(f"{model}: there is no registry at {database}; name another --workspace")
    try:
        client = MlflowClient(tracking_uri=workspace.tracking)
        version = version or str(client.get_model_version_by_alias(name, alias).version)
        source = f"{client.get_model_version_download_uri(name, version)}/artifacts/best.pt"
        return Path(download_artifacts(source, dst_path=str(scratch), tracking_uri=workspace.tracking))
    except (MlflowException, RequestException, OSError) as error:
        reason = masked((str(error).strip() or type(error).__name__).splitlines()[0], workspace.tracking)[:200]
        raise StudyError(
            f"{model} cannot be fetched: {reason}; expected a model that `contourney promote` registered"
        ) from error


def _named(model: str) -> tuple[str, str, str]:
    """Name, version and alias of models:/NAME/VERSION or models:/NAME@ALIAS, the one that is not given being empty."""
    found = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@([^/@]+))", model)
    if found is None:
        raise StudyError(f"expected models:/NAME@ALIAS or models:/NAME/VERSION, got {model}")
    return found[1], found[2] or "", found[3] or ""
