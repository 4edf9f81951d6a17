"""CamVid as SegNet publishes it: train/, trainannot/, val/, valannot/, test/, testannot/ (Brostow et al. 2009)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.data.errors import DataError, raise_findings
from trainables.data.formats.files import FileDataset, files_by_stem, ignored_labels, label_names, required_root
from trainables.data.splits import Sample, Split, sequence_and_frame

if TYPE_CHECKING:
    from trainables.data.settings import DataSettings

FOLDERS = {Split.TRAIN: "train", Split.VALIDATION: "val", Split.TEST: "test"}
VOID = 11


def open_camvid(settings: DataSettings) -> FileDataset:
    """List CamVid; the sequence is the name before the underscore, the frame number the digits after it."""
    root = required_root(settings.root)
    ignored = ignored_labels(settings.ignore_index) | {VOID}
    samples: dict[str, Sample] = {}
    findings = []
    for split, folder in FOLDERS.items():
        images, masks = files_by_stem(root / folder), files_by_stem(root / f"{folder}annot")
        for name in sorted(images.keys() | masks.keys()):
            place = sequence_and_frame(name)
            if place is None:
                findings.append(f"{folder}/{name}: expected a name like 0016E5_08640 or Seq05VD_f05100")
                continue
            if name in samples:
                findings.append(f"{name} lies in {samples[name].published} and in {split}: keep one")
            samples[name] = Sample(name, *place, published=split, image=images.get(name), mask=masks.get(name))
    raise_findings(findings, str(root))
    if not samples:
        raise DataError(f"{root} holds no images: expected CamVid's train/, val/ and test/ folders with images")
    return FileDataset(
        root=root,
        samples=tuple(sorted(samples.values(), key=lambda sample: (sample.group, sample.frame or 0))),
        class_names=label_names(root, settings.classes, ignored),
        ignored=ignored,
        default_split="blocks",
    )
