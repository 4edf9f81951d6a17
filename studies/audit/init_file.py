"""A first study file for a data set: audited, commented, ready to be launched and to be changed."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studies.audit.findings import Audit
from studies.audit.reading import Listed, list_data
from studies.audit.run import SEARCHED, run_audit
from studies.audit.tables import drop_yaml
from studies.audit.target import AuditError
from studies.study_file import parse_study
from trainables.data.errors import DataError
from trainables.data.settings import DataSettings
from trainables.data.splits import Split, sequence_and_frame

LONGEST_PX = 256  # longer sides are shrunk to this: a first search is about settings, not about the last pixel
MULTIPLE = 32  # sides are rounded to it: the stride of most encoders, so that nothing is padded
BATCH = 8
GAPS = (150, 30, 5)  # frames between two blocks, tried in this order
FEW_COPIES = 0.1  # of the validation images: more is a video that needs another split, not a few images to drop
DEFAULT_ENCODER = "mobilenetv2_100"


def write_init(
    settings: DataSettings, guessed: bool, output: Path, *, weights: str | None, encoder: str = DEFAULT_ENCODER
) -> Audit:
    """Audit the data set and write the study file; returns the audit that it rests on.

    Raises AuditError where the file exists or the data need a decision first.
    """
    if output.exists():
        raise AuditError(f"{output} exists and is not overwritten; name another place with --output")
    chosen, audit = choose(settings, guessed)
    text = study_text(chosen, audit, output, weights, encoder)
    # What is written is checked like any other study file.
    parse_study(text, str(output), output.stem)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        # Not replaced: somebody may have written it meanwhile.
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise AuditError(f"cannot write {output}: {error.strerror}; choose another place with --output") from error
    return audit


def choose(settings: DataSettings, guessed: bool) -> tuple[DataSettings, Audit]:
    """The settings of the data for a first study, and their audit; raises AuditError for what needs a decision."""
    listed = list_data(settings)
    if settings.size is None:
        settings = settings.model_copy(update={"size": suggested_size(listed)})
    if settings.root is not None:
        settings = settings.model_copy(update={"root": str(Path(settings.root).expanduser().absolute())})
    settings = settings.model_copy(update={"split": listed.mode})
    audit = run_audit(settings, guessed).audit
    if listed.mode == "random" and _copies(audit) > FEW_COPIES and _is_video(listed):
        for gap in GAPS:
            blocks = settings.model_copy(update={"split": "blocks", "gap": gap})
            if all(list_data(blocks).parts.values()):
                settings, audit = blocks, run_audit(blocks, guessed).audit
                break
    _require_decided(audit)
    kept = {"drop": tuple(audit.drop)} | ({"classes": tuple(audit.class_names)} if audit.unnamed else {})
    settings = settings.model_copy(update=kept)
    if empty := [split.value for split in SEARCHED if not list_data(settings).parts[split]]:
        raise AuditError(
            f"nothing is left of {' and '.join(empty)} without the {len(audit.drop)} images that the audit objects to: "
            "see `contourney audit` and mend the data, or divide it otherwise with --set data.split=..."
        )
    return settings, audit


def suggested_size(listed: Listed) -> tuple[int, int] | None:
    """Height and width for a first study from the files' headers; None where all are small and of one size."""
    shapes = Counter[tuple[int, int]]()
    for split in SEARCHED:
        for sample in listed.parts[split]:
            if not listed.dataset.missing(sample):
                try:
                    shapes[listed.dataset.shapes(sample)[0][:2]] += 1
                except DataError:
                    continue  # the audit names it
    if not shapes:
        raise AuditError(f"{listed.settings.root}: no image of training and validation can be read")
    height, width = shapes.most_common(1)[0][0]
    if len(shapes) == 1 and max(height, width) <= LONGEST_PX:
        return None
    scale = min(1.0, LONGEST_PX / max(height, width))
    return _rounded(height * scale), _rounded(width * scale)


def _rounded(side: float) -> int:
    return max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE)


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
    yield "  augment.set: {choices: [none, flips, strong]}"
    yield "  augment.strength:"
    yield "    low: 0.5"
    yield "    high: 1.5"
    yield "    when: {augment.set: [flips, strong]}"
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


def _copies(audit: Audit) -> float:
    """Share of the validation images that have a near copy in training."""
    found = [row for row in audit.across if (row["in"], row["and"]) == (Split.TRAIN, Split.VALIDATION)]
    return len(found) / max(1, audit.images[Split.VALIDATION])


def _is_video(listed: Listed) -> bool:
    """Whether names tell sequence and frame, so that the folder format can be split by blocks."""
    return listed.settings.format == "folder" and all(sequence_and_frame(one.name) for one in listed.dataset.samples)


def _require_decided(audit: Audit) -> None:
    if audit.unknown_labels:
        row = audit.unknown_labels[0]
        raise AuditError(
            f"masks of {len(audit.unknown_labels)} images have labels that are no class, such as {row['name']} with "
            f"{', '.join(map(str, row['labels']))}: name all classes with --set data.classes=[...], or say which label "
            "does not count with --set data.ignore_index=N"
        )
    labels = [row["label"] for row in audit.labels if row["class"] != "ignored"]
    if audit.unnamed and (len(labels) < 2 or len(labels) * 2 < max(labels)):
        shown = ", ".join(str(row["label"]) for row in audit.labels[:10])
        raise AuditError(
            f"the masks hold the values {shown}: expected label ids 0, 1, 2, ... and 255 for pixels that do not count; "
            "write masks of ids, or name the classes with --set data.classes=[...]"
        )
