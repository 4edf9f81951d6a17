"""The base of every settings class: unknown keys refused, values never changed after validation."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

# A part of the user's own, see trainables.custom.
ImportPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]


class Settings(BaseModel):
    """Strict, frozen settings; a wrong key or type is an error, never a guess."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, validate_default=True)
