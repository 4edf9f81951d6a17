"""Settings of the cleaning steps, which touch training images alone."""

from pydantic import Field

from trainables.settings_base import Settings


class RefineSettings(Settings):
    """Mask refinement: areas grow over circular neighbourhoods of low intensity variation."""

    radius: int = Field(0, ge=0, description="radius of the neighbourhood in pixels; 0: masks stay as they are")
    variation: float = Field(
        0.02,
        gt=0,
        le=1,
        description="largest standard deviation of intensity, of 1, in a neighbourhood that is grown over",
    )


class PseudoLabelSettings(Settings):
    """Predictions for unlabelled images, added to training."""

    file: str | None = Field(None, description="a file that `contourney pseudo-label` wrote; none: nothing is added")
    confidence: float = Field(
        0.9, ge=0, le=1, description="least probability of a predicted class; pixels below it are ignored"
    )


class CleanSettings(Settings):
    """What is done to the training images, in this order."""

    drop_contaminated: bool = Field(
        False, description="leave out images that share one mask, of two classes or more, with images unlike them"
    )
    outliers: float | None = Field(
        None,
        gt=0,
        description="leave out images whose mean pixel value is further from the mean of all, in standard deviations",
    )
    refine: RefineSettings = RefineSettings()
    pseudo_labels: PseudoLabelSettings = PseudoLabelSettings()
