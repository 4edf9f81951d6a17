"""Images a second of each augmentation set, of decoding files, and of the cache against decoding."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import Comparison, measure_pairs, ratios
from trainables.data.augment import augment, build_pipeline
from trainables.data.augment_sets import AUGMENT_SETS
from trainables.data.augment_settings import AugmentSettings
from trainables.data.dataset import prepare, split_samples
from trainables.data.formats.table import open_dataset
from trainables.data.settings import DataSettings
from trainables.data.splits import Split

SIZE, IMAGES, REPEATS, LEAST = (360, 480), 40, 5, 5.0
ROOT = Path(__file__).resolve().parents[1]


def compare(images: int = IMAGES, repeats: int = REPEATS, root: Path | None = None) -> Comparison:
    """Read training pairs of CamVid from the cache and by decoding their files; both must give the same pixels."""
    shared = Path(os.environ.get("CONTOURNEY_SHARED", ROOT.parent / "shared"))
    settings = DataSettings(format="camvid", root=str(root or shared / "data" / "camvid"), size=SIZE)
    dataset = open_dataset(settings)
    samples = split_samples(dataset, settings, Split.TRAIN)[:images]
    with tempfile.TemporaryDirectory() as cache:
        data = prepare(settings, Split.TRAIN, Path(cache))
        for index, sample in enumerate(samples[:3]):
            if not (dataset.image(sample) == data.images_NHWC[index]).all():
                raise RuntimeError(f"expected the cache to hold {sample.name} as it is decoded, got other pixels")

        def cached() -> float:
            return _seconds_each(
                (np.array(data.images_NHWC[i]), np.array(data.masks_NHW[i])) for i in range(len(samples))
            )

        def decoded() -> float:
            return _seconds_each((dataset.image(sample), dataset.mask(sample)) for sample in samples)

        # A rate per core: OpenCV would spread some transforms over all of them.
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        measure_pairs(cached, decoded, 1)
        ours_s, peer_s = measure_pairs(cached, decoded, repeats)
        pairs = [(np.array(data.images_NHWC[i]), np.array(data.masks_NHW[i])) for i in range(len(samples))]
        rates = {name: 1 / statistics.median(_augmented(name, pairs) for _ in range(repeats)) for name in AUGMENT_SETS}
        cv2.setNumThreads(threads)
    rows = [f"| {name} | {rate:,.0f} |" for name, rate in rates.items()]
    return Comparison(
        theme="augment",
        what=f"Reading training pairs: seconds per pair, CamVid at {SIZE[1]}x{SIZE[0]}, one core",
        unit="s",
        ours=ours_s,
        peer=peer_s,
        claim=f"the cached path at least {LEAST:g} x decoding files, a ratio of at most {1 / LEAST:g}",
        holds=statistics.median(ratios(ours_s, peer_s)) <= 1 / LEAST,
        packages=("albumentations", "opencv-python-headless", "pillow", "numpy"),
        notes=(
            "Ours: image and mask copied out of the memory-mapped cache (in the page cache); peer: both files decoded.",
            f"Decoding comes to {1 / statistics.median(peer_s):,.0f} images a second, the cache to "
            f"{1 / statistics.median(ours_s):,.0f}.",
            f"Augmentation of {len(samples)} pairs from memory, images a second of one core, at strength 1:",
            "",
            "| set | images/s |",
            "|---|---|",
            *rows,
        ),
    )


def _augmented(name: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    pipeline = build_pipeline(AugmentSettings(set=name), SIZE)
    return _seconds_each(augment(pipeline, *pair, (0, 1, index)) for index, pair in enumerate(pairs))


def _seconds_each(pairs: Iterable[object]) -> float:
    started = time.perf_counter()
    count = sum(1 for _ in pairs)
    return (time.perf_counter() - started) / count
