"""Settings of a refit: a last training on train and validation together, which follows an earlier run."""

from typing import Annotated

from pydantic import Field, PositiveInt

from trainables.settings_base import Settings


class RefitSettings(Settings):
    """A training on all images that search may see, with nothing left to validate on.

    It has as many epochs as `lr_trace`; nothing stops it early, and the weights of the last epoch are its result.
    """

    lr_trace: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=1, description="learning rate at the end of each epoch of the run that is followed, as in its rows"
    )
    steps_per_epoch: PositiveInt = Field(description="optimizer steps in each epoch of that run")
