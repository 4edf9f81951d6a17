"""From settings to one prepared split: list, split, check, decode once, map."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainables.data.cache import build_folder, builder_lock, write_atomically
from trainables.data.checks import unpaired
from trainables.data.cleaning import cleaned
from trainables.data.errors import DataError, raise_findings
from trainables.data.fingerprints import digest, split_fingerprint, split_stamp
from trainables.data.folds import fold_part
from trainables.data.formats.protocol import Dataset
from trainables.data.formats.table import open_dataset
from trainables.data.fraction import fraction_of
from trainables.data.settings import DataSettings
from trainables.data.split_data import RESIZE_RULE, STORED, Layout, SplitData, open_split, write_split
from trainables.data.splits import Parts, Sample, Split, block_split, list_split, official_split, random_split

SPLITTERS: dict[str, Callable[[Dataset, DataSettings], Parts]] = {
    "official": lambda dataset, settings: official_split(dataset.samples),
    "lists": lambda dataset, settings: list_split(dataset.samples, dataset.lists),
    "blocks": lambda dataset, settings: block_split(dataset.samples, settings.shares, settings.gap),
    "random": lambda dataset, settings: random_split(dataset.samples, settings.shares, settings.split_seed),
}

# The settings that each way of splitting depends on; they are part of the fingerprint.
SPLIT_PARAMETERS: dict[str, tuple[str, ...]] = {
    "official": (),
    "lists": (),
    "blocks": ("shares", "gap"),
    "random": ("shares", "split_seed"),
}


def class_names(settings: DataSettings) -> tuple[str, ...]:
    """Names of the classes in the order of their label ids."""
    return open_dataset(settings).class_names


def split_mode(dataset: Dataset, settings: DataSettings) -> str:
    """The way of splitting, `auto` being resolved."""
    return dataset.default_split if settings.split == "auto" else settings.split


def split_samples(dataset: Dataset, settings: DataSettings, split: Split) -> tuple[Sample, ...]:
    """The samples of one split without dropped ones; opens no image and no mask.

    Raises DataError for unknown names in `drop`, unpaired files, and an empty split.
    """
    mode = split_mode(dataset, settings)
    dropped = frozenset(settings.drop)
    unknown = sorted(dropped - {sample.name for sample in dataset.samples})
    if unknown:
        raise DataError(f"data.drop names {', '.join(unknown)}: no such image; names are file names without suffix")
    parts = SPLITTERS[mode](dataset, settings)
    # Images are dropped after the split, so that dropping one moves no other into another split.
    samples = tuple(sample for sample in parts[split] if sample.name not in dropped)
    # A pool that is divided here must be paired as a whole, or the flaw would surface with the test split only;
    # in a given split the test images may lack masks until the end.
    pool = dataset.samples if mode in ("random", "blocks") else samples
    raise_findings(unpaired(dataset, (sample for sample in pool if sample.name not in dropped)), "images and masks")
    if not samples:
        why = dataset.unpublished.get(split) if mode == "official" else None
        raise DataError(
            f"the {split} split is empty ({len(dataset.samples)} images in all, data.split {mode}): "
            + (why or "add images, or change data.split, data.shares, data.gap or data.drop")
        )
    return samples


def prepare(settings: DataSettings, split: Split, cache: Path) -> SplitData:
    """The split as a trial sees it: of training `data.fraction`, then cleaned; everything else as `split_data`.

    With `data.fold` train and validation are divided anew before.
    """
    data = split_data(settings, split, cache) if split is Split.TEST else _searched(settings, split, cache)
    if split is not Split.TRAIN:
        return data
    return cleaned(fraction_of(data, settings.fraction, settings.split_seed, cache), settings, cache)


def _searched(settings: DataSettings, split: Split, cache: Path) -> SplitData:
    if settings.fold is None:
        return split_data(settings, split, cache)
    own_size = settings.model_copy(update={"eval_size": None})
    parts = [split_data(own_size, part, cache) for part in (Split.TRAIN, Split.VALIDATION)]
    return fold_part(parts, split, settings.fold, settings.split_seed, settings.eval_size, cache)


def split_data(settings: DataSettings, split: Split, cache: Path) -> SplitData:
    """The whole split, decoded and resized, as memory maps below `cache`; built if absent, by one process per node.

    A later call decodes nothing: it compares file sizes and times. Files of other splits are never opened.
    Raises DataError with everything that is wrong with this split's images and masks.
    """
    dataset = open_dataset(settings)
    samples = split_samples(dataset, settings, split)
    mode = split_mode(dataset, settings)
    parameters = {"split": mode, **{name: getattr(settings, name) for name in SPLIT_PARAMETERS[mode]}}
    layout = Layout(
        size=settings.size,
        eval_size=settings.eval_size if split is Split.VALIDATION else None,
        classes=len(dataset.class_names),
        ignored=dataset.ignored,
    )
    recipe = {
        "format": settings.format,  # formats read the same bytes differently
        "size": layout.size,
        "eval_size": layout.eval_size,
        "classes": layout.classes,
        "ignored": sorted(layout.ignored),
        "resize": RESIZE_RULE,
        "stored": STORED,
        "drop": sorted(settings.drop),
    }
    stamp = cache / "stamps" / f"{split_stamp(dataset, samples, parameters)}.json"
    fingerprint = known_fingerprint(stamp)
    folder = folder_of(cache, split, fingerprint, recipe) if fingerprint else None
    if fingerprint is None or folder is None or not folder.is_dir():
        with builder_lock(cache):
            fingerprint = known_fingerprint(stamp) or split_fingerprint(dataset, samples, parameters)
            folder = folder_of(cache, split, fingerprint, recipe)
            if not folder.is_dir():
                where = f"the {split} split of {settings.root or settings.format}"
                build_folder(folder, lambda target: write_split(dataset, samples, layout, target, where))
            write_atomically(stamp, json.dumps({"fingerprint": fingerprint}))
    return open_split(folder, dataset.class_names, fingerprint)


def known_fingerprint(stamp: Path) -> str | None:
    """The fingerprint stored when files of this stamp were last read."""
    if not stamp.is_file():
        return None
    return str(json.loads(stamp.read_text(encoding="utf-8"))["fingerprint"])


def folder_of(cache: Path, split: Split, fingerprint: str, recipe: dict[str, Any]) -> Path:
    """The folder that holds the split of this fingerprint in this layout."""
    return cache / f"{split}-{digest([fingerprint, recipe])[:32]}"
