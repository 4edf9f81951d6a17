"""Classes of a study: their names, how frequent each is in training, and a trial's IoU of each."""

from search.records.study import StudyRecord, TrialRecord

ARRAY = "val/iou"


def class_names_and_shares(study: StudyRecord, count: int) -> tuple[list[str], list[float | None]]:
    """The names of `count` classes and the share of the training pixels that each has (None where not recorded).

    A trainable of the user's own may count other classes than the data has: those have numbers and no share.
    """
    names = study.facts.get("class_names", [])
    pixels = study.facts.get("class_pixels", {}).get("train", [])
    if len(names) != count:
        return [f"class {index}" for index in range(count)], [None] * count
    total = sum(pixels)
    return list(names), [pixels[index] / total if total else None for index in range(count)]


def class_ious(trial: TrialRecord, epoch: int | None) -> list[float]:
    """IoU of each class at an epoch (NaN where undefined); empty where that row is not on this machine."""
    row = trial.row(epoch)
    return [] if row is None else list(row.arrays.get(ARRAY, []))


def by_frequency(shares: list[float | None]) -> list[int]:
    """Indices of classes from the most to the least frequent; the data's order where that is not known."""
    return sorted(range(len(shares)), key=lambda index: -(shares[index] or 0.0))


def shown_share(share: float) -> str:
    """A share of pixels in few characters."""
    return f"{share:.2g}" if share < 0.001 else f"{share:.1%}"
