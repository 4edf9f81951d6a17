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
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="factor of the peak rate from part to part: head, decoder, stage4 to stage1, rest, as far as the "
        "model has them; 1 trains all parts at `lr`",
    )
    clip_norm: float | None = Field(None, gt=0, description="largest norm of the gradient over all parameters")
    ema: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="decay a step of averaged weights, which are then validated and kept as best; in the first steps "
        "t = 0, 1, … no more than (1 + t) / (10 + t)",
    )
