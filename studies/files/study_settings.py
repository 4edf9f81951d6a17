"""The settings of a study: everything that a study file holds, gathered from its owners."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt

from search.replacing import COPY
from search.search_settings import SearchSettings
from search.space_settings import ParameterSettings
from studies.files.hook_settings import HookSettings
from studies.files.rows_settings import RowSettings
from studies.promotion.settings import PromotionSettings
from trainables.settings import TrialSettings

# NAME/confirm is the Optuna study of the confirmatory runs of NAME.
CONFIRM = "/confirm"


def _study_name(name: str) -> str:
    if not name.strip():
        raise ValueError("a study's name needs at least one visible character")
    if name.endswith(CONFIRM):
        raise ValueError(f"names that end in {CONFIRM} belong to the rows and repetitions of a study")
    if name.endswith(COPY):
        raise ValueError(f"names that end in {COPY} belong to studies that are being changed")
    return name


class ResourceSettings(BaseModel):
    """What one trial takes, and how many run at once."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    cpu: float = Field(1.0, gt=0, description="CPU cores a trial reserves")
    gpu: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        "auto", description="GPUs a trial reserves, fractions allowed; auto: shares of the GPUs there are, else none"
    )
    gpus_per_trial: PositiveInt = Field(
        1,
        description="GPUs that train one trial together, each with a share of every batch; cpu is then that of each",
    )
    sync_batch_norm: bool = Field(
        False, description="with several GPUs per trial, BatchNorm over the whole batch instead of each GPU's share"
    )
    workers: PositiveInt | Literal["auto"] = Field(
        "auto", description="trials that run at once; auto: as many as the resources hold"
    )
    retries: int = Field(
        2, ge=0, le=10, description="times a trial whose worker process died goes on from its last epoch"
    )
    storage: str | None = Field(
        None,
        description="where trials' files are kept: a path or URI (file://, s3://, gs://); null: the workspace",
    )


class RetentionSettings(BaseModel):
    """What is kept of trials that have ended, beside their rows, which always are."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    weights: PositiveInt | Literal["all"] = Field(
        5, description="trials whose best weights are kept, the best by validation mIoU; promoted ones always are"
    )


class StudySettings(BaseModel):
    """A study: one trial's fixed settings, the space searched around them, and how the search is run."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    name: Annotated[str, AfterValidator(_study_name)] = Field(
        "study", min_length=1, max_length=200, description="name of the study; the file's name if absent"
    )
    trial: TrialSettings = Field(TrialSettings(), description="settings that every trial has unless they are searched")
    space: dict[str, ParameterSettings] = Field(
        default_factory=dict, description="what is searched: dotted paths into `trial`, such as optimizer.lr"
    )
    search: SearchSettings = Field(SearchSettings(), description="metric, sampler, pruner, audit share and budget")
    resources: ResourceSettings = Field(ResourceSettings(), description="what a trial takes and how many run at once")
    rows: dict[str, RowSettings] = Field(
        default_factory=dict, description="named configurations for `contourney rows` and `contourney table`"
    )
    base: str | None = Field(None, description="row that differences are taken to; the first if absent")
    promotion: PromotionSettings = Field(
        PromotionSettings(), description="how the winner is chosen, and its evaluation on the test split"
    )
    retention: RetentionSettings = Field(
        RetentionSettings(), description="whose weights are kept when trials have ended"
    )

    hooks: HookSettings = Field(HookSettings(url_env=None), description="a web hook that is told how the study goes")

    def resolved(self) -> dict[str, Any]:
        """Every setting as JSON values, defaults written out; the space as declared, since its form is its meaning."""
        space = {path: declared.model_dump(mode="json", exclude_unset=True) for path, declared in self.space.items()}
        return {**self.model_dump(mode="json"), "space": space}

    @property
    def base_row(self) -> str | None:
        """Name of the row that differences are taken to; None where there are no rows."""
        return self.base or next(iter(self.rows), None)
