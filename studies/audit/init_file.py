"""A first study file for a data set: audited, commented, ready to be launched and to be changed."""

from collections import Counter
from pathlib import Path

from studies.audit.findings import Audit
from studies.audit.init_text import study_text
from studies.audit.reading import Listed, list_data
from studies.audit.run import SEARCHED, run_audit
from studies.audit.target import AuditError
from studies.files.study_file import parse_study
from trainables.data.errors import DataError
from trainables.data.settings import DataSettings
from trainables.data.splits import Split, sequence_and_frame

LONGEST_PX = 256  # longer sides are shrunk to this: a first search is about settings, not about the last pixel
MULTIPLE = 32  # sides are rounded to it: the stride of most encoders, so that nothing is padded
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
