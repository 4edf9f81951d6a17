"""Settings of early stopping."""

from typing import Literal

from pydantic import Field, PositiveInt

from trainables.settings_base import Settings


class EarlyStopSettings(Settings):
    """Stop a trial that no longer improves; it ends COMPLETE."""

    monitor: Literal["none", "miou", "loss", "both", "pixel_accuracy"] = Field(
        "none", description="both: stop when neither validation mIoU nor validation loss improves"
    )
    patience: PositiveInt = Field(10, description="epochs in a row without improvement after which the trial stops")
