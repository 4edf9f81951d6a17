"""Settings of the learning rate's schedule."""

from typing import Literal

from pydantic import Field

from trainables.settings_base import Settings


class PlateauSettings(Settings):
    """Reduce the rate when the monitored figure stalls."""

    monitor: Literal["loss", "miou"] = Field("loss", description="validation figure that must improve")
    factor: float = Field(0.1, gt=0, lt=1, description="factor applied to the rate")
    patience: int = Field(5, ge=0, description="epochs without improvement that are borne")


class RestartsSettings(Settings):
    """Cosine with warm restarts."""

    first_epochs: float = Field(5.0, gt=0, description="epochs of the first cycle")
    growth: float = Field(1.0, ge=1, description="length of a cycle in lengths of the one before it")


class PolynomialSettings(Settings):
    """A power of the share of steps left."""

    power: float = Field(0.9, gt=0, description="exponent")


class ExponentialSettings(Settings):
    """The same factor every epoch."""

    last: float = Field(0.01, gt=0, lt=1, description="factor of the peak rate that the last step comes to")


class ScheduleSettings(Settings):
    """The rate over the trial; its horizon is `epochs`, never a rung."""

    name: Literal["constant", "plateau", "cosine", "restarts", "one_cycle", "polynomial", "exponential"] = Field(
        "constant", description="shape of the schedule"
    )
    warmup_epochs: float = Field(
        0.0, ge=0, description="epochs of linear warm-up to the schedule's first rate; part of `epochs`"
    )
    plateau: PlateauSettings = PlateauSettings()
    restarts: RestartsSettings = RestartsSettings()
    polynomial: PolynomialSettings = PolynomialSettings()
    exponential: ExponentialSettings = ExponentialSettings()
