"""Settings of the optimizer."""

from typing import Literal

from pydantic import Field

from trainables.settings_base import Settings


class OptimizerSettings(Settings):
    """The optimizer and its peak rate."""

    name: Literal["adam", "adamw", "sgd"] = Field("adam", description="adam, adamw or sgd (Nesterov momentum)")
    lr: float = Field(1e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(0.0, ge=0, description="weight decay; decoupled for adamw, L2 for the others")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd: momentum")
