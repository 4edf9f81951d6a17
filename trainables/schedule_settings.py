"""Settings of the learning rate's schedule."""

from typing import Literal

from pydantic import Field

from trainables.settings_base import Settings


class PlateauSettings(Settings):
    """Reduce the rate when the monitored figure stalls."""

    monitor: Literal["loss", "miou"] = Field("loss", description="validation figure that must improve")
    factor: float = Field(0.1, gt=0, lt=1, description="factor applied to the rate")
    patience: int = Field(5, ge=0, description="epochs without improvement that are borne")


class ScheduleSettings(Settings):
    """The rate over the trial; its horizon is `epochs`, never a rung."""

    name: Literal["constant", "plateau", "cosine", "one_cycle"] = Field("constant", description="shape of the schedule")
    warmup_epochs: float = Field(
        0.0, ge=0, description="epochs of linear warm-up to the schedule's first rate; part of `epochs`"
    )
    plateau: PlateauSettings = PlateauSettings()
