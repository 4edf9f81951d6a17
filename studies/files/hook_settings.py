"""Settings of the web hook: who is told of what, and which environment variable holds the address."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from studies.files.problems import Problem

Event = Literal["finished", "failed", "new_best"]


class HookSettings(BaseModel):
    """A web hook; its address is a secret, which no study file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    url_env: str | None = Field(
        None, description="name of the environment variable that holds the hook's URL; null: nobody is told"
    )
    on: tuple[Event, ...] = Field(
        ("finished", "failed", "new_best"),
        description="told are the end of a run, a failed trial or given-up study, and each new best complete trial",
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the variables that workers must not inherit."""
        return () if self.url_env is None else (self.url_env,)


def check_hooks(hooks: HookSettings) -> list[Problem]:
    """Problems of the hook; what stands in the place of a name is not repeated, as it may be the address itself."""
    if hooks.url_env is None or re.fullmatch(r"[A-Za-z_]\w*", hooks.url_env, re.ASCII):
        return []
    words = "this is no name of an environment variable; expected the name of one that holds the URL, never the URL"
    return [Problem(("hooks", "url_env"), f"{words}: export CONTOURNEY_HOOK=https://... and name CONTOURNEY_HOOK here")]
