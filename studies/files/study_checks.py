"""Checks that need the whole study: algorithms and their arguments, the budget, and settings that must fit together."""

import inspect
import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.pruners import PRUNERS, Horizon, pruner_arguments
from search.samplers import SAMPLERS, sampler_arguments
from search.space import Parameter, Space
from search.space_settings import Choice
from studies.files.algorithms import Algorithm, bare, check_own, study_pruner, study_sampler
from studies.files.problems import Problem, did_you_mean, shown
from studies.files.setting_paths import study_paths
from studies.files.space_checks import study_space
from studies.files.study_settings import StudySettings
from trainables.custom import PartError, is_own
from trainables.settings import TrialSettings

# Far above any real space of models; a product beyond it is checked in part, and the trials themselves check the rest.
MAX_COMBINATIONS = 256


def check_search(study: StudySettings) -> Iterator[Problem]:
    """Problems of names, arguments and budget of the search."""
    search = study.search
    only_rows = bool(study.rows) and not study.space
    if search.trials is None and search.hours is None and not only_rows:
        yield Problem(("search",), "no budget; give `trials` (their total number), `hours`, or both")
    tables: tuple[tuple[str, Algorithm, Mapping[str, Any], Callable[[str], frozenset[str]]], ...] = (
        ("sampler", search.sampler, SAMPLERS, sampler_arguments),
        ("pruner", search.pruner, PRUNERS, pruner_arguments),
    )
    for kind, settings, table, arguments in tables:
        name = settings.name
        if is_own(name):
            yield from check_own(settings, kind)
            continue
        if name not in table:
            came = f"got {shown(name)}{did_you_mean(name, table) or ';'}"
            accepted = f"{', '.join(table)}, package.module:Class of your own"
            yield Problem(("search", kind, "name"), f"{came} accepted: {accepted}")
            continue
        valid = sorted(arguments(name))
        defaults = inspect.signature(table[name].factory).parameters
        for key, value in settings.arguments.items():
            if key not in valid:
                takes = f"accepted: {', '.join(valid)}" if valid else "it takes none"
                message = f"the {kind} {name} has no such argument{did_you_mean(key, valid) or ';'} {takes}"
                yield Problem(("search", kind, key), message)
            elif expected := _wrong_type(value, defaults[key].default):
                yield Problem(("search", kind, key), f"got {shown(value)}; accepted: {expected}")


def _wrong_type(value: Any, default: Any) -> str | None:
    """Optuna hardly checks its arguments; the type of an argument's default says what it takes."""
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, int):
        return None if isinstance(value, int) and not isinstance(value, bool) else "an integer"
    if isinstance(default, float):
        return None if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    return None


def check_algorithms(study: StudySettings) -> Iterator[Problem]:
    """Problems that sampler and pruner themselves have with a study that is sound otherwise."""
    distributions = study_space(study).distributions
    horizon = Horizon(study.trial.epochs, study.trial.schedule.warmup_epochs)
    builders: tuple[tuple[str, Callable[[], object]], ...] = (
        ("sampler", lambda: study_sampler(study.search, distributions)),
        ("pruner", lambda: study_pruner(study.search, horizon)),
    )
    for kind, build in builders:
        with warnings.catch_warnings():
            # What Optuna warns of once here it would repeat all through the search: deprecated or useless arguments.
            warnings.simplefilter("error", FutureWarning)
            warnings.simplefilter("error", UserWarning)
            try:
                build()
            except (ValueError, FutureWarning, UserWarning) as error:
                path = ("search", kind, "name") if isinstance(error, PartError) else ("search", kind)
                yield Problem(path, bare(error, kind))


def check_trials(study: StudySettings) -> Iterator[Problem]:
    """Problems of the settings that trials will really have, as far as they show without reading data."""
    # Brings torch and timm, which the checks above do without.
    from trainables.check import check_settings
    from trainables.data.batches import check_share

    root = study.trial.data.root
    is_there, kind = (os.path.isfile, "file") if study.trial.data.format == "npz" else (os.path.isdir, "folder")
    if is_own(study.trial.data.format):
        is_there, kind = os.path.exists, "file or folder"
    if root is not None and not is_there(root):
        yield Problem(("trial", "data", "root"), f"no such {kind}: {root} (relative paths start in {os.getcwd()})")
    space = study_space(study)
    fixed = study.trial.model_dump()
    if not len(space) and not (study.rows and not study.space):
        message = "nothing is searched: no condition can hold with the fixed settings"
        yield Problem(("space",), message if study.space else "empty; give at least one path, such as optimizer.lr")
    found: set[str] = set()
    for chosen in _points(space, fixed):
        settings = TrialSettings.model_validate(space.apply(fixed, chosen))
        try:
            check_settings(settings)
            check_share(settings.batch_size, study.resources.gpus_per_trial)
        except ValueError as error:
            for finding in str(error).splitlines():
                if finding not in found:
                    found.add(finding)
                    yield _blame(finding, chosen)


def _points(space: Space, fixed: Mapping[str, Any]) -> Iterator[dict[str, Choice]]:
    """Points of the space that together have every choice and end of a range, and all combinations for the model."""
    by_path = {parameter.path: parameter for parameter in space}
    start = {path: _first(parameter) for path, parameter in by_path.items()}
    choices = {
        path: parameter.distribution.choices
        for path, parameter in by_path.items()
        if isinstance(parameter.distribution, CategoricalDistribution)
    }
    model = [path for path in choices if path.startswith("model.")]
    product = itertools.product(*(choices[path] for path in model))
    picks = [dict(zip(model, values, strict=True)) for values in itertools.islice(product, MAX_COMBINATIONS)]
    picks += [{path: choice} for path in choices if path not in model for choice in choices[path]]
    picks += [
        {path: parameter.distribution.low}
        for path, parameter in by_path.items()
        if isinstance(parameter.distribution, IntDistribution | FloatDistribution)
    ]
    seen = []
    for pick in picks:
        wanted = {**_enabling(pick, by_path), **pick}
        chosen = space.active({**start, **wanted}, fixed)
        if chosen not in seen:
            seen.append(chosen)
            yield chosen


def _first(parameter: Parameter) -> Choice:
    distribution = parameter.distribution
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, IntDistribution | FloatDistribution)  # the only kinds of a space
    # Not `low`: a range of weights may well begin at 0, but hardly any trial would have 0 for all of them.
    return distribution.high


def _enabling(pick: Mapping[str, Choice], by_path: Mapping[str, Parameter]) -> dict[str, Choice]:
    """Values of the searched settings under which the picked parameters are searched."""
    values: dict[str, Choice] = {}
    waiting = list(pick)
    while waiting:
        for other, accepted in by_path[waiting.pop()].conditions.items():
            if other in by_path and other not in values and other not in pick:
                values[other] = accepted[0]
                waiting.append(other)
    return values


def _blame(finding: str, chosen: Mapping[str, Choice]) -> Problem:
    """The finding at the key it begins with: in the space if that is searched, else among the fixed settings."""
    path, colon, message = finding.partition(": ")
    if not colon or f"trial.{path}" not in study_paths():
        return Problem(("trial",), finding)
    searched = [other for other in chosen if other == path or other.startswith(f"{path}.")]
    return Problem(("space", searched[0]) if searched else ("trial", *path.split(".")), message)
