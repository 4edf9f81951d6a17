"""The settings of one trial, gathered from their owners; every leaf's dotted path can be searched."""

from typing import Literal

from pydantic import Field, PositiveInt

from trainables.data.augment_settings import AugmentSettings
from trainables.data.settings import DataSettings
from trainables.early_stop_settings import EarlyStopSettings
from trainables.losses.settings import LossSettings
from trainables.metric_settings import MetricSettings
from trainables.models.settings import ModelSettings
from trainables.optimizer_settings import OptimizerSettings
from trainables.refit_settings import RefitSettings
from trainables.schedule_settings import ScheduleSettings
from trainables.settings_base import Settings


class TrialSettings(Settings):
    """Everything that one trial is made of."""

    seed: int = Field(0, ge=0, description="seed of weights, order and augmentation; never searched")
    epochs: PositiveInt = Field(20, description="epochs at most; the horizon of schedules")
    batch_size: PositiveInt = Field(8, description="images per step")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on CUDA and on CPUs with bf16 units, else fp32"
    )
    entry: str = Field(
        "trainables.segmentation:SegmentationTrainable",
        description="module:Class that trains; the default or a user's own class of the same protocol",
    )
    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    early_stop: EarlyStopSettings = EarlyStopSettings()
    metric: MetricSettings = MetricSettings()
    refit: RefitSettings | None = Field(
        None, description="a training on train and validation together; promotion alone sets it (promotion.weights)"
    )

    @property
    def last_epoch(self) -> int:
        """The epoch that a trial ends with where nothing ends it before."""
        return self.epochs if self.refit is None else len(self.refit.lr_trace)
