"""Classes that settings name."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence

from trainables.settings import TrialSettings


class ClassNameError(ValueError):
    """A setting names what is no class of the data set."""


def label_ids(names: Iterable[str], class_names: Sequence[str], setting: str) -> tuple[int, ...]:
    """Label ids of classes named in a setting; raises ClassNameError with the nearest name for one that is no class."""
    wanted = tuple(names)
    for name in wanted:
        if name not in class_names:
            close = difflib.get_close_matches(name, class_names, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ClassNameError(f"{setting}: no class {name!r}; {hint}classes are {', '.join(class_names)}")
    return tuple(class_names.index(name) for name in wanted)


def class_name_findings(settings: TrialSettings, class_names: Sequence[str]) -> Iterator[str]:
    """A sentence for each setting that names what is no class."""
    for setting, names in _named(settings).items():
        try:
            label_ids(names, class_names, setting)
        except ClassNameError as error:
            yield str(error)


def _named(settings: TrialSettings) -> dict[str, Collection[str]]:
    return {
        "loss.ignore_target": settings.loss.ignore_target,
        "loss.weights_by_hand": settings.loss.weights_by_hand,
        "metric.exclude": settings.metric.exclude,
        "metric.ignore_target": settings.metric.ignore_target,
        "augment.oversample.classes": settings.augment.oversample.classes,
    }
