"""The registered model, as MLflow runs it: logged as code beside its weights, so nothing is pickled."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel, PythonModelContext
from numpy.typing import NDArray

from trainables.predictor import Predictor


class SegmentationModel(PythonModel):  # type: ignore[misc]  # MLflow's classes are untyped
    """Pictures uint8 [N, H, W, C] to label masks uint8 [N, H, W]; resizing and normalisation are inside."""

    _predictor: Predictor

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights, which need no pickle."""
        self._predictor = Predictor.load(Path(context.artifacts["weights"]), torch.device("cpu"))

    def predict(
        self, context: PythonModelContext, model_input: NDArray[np.uint8], params: dict[str, Any] | None = None
    ) -> NDArray[np.uint8]:
        """Label masks at the pictures' own size."""
        return np.stack([self._predictor.mask(image) for image in np.asarray(model_input, dtype=np.uint8)])


mlflow.models.set_model(SegmentationModel())
