"""Classes named in the settings of a loss."""

import difflib
from collections.abc import Iterable, Sequence

from trainables.losses.terms import LossError


def label_ids(names: Iterable[str], class_names: Sequence[str], setting: str) -> tuple[int, ...]:
    """Label ids of classes named in a setting; raises LossError with the nearest name for one that is no class."""
    wanted = tuple(names)
    for name in wanted:
        if name not in class_names:
            close = difflib.get_close_matches(name, class_names, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise LossError(f"{setting}: no class {name!r}; {hint}classes are {', '.join(class_names)}")
    return tuple(class_names.index(name) for name in wanted)
