"""What an audit finds, as plain values: ready for JSON, a terminal and a page."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from studies.audit import counting, likeness
from studies.audit.reading import Listed, Seen
from trainables.data.splits import Split

UNUSED = "in the gap"


@dataclass(frozen=True)
class Audit:
    """All findings; names are those of images, and lists are whole.

    `classes` are of the training and validation splits each; groups come by falling size, `across` by falling
    similarity. `neighbours` are frames of one sequence less than data.gap apart in two splits, known by their names.
    `drop` maps the names to leave out to the reason, in the order of the data set.
    """

    root: str | None
    format: str
    guessed: bool
    split: str
    images: dict[str, int]
    read: list[str]
    class_names: list[str]
    unnamed: bool
    unpaired: list[dict[str, str]]
    unreadable: list[dict[str, str]]
    sizes: list[dict[str, int]]
    labels: list[dict[str, Any]]
    unknown_labels: list[dict[str, Any]]
    classes: list[dict[str, Any]]
    unlabelled: dict[str, Any]
    identical_images: list[list[str]]
    near_images: list[list[str]]
    identical_masks: list[list[str]]
    near_masks: list[list[str]]
    contaminated: list[str]
    across: list[dict[str, Any]]
    neighbours: list[dict[str, Any]]
    empty_masks: list[str]
    single_class_masks: list[dict[str, str]]
    outlying: list[dict[str, Any]]
    drop: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Values of JSON's types."""
        return asdict(self)


def find(listed: Listed, seen: Sequence[Seen], guessed: bool) -> Audit:
    """Everything that the opened splits and all names tell."""
    names = counting.class_names(listed, seen)
    missing = _missing(listed, seen)
    unreadable = [one for one in seen if one.problems and one.name not in missing]
    empty = [one.name for one in seen if one.pixels and not counting.classes_of(one, listed)]
    identical, near = likeness.image_groups(seen)
    identical_masks, near_masks = likeness.mask_groups(seen)
    contaminated = likeness.contaminated_names(seen)
    across, touched = likeness.across_splits(seen)
    reasons = {
        **{name: f"nearly the same as an image of {split}" for name, split in touched.items()},
        **_repeated(identical, seen, {*contaminated, *empty}),
        **dict.fromkeys(contaminated, "shares its mask with unlike images"),
        **dict.fromkeys(empty, "no labelled pixel"),
        **{one.name: "unreadable, or image and mask of two sizes" for one in unreadable},
        **dict.fromkeys(missing, "image or mask missing"),
        **dict.fromkeys(listed.settings.drop, "in data.drop already"),
    }
    return Audit(
        root=listed.settings.root,
        format=listed.settings.format,
        guessed=guessed,
        split=listed.mode,
        images=_counts(listed),
        read=[split.value for split in Split if any(one.split is split for one in seen)],
        class_names=list(names),
        unnamed=listed.unnamed,
        unpaired=[{"name": name, "problem": problem} for name, problem in missing.items()],
        unreadable=_problems(unreadable),
        sizes=counting.sizes(seen),
        labels=counting.label_rows(listed, seen, names),
        unknown_labels=_unknown(listed, seen, names),
        classes=counting.class_rows(seen, names),
        unlabelled=counting.unlabelled(listed, seen),
        identical_images=identical,
        near_images=near,
        identical_masks=identical_masks,
        near_masks=near_masks,
        contaminated=contaminated,
        across=across,
        neighbours=likeness.neighbours(listed),
        empty_masks=empty,
        single_class_masks=[
            {"name": one.name, "class": counting.label_name(next(iter(found)), names)}
            for one in seen
            if len(found := counting.classes_of(one, listed)) == 1
        ],
        outlying=counting.outlying_rows(seen),
        drop={sample.name: reasons[sample.name] for sample in listed.dataset.samples if sample.name in reasons},
    )


def _missing(listed: Listed, seen: Sequence[Seen]) -> dict[str, str]:
    """What is missing by name: as at a launch, of all samples where the split is made here; opens nothing."""
    pool = listed.dataset.samples if listed.mode in ("random", "blocks") else [one.sample for one in seen]
    dropped = frozenset(listed.settings.drop)
    return {
        sample.name: problem
        for sample in pool
        if sample.name not in dropped and (problem := listed.dataset.missing(sample))
    }


def _repeated(identical: Iterable[Sequence[str]], seen: Iterable[Seen], gone: set[str]) -> dict[str, str]:
    """Identical images but one of each group: of the latest split, so that training gives way to validation."""
    order = {one.name: (-list(Split).index(one.split), place) for place, one in enumerate(seen)}
    return {
        name: "identical to another image"
        for group in identical
        for name in sorted((name for name in group if name not in gone), key=order.__getitem__)[1:]
    }


def _counts(listed: Listed) -> dict[str, int]:
    counts = {split.value: len(listed.parts[split]) for split in Split}
    return counts | ({UNUSED: listed.unused} if listed.unused else {})


def _problems(seen: Iterable[Seen]) -> list[dict[str, str]]:
    return [{"name": one.name, "problem": "; ".join(one.problems)} for one in seen]


def _unknown(listed: Listed, seen: Iterable[Seen], names: Sequence[str]) -> list[dict[str, Any]]:
    """Images whose masks have labels that are neither class nor ignored."""
    found = [
        {"name": one.name, "labels": sorted(k for k in counting.classes_of(one, listed) if not 0 <= k < len(names))}
        for one in seen
    ]
    return [row for row in found if row["labels"]]
