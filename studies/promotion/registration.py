"""A promotion in MLflow: a run of its own, outside of the search's, and a registered model."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import trainables
from dashboards.figures.pictures import save_picture_rows
from dashboards.masks import read_pictures
from search.records.mlflow_store import MlflowStore
from studies.promotion.evaluating import COUNTS
from studies.promotion.model_card import FILE
from studies.workspace import Workspace
from trainables.data.split_data import resize_image
from trainables.predictor import Predictor

ALIAS = "champion"
REQUIREMENTS = ("torch", "timm", "segmentation-models-pytorch", "albumentations", "pydantic", "numpy")
# Longer side of the input example.
EXAMPLE_PX = 64


def register(
    workspace: Workspace, study: str, model: str, folder: Path, pictures: Path, record: Mapping[str, Any], card: str
) -> dict[str, Any]:
    """Write a promotion to MLflow: figures, pictures, its model card and the weights, the new champion of `model`.

    `folder` has the weights and `pictures` is the file of the test images. Returns the run's id and the model's name
    and version. Repeating it finds the run of this opening again.
    """
    store = MlflowStore(workspace.tracking, study, workspace.artifacts, best_metric="")
    with tempfile.TemporaryDirectory() as scratch:
        _write_artifacts(Path(scratch), folder, pictures, record)
        Path(scratch, FILE).write_text(card, encoding="utf-8")
        run_id = store.add_confirmatory_run("promotion", _key(record), _metrics(record), _tags(record), Path(scratch))
    name = registered_name(model)
    version = store.register_model(run_id, "model", name, ALIAS)
    return {"mlflow_run_id": run_id, "model": name, "model_version": version}


def registered_name(model: str) -> str:
    """A model's name as the registry takes it, without slashes and colons."""
    return re.sub(r"[/:]+", "-", model)


def _key(record: Mapping[str, Any]) -> str:
    """What the run is called: an opening of the test split can have several."""
    return f"opening-{record['opening']}" + (f"-run-{record['trial']}" if "row" in record else "")


def _metrics(record: Mapping[str, Any]) -> dict[str, float]:
    test = record["test"]
    metrics = {"test/miou": test["miou"], "test/pixel_accuracy": test["pixel_accuracy"], "test/ce": test["ce"]}
    return metrics | {
        f"test/iou/{_metric_key(name)}": value for name, value in test["iou"].items() if value is not None
    }


def _tags(record: Mapping[str, Any]) -> dict[str, str]:
    tags = {"contourney.promoted_trial": str(record["trial"]), "contourney.fingerprint.test": record["fingerprint"]}
    return tags | {"contourney.vault.head": record["head"]}


def _metric_key(class_name: str) -> str:
    """A class's name with only the characters that MLflow takes in a metric's name."""
    return re.sub(r"[^\w\-. ]+", "_", class_name)


def _write_artifacts(scratch: Path, folder: Path, pictures: Path, record: Mapping[str, Any]) -> None:
    (scratch / "promotion.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    (scratch / COUNTS).write_bytes((folder / COUNTS).read_bytes())
    save_picture_rows(pictures, scratch / "pictures", list(record["test"]["iou"]))
    _save_model(scratch / "model", folder, record)


def _save_model(target: Path, folder: Path, record: Mapping[str, Any]) -> None:
    # MLflow takes a second to import; only this needs it.
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import Schema, TensorSpec

    # Tensors without names: a named one would reach the model inside of a dict.
    best = folder / "best.pt"
    predictor = Predictor.load(best, torch.device("cpu"))
    picture = TensorSpec(np.dtype("uint8"), (-1, -1, -1, predictor.channels))
    mask = TensorSpec(np.dtype("uint8"), (-1, -1, -1))
    save_model(
        str(target),
        python_model=str(Path(__file__).with_name("served_model.py")),
        artifacts={"weights": str(best)},
        signature=ModelSignature(inputs=Schema([picture]), outputs=Schema([mask])),
        input_example=_example(folder),
        metadata={"class_names": list(predictor.class_names), "weights": record["weights"]},
        pip_requirements=list(REQUIREMENTS),
        code_paths=[str(Path(trainables.__file__).parent)],
    )


def _example(folder: Path) -> NDArray[np.uint8] | None:
    """A validation picture uint8 [1, H, W, C], small since it is kept as text; None for a trial that kept none."""
    pictures = read_pictures(folder / "pictures.npz")
    if not pictures:
        return None
    image_HWC = pictures[0].image_HWC
    height, width = image_HWC.shape[:2]
    scale = min(1.0, EXAMPLE_PX / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return np.asarray(resize_image(image_HWC, size)[None], dtype=np.uint8)
