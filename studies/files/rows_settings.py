"""The settings of named rows: configurations of a table that are trained whole, next to the search."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, NonNegativeInt

from search.space import Space
from trainables.settings import TrialSettings


class PublishedFigures(BaseModel):
    """What a report says about a row; shown beside our own figures and never mixed with them."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    val_miou: float | None = Field(None, ge=0, le=1, description="validation mIoU")
    test_miou: float | None = Field(None, ge=0, le=1, description="test mIoU")
    val_loss: float | None = Field(None, description="validation loss")
    pixel_accuracy: float | None = Field(None, ge=0, le=1, description="share of valid pixels that are right")
    best_epoch: NonNegativeInt | None = Field(None, description="epoch of the best validation figure")
    trainable_parameters: NonNegativeInt | None = Field(None, description="number of parameters that are trained")

    def given(self) -> dict[str, float]:
        """The figures that the report gives, by name."""
        return self.model_dump(exclude_none=True)


class RowSettings(BaseModel):
    """One row: what it changes of the trial's fixed settings, and what was published of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    set: dict[str, JsonValue] = Field(
        default_factory=dict, description="dotted paths into `trial` and their values in this row"
    )
    published: PublishedFigures = Field(PublishedFigures(), description="figures of a report, shown beside ours")
    note: str | None = Field(None, description="what a reader must know of this row, shown below the table")


def row_settings(trial: TrialSettings, row: RowSettings) -> TrialSettings:
    """The settings of a row: the trial's with the row's values put over them; raises ValidationError."""
    return put(trial, row.set)


def put(trial: TrialSettings, values: Mapping[str, Any]) -> TrialSettings:
    """The settings with values at dotted paths; raises SpaceError for a path that is none, else ValidationError."""
    return TrialSettings.model_validate(Space(()).apply(trial.model_dump(mode="json"), values))


def shown_sets(sets: Mapping[str, object]) -> str:
    """What a row sets, in one line."""
    return ", ".join(f"{path}={value if isinstance(value, str) else json.dumps(value)}" for path, value in sets.items())
