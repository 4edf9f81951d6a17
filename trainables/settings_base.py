"""The base of every settings class: unknown keys refused, values never changed after validation."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Strict, frozen settings; a wrong key or type is an error, never a guess."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, validate_default=True)
