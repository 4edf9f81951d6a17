"""The dearest corner of a study's space: the configuration that should take the most memory and time."""

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import optuna
import torch

from search.space import Space
from search.space_settings import Choice
from trainables.data.augment_sets import AUGMENT_SETS
from trainables.models.build import build_model
from trainables.models.errors import ModelError
from trainables.models.settings import ModelSettings, UnfreezeDepth
from trainables.settings import TrialSettings

# Numbers whose highest value is the dearest; all others cost the same whatever they are.
GROWING = (
    "batch_size",
    "model.width",
    "model.depth",
    "model.convolutions",
    "data.fraction",
    "augment.copies",
    "augment.oversample.times",
    "augment.strength",
    "loss.auxiliary",
    "optimizer.ema",
)
# Names from the cheapest to the dearest: depth of what trains, state that an optimizer keeps, bytes of a number.
RANKED: Mapping[str, Sequence[str]] = {
    "model.unfreeze": get_args(UnfreezeDepth),
    "optimizer.name": ("sgd", "adam", "adamw"),
    "precision": ("bf16", "auto", "fp32"),
}
IMAGE_SIZE = (256, 256)


def dearest_corner(space: Space, trial: TrialSettings) -> dict[str, Choice]:
    """The dearest value of every active parameter, chosen one after another in the order of their conditions.

    Numbers: the highest of GROWING and of every weight of a loss term, else the lowest. Names: by RANKED; below
    `model` the choice whose model has the most parameters, and of equals a switch that is on; the augmentation set
    with the most transforms; else the first.
    """
    fixed = trial.model_dump(mode="json")
    # Conditions ask what stands before: the choice of one may add or take away others.
    return space.suggest(cast(optuna.Trial, _Dearest(fixed)), fixed)


class _Dearest:
    """Answers what a space suggests with the dearest value."""

    def __init__(self, fixed: Mapping[str, Any]) -> None:
        self._model: dict[str, Any] = dict(fixed["model"])
        self._size: Sequence[int] = fixed["data"]["size"] or IMAGE_SIZE

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        return high if _grows(name) else low

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        value = high if _grows(name) else low
        self._keep(name, value)
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        value = choices[max(range(len(choices)), key=lambda index: (self._cost(name, choices[index]), -index))]
        self._keep(name, value)
        return value

    def _cost(self, name: str, choice: Any) -> tuple[float, float]:
        if name in RANKED:
            return float(RANKED[name].index(choice)), 0.0
        if _grows(name) and isinstance(choice, int | float):
            return float(choice), 0.0
        if name == "augment.set":
            rows = AUGMENT_SETS.get(choice)
            return (0.0 if rows is None else float(len(rows((self._size[0], self._size[1]))))), 0.0
        if name.startswith("model."):
            switch = float(choice) if isinstance(choice, bool) else 0.0
            return float(_parameters({**self._model, name.removeprefix("model."): choice})), switch
        return 0.0, 0.0

    def _keep(self, name: str, value: Any) -> None:
        if name.startswith("model."):
            self._model[name.removeprefix("model.")] = value


def _grows(name: str) -> bool:
    return name in GROWING or (name.startswith("loss.terms.") and name.endswith(".weight"))


def _parameters(model: Mapping[str, Any]) -> int:
    """Number of parameters of a model for colour images and two classes; 0 of one that cannot be built."""
    settings = ModelSettings.model_validate({**model, "weights": None, "unfreeze": "all"})
    try:
        # Shapes alone, nothing drawn.
        with torch.device("meta"):
            net = build_model(settings, 3, 2)
    except ModelError:
        return 0
    return sum(parameter.numel() for parameter in net.parameters())
