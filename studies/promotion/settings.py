"""Settings of the promotion, which are declared before the search begins."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt

# Fewer seeds than this choose between finalists but support no claim about them.
SEEDS_OF_A_CLAIM = 5


def _seeds(value: int) -> int:
    if value == 1:
        raise ValueError("one seed says nothing of the spread between seeds; give 2 or more, or 0 for no replicates")
    return value


class PromotionSettings(BaseModel):
    """How the winner is chosen, and its final evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    finalists: PositiveInt = Field(3, description="best trials of the search that are trained again and compared")
    seeds: Annotated[int, Field(ge=0, le=100), AfterValidator(_seeds)] = Field(
        3,
        description="other seeds each finalist is trained with; 3 is a screen, 5 and more support a claim; 0: no "
        "replicates, the trial with the best single value is promoted",
    )
    group_folds: int | None = Field(
        None,
        ge=2,
        description="each seed is trained once for each of so many folds of train and validation, made of whole "
        "groups, and measured on all of their images; none: trained on train and measured on validation",
    )
    margin: float = Field(
        0.005, ge=0, le=1, description="mIoU by which a cheaper finalist may be worse and is still called as good"
    )
    weights: Literal["search", "refit"] = Field(
        "search",
        description="which weights of the winner are promoted: those of its search trial, or of a refit, trained once "
        "more on train and validation together for the median best epoch of its replicates",
    )
    rows: tuple[str, ...] = Field(
        (), description="named rows that are evaluated in the winner's opening of the test split, each with trial.seed"
    )
    pictures: int = Field(4, ge=0, description="test images shown as image, truth and prediction")
    worst: int = Field(4, ge=0, description="test images with the lowest mIoU that are shown beside these")
