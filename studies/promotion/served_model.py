"""The registered model, as MLflow runs it: logged as code beside its weights, so nothing is pickled."""

from pathlib import Path

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel, PythonModelContext

from trainables.predictor import Predictor


class SegmentationModel(PythonModel):  # type: ignore[misc]  # MLflow's classes are untyped
    """Pictures uint8 [N, H, W, C] to label masks uint8 [N, H, W]; resizing and normalisation are inside."""

    _predictor: Predictor
    # MLflow's type hints cannot say uint8 [N, H, W, C]; the signature does, so it need not miss them.
    _skip_type_hint_validation = True

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights, which need no pickle."""
        self._predictor = Predictor.load(Path(context.artifacts["weights"]), torch.device("cpu"))

    # Without type hints: MLflow would take them for a schema of its own kind.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Label masks at the pictures' own size."""
        return np.stack([self._predictor.mask(image) for image in np.asarray(model_input, dtype=np.uint8)])


mlflow.models.set_model(SegmentationModel())
