"""The text of a first study file: what was chosen, why, and what was found."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studies.audit.findings import Audit
from studies.audit.tables import drop_yaml
from trainables.data.settings import DataSettings
from trainables.data.splits import Split

BATCH = 8


def study_text(settings: DataSettings, audit: Audit, output: Path, weights: str | None, encoder: str) -> str:
    """The study file as text."""
    return "\n".join([*_header(settings, audit, output, weights), "", *_trial(settings, audit, weights, encoder), "",
                      *_space(audit, weights), "", *_search(), ""])  # fmt: skip


def _header(settings: DataSettings, audit: Audit, output: Path, weights: str | None) -> Iterator[str]:
    name = Path(settings.root).name if settings.root else settings.format
    counts = ", ".join(f"{count} {split}" for split, count in audit.images.items())
    reasons = Counter(audit.drop.values())
    model = "a small U-Net from scratch" if weights is None else "a U-Net over a pretrained encoder"
    yield f"# A first study of {name}: what {model} makes of it, and which settings matter."
    yield "#"
    yield f"# command:  contourney launch {output}"
    yield f"# data:     {counts}; {len(audit.class_names)} classes"
    yield "# audit:    " + (
        "no image has to be left out"
        if not reasons
        else "\n#           ".join(f"{count} left out: {reason}" for reason, count in reasons.items())
    )
    yield "#           `contourney audit DATA --output audit.html` shows it with pictures; test was not opened"


def _trial(settings: DataSettings, audit: Audit, weights: str | None, encoder: str) -> Iterator[str]:
    yield "trial:"
    yield "  epochs: 20"
    yield f"  batch_size: {min(BATCH, max(1, audit.images[Split.TRAIN] - len(audit.drop)))}"
    yield "  data:"
    yield from _data(settings, audit, weights)
    if weights is None:
        yield "  model:"
        yield "    name: unet"
        yield "    width: 16  # channels of the first stage, doubled at each; 64 is the published U-Net"
        yield "    depth: 4"
    else:
        yield "  model:"
        yield "    name: smp_unet"
        yield f"    encoder: {encoder}"
        yield f"    weights: {json.dumps(weights)}"
    yield "  optimizer:"
    yield "    name: adamw"
    yield "    weight_decay: 1e-4"


def _data(settings: DataSettings, audit: Audit, weights: str | None) -> Iterator[str]:
    written: dict[str, Any] = settings.model_dump(mode="json", exclude_defaults=True)
    written = {"format": settings.format, "root": settings.root, "split": settings.split} | written
    if weights is not None:
        written["normalize"] = "imagenet"
    notes = {
        "split": {
            "blocks": "contiguous blocks of each sequence, `gap` frames apart",
            "random": "whole groups at random; lists (data.split lists) keep images that belong together in one split",
        }.get(settings.split, "as published or listed"),
        "size": "height, width; larger costs more and usually gives more",
        "classes": "no names were found: give them in this order" if audit.unnamed else "",
    }
    for key, value in written.items():
        if value is None:
            continue
        if key == "drop":
            yield from drop_yaml(value).splitlines()[2:]
            continue
        note = f"  # {notes[key]}" if notes.get(key) else ""
        yield f"    {key}: {json.dumps(value, ensure_ascii=False)}{note}"


def _space(audit: Audit, weights: str | None) -> Iterator[str]:
    yield "# What is searched; whatever stands under `trial` could."
    yield "space:"
    yield "  # learning rate, its peak"
    yield "  optimizer.lr: {low: 1e-4, high: 1e-2, log: true}"
    yield "  # scheduler"
    yield "  schedule.name: {choices: [constant, cosine, one_cycle]}"
    yield "  # loss weighting: class weights from training pixels, and dice beside cross-entropy"
    yield "  loss.class_weights: {choices: [none, inverse, median_frequency]}"
    yield "  loss.terms.dice.weight: {low: 0.0, high: 1.0}"
    yield "  # augmentation: the set, and what its probabilities are multiplied by"
    yield "  augment.set: {choices: [none, light, strong]}"
    yield "  augment.strength:"
    yield "    low: 0.5"
    yield "    high: 1.5"
    yield "    when: {augment.set: [light, strong]}"
    if weights is None:
        yield "  # unfreeze depth: of a pretrained encoder; `contourney init --weights FILE` writes a study with one"
        yield "  # model.unfreeze: {choices: [decoder, stage4, stage3, all]}"
    else:
        yield "  # unfreeze depth, cumulatively from the decoder down to the first stage"
        yield "  model.unfreeze: {choices: [decoder, stage4, stage3, all]}"
    if audit.contaminated:
        yield "  # Contaminated images are left out above, of every split; this would do it in training alone:"
        yield "  # data.clean.drop_contaminated: {choices: [true, false]}"


def _search() -> Iterator[str]:
    yield "search:"
    yield "  trials: 24  # in all; `contourney extend` raises it"
