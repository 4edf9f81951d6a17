"""Settings of the search: metric, sampler, pruner, audit share and budget."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt

from search.space_settings import Choice


class AlgorithmSettings(BaseModel):
    """An algorithm by name; every other key is an argument of its own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def arguments(self) -> dict[str, Any]:
        """The algorithm's own arguments: every key beside `name`."""
        return dict(self.model_extra or {})


class SamplerSettings(AlgorithmSettings):
    """The Optuna sampler that proposes the next trial."""

    name: str = Field(
        "tpe",
        description="name in the table of samplers, or package.module:Class of your own; other keys are its arguments",
    )


class PrunerSettings(AlgorithmSettings):
    """The Optuna pruner that stops trials early."""

    name: str = Field(
        "successive_halving",
        description="name in the table of pruners, or package.module:Class of your own; other keys are its arguments",
    )


class WarmStartSettings(BaseModel):
    """Another study of the same storage whose best settings are tried early; its name alone stands for the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    study: str = Field(min_length=1, max_length=200, description="name of the other study")
    trials: PositiveInt = Field(3, description="how many of its best complete trials are tried")


def _whole(value: Any) -> Any:
    """`warm_start: NAME` with its keys written out."""
    return {"study": value} if isinstance(value, str) else value


class SearchSettings(BaseModel):
    """What is optimised, by which algorithms, and for how long; at least one of trials and hours is required."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    metric: Literal["miou"] = Field("miou", description="what is maximised: the best epoch's validation mIoU")
    sampler: SamplerSettings = Field(SamplerSettings(), description="what proposes trials")
    pruner: PrunerSettings = Field(PrunerSettings(), description="what stops weak trials")
    audit: float = Field(0.1, ge=0, le=1, description="share of trials, drawn at random, that are never pruned")
    seed: int = Field(0, ge=0, description="seed of sampler and audit draw")
    trials: PositiveInt | None = Field(None, description="total of trials, counting complete, pruned and failed ones")
    hours: float | None = Field(None, gt=0, description="hours after which open trials are interrupted")
    enqueue: tuple[dict[str, Choice], ...] = Field(
        (), description="settings of your own as the first trials: searched paths with values; the rest is sampled"
    )
    warm_start: Annotated[
        WarmStartSettings | None, BeforeValidator(_whole, json_schema_input_type=WarmStartSettings | str | None)
    ] = Field(None, description="a study whose best settings are the trials after those: its name, or a mapping")
