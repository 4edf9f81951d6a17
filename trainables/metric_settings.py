"""Settings of the metric."""

from pydantic import Field

from trainables.settings_base import Settings


class MetricSettings(Settings):
    """Which classes count in mIoU; constant in a study."""

    exclude: tuple[str, ...] = Field(
        (), description="classes left out of the mean only; their pixels still count as false positives of others"
    )
    ignore_target: tuple[str, ...] = Field((), description="classes whose target pixels leave the confusion matrix")
