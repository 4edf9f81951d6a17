"""The settings of one trial, gathered from their owners; every leaf's dotted path can be searched."""

from typing import Literal

from pydantic import Field, PositiveInt

from trainables.data.augment_settings import AugmentSettings
from trainables.data.settings import DataSettings
from trainables.losses.settings import LossSettings
from trainables.models.settings import ModelSettings
from trainables.settings_base import Settings


class OptimizerSettings(Settings):
    """The optimizer and its peak rate."""

    name: Literal["adam", "adamw", "sgd"] = Field("adam", description="adam, adamw or sgd (Nesterov momentum)")
    lr: float = Field(1e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(0.0, ge=0, description="weight decay; decoupled for adamw, L2 for the others")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd: momentum")


class PlateauSettings(Settings):
    """Reduce the rate when the monitored figure stalls."""

    monitor: Literal["loss", "miou"] = Field("loss", description="validation figure that must improve")
    factor: float = Field(0.1, gt=0, lt=1, description="factor applied to the rate")
    patience: int = Field(5, ge=0, description="epochs without improvement that are borne")


class ScheduleSettings(Settings):
    """The rate over the trial; its horizon is `epochs`, never a rung."""

    name: Literal["constant", "plateau", "cosine", "one_cycle"] = Field("constant", description="shape of the schedule")
    warmup_epochs: float = Field(0.0, ge=0, description="epochs of linear warm-up before the schedule")
    plateau: PlateauSettings = PlateauSettings()


class EarlyStopSettings(Settings):
    """Stop a trial that no longer improves; it ends COMPLETE."""

    monitor: Literal["none", "miou", "loss", "both"] = Field(
        "none", description="both: stop when neither validation mIoU nor validation loss improves"
    )
    patience: PositiveInt = Field(10, description="epochs without improvement that are borne")


class MetricSettings(Settings):
    """Which classes count in mIoU; constant in a study."""

    exclude: tuple[str, ...] = Field(
        (), description="classes left out of the mean only; their pixels still count as false positives of others"
    )
    ignore_target: tuple[str, ...] = Field((), description="classes whose target pixels leave the confusion matrix")


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
