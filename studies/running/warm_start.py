"""Which trials a study begins with: those of its file, then the best of another study."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.first_trials import FirstTrial
from search.storage import open_storage
from search.warm_start import Mapped, best_trials, map_trials
from studies.files.space_checks import study_space
from studies.files.study_settings import StudySettings
from studies.stored import StudyError, open_study
from studies.workspace import Workspace


@dataclass(frozen=True)
class FirstTrials:
    """The trials in their order, and what is said of another study's, in lines."""

    trials: Sequence[FirstTrial]
    lines: Sequence[str] = ()


def first_trials(settings: StudySettings, workspace: Workspace) -> FirstTrials:
    """The first trials of a study that is to be launched.

    Raises StudyError where the other study gives none, StorageError where there is no storage to look for it.
    """
    space, fixed = study_space(settings), settings.trial.model_dump(mode="json")
    own = [space.check(values, fixed) for values in settings.search.enqueue]
    trials = [FirstTrial(f"search.enqueue[{index}]", values) for index, values in enumerate(own)]
    warm = settings.search.warm_start
    if warm is None:
        return FirstTrials(trials)
    # Raises where there is no storage, which says more than that the study is not in it.
    open_storage(workspace.storage)
    try:
        study = open_study(warm.study, workspace)
    except StudyError as error:
        raise StudyError(f"search.warm_start: {error}") from error
    best = best_trials(study.get_trials(deepcopy=False), warm.trials)
    if not best:
        raise StudyError(f"search.warm_start: study {warm.study!r} has no complete trial; expected at least one")
    found = map_trials(best, study.user_attrs.get("study", {}).get("trial", {}), space, fixed, own)
    if not found.taken and not found.repeated:
        left = "\n".join(f"  {line}" for line in found.lines)
        raise StudyError(f"search.warm_start: nothing of study {warm.study!r} lies in this space:\n{left}")
    trials += [FirstTrial(f"search.warm_start: trial {one.number} of {warm.study}", one.values) for one in found.taken]
    return FirstTrials(trials, _lines(warm.study, found))


def _lines(other: str, found: Mapped) -> list[str]:
    numbers = ", ".join(f"{one.number} (mIoU {one.value:.4f})" for one in found.taken)
    told = f"begins with the settings of trials {numbers}" if found.taken else "has nothing new"
    repeated = f"; {found.repeated} more are the same as these or as search.enqueue" if found.repeated else ""
    lines = [f"study {other!r}: {told}{repeated}"]
    return [f"search.warm_start: {line}" for line in [*lines, *found.lines]]
