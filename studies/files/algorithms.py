"""The sampler and the pruner of a study: ours by name, or the user's own by import path."""

import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from search.pruners import Horizon, build_pruner
from search.samplers import build_sampler, derive_seed
from search.search_settings import PrunerSettings, SamplerSettings, SearchSettings
from studies.files.problems import Problem, did_you_mean
from trainables.custom import PartError, find_part, is_own, reported, signature_of

BASES: dict[str, type[Any]] = {"sampler": BaseSampler, "pruner": BasePruner}
Algorithm = SamplerSettings | PrunerSettings


def study_sampler(
    search: SearchSettings, distributions: Mapping[str, BaseDistribution], *, asked: int = 0, opened: int = 0
) -> BaseSampler:
    """The sampler for a study that has asked `asked` trials and was opened `opened` times before.

    One of the user's own gets a `seed` if it takes one, derived like those of ours. Raises ValueError.
    """
    sampler = search.sampler
    if not is_own(sampler.name):
        return build_sampler(
            sampler.name,
            sampler.arguments,
            seed=search.seed,
            asked=asked,
            opened=opened,
            distributions=distributions,
        )
    seeded = "seed" in _parameters(sampler, "sampler")
    own: BaseSampler = _own(sampler, "sampler", {"seed": derive_seed(search.seed, asked, opened)} if seeded else {})
    return own


def study_pruner(search: SearchSettings, horizon: Horizon) -> BasePruner:
    """The pruner; raises ValueError."""
    pruner = search.pruner
    if not is_own(pruner.name):
        return build_pruner(pruner.name, pruner.arguments, horizon)
    own: BasePruner = _own(pruner, "pruner", {})
    return own


def check_own(settings: Algorithm, kind: str) -> Iterator[Problem]:
    """Problems of a `sampler` or `pruner` of the user's own that show before it is made."""
    try:
        part = find_part(settings.name, _setting(kind))
        parameters = _parameters(settings, kind)
    except PartError as error:
        yield Problem(("search", kind, "name"), bare(error, kind))
        return
    if isinstance(part, type) and not issubclass(part, BASES[kind]):
        yield Problem(("search", kind, "name"), f"{settings.name!r} is no optuna.{kind}s.{BASES[kind].__name__}")
        return
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    valid = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        and not (kind == "sampler" and name == "seed")
    }
    for key in settings.arguments:
        if kind == "sampler" and key == "seed":
            yield Problem(("search", kind, key), "derived from search.seed, which is the one to set")
        elif key not in valid and not open_ended:
            takes = f"accepted: {', '.join(sorted(valid))}" if valid else "it takes none"
            message = f"{settings.name} has no such argument{did_you_mean(key, valid) or ';'} {takes}"
            yield Problem(("search", kind, key), message)
    for name, parameter in valid.items():
        if parameter.default is inspect.Parameter.empty and name not in settings.arguments:
            yield Problem(("search", kind), f"{settings.name} needs the argument {name}")


def bare(error: Exception, kind: str) -> str:
    """The words of an error without the setting that they begin with."""
    return str(error).removeprefix(f"{_setting(kind)}: ").removeprefix(f"search.{kind}: ")


def _own(settings: Algorithm, kind: str, more: Mapping[str, Any]) -> Any:
    setting, base = _setting(kind), BASES[kind]
    part = find_part(settings.name, setting)
    with reported(setting, f"{settings.name} cannot be made with {settings.arguments}"), warnings.catch_warnings():
        # Much of what one derives from is marked experimental.
        warnings.simplefilter("ignore")
        made = part(**settings.arguments, **more)
    if not isinstance(made, base):
        raise PartError(
            f"{setting}: {settings.name} gives {type(made).__name__}, expected an optuna.{kind}s.{base.__name__}"
        )
    return made


def _parameters(settings: Algorithm, kind: str) -> Mapping[str, inspect.Parameter]:
    signature = signature_of(find_part(settings.name, _setting(kind)))
    return {} if signature is None else signature.parameters


def _setting(kind: str) -> str:
    return f"search.{kind}.name"
