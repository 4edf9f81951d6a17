"""Training a U-Net: images a second of contourney's loop against a plain fp32 PyTorch loop that decodes files."""

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import Comparison, measure_pairs, ratios
from trainables.data.augment import build_pipeline
from trainables.data.batches import TrainBatches
from trainables.data.dataset import prepare
from trainables.data.splits import Split
from trainables.device import choose_device, has_bf16_units, set_threads
from trainables.inference import place
from trainables.losses.criterion import Criterion
from trainables.memory import keep_freed_memory
from trainables.models.build import build_model
from trainables.models.settings import ModelSettings
from trainables.models.unet import UNet
from trainables.optimizers import build_optimizer
from trainables.schedules import Schedule
from trainables.seeding import seed_everything
from trainables.settings import TrialSettings
from trainables.train_pass import train_epoch

CLASSES, WIDTH, DEPTH, BATCH = 12, 16, 4, 8
FILE_SIZE, SIZE = (360, 480), (128, 160)
IMAGES, REPEATS, LEAST = 64, 5, 1.5
LR, SEED = 1e-3, 0


class Files(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Decodes, resizes and flips a pair of files at every visit, as tutorials do."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names = (root / "train.txt").read_text().split()

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        name = f"{self._names[index]}.png"
        height, width = SIZE
        with Image.open(self._root / "images" / name) as file:
            image = np.asarray(file.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
        with Image.open(self._root / "masks" / name) as file:
            mask = np.asarray(file.resize((width, height), Image.Resampling.NEAREST))
        image_CHW = torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255
        mask_HW = torch.from_numpy(mask.copy()).long()
        if torch.rand(()) < 0.5:
            image_CHW, mask_HW = image_CHW.flip(-1), mask_HW.flip(-1)
        if torch.rand(()) < 0.5:
            image_CHW, mask_HW = image_CHW.flip(-2), mask_HW.flip(-2)
        return image_CHW, mask_HW


def compare(images: int = IMAGES, repeats: int = REPEATS) -> Comparison:
    """Alternate epochs of both over the same files and the same model, one thread each."""
    device = choose_device()
    threads = torch.get_num_threads()
    set_threads(1)
    with tempfile.TemporaryDirectory(prefix="contourney-training-") as folder:
        root = Path(folder)
        write_images(root, images)
        ours, peer = _ours(root, device), _peer(root, device)
        measure_pairs(ours, peer, 1)
        ours_s, peer_s = measure_pairs(lambda: ours() / images, lambda: peer() / images, repeats)
    set_threads(threads)
    fast = statistics.median(ratios(ours_s, peer_s)) <= 1 / LEAST
    return Comparison(
        theme="training",
        what=f"Training: seconds per image, U-Net of width {WIDTH}, {CLASSES} classes, {SIZE[0]}x{SIZE[1]}",
        unit="s",
        ours=ours_s,
        peer=peer_s,
        claim=f"at least {LEAST:g} x the images a second on CPUs with bf16 units, a ratio of at most {1 / LEAST:.3g}",
        holds=fast if device.type == "cpu" and has_bf16_units(device) else None,
        packages=("torch", "albumentations", "pillow"),
        notes=(
            f"Both train {images} generated images a pass, PNG files of {FILE_SIZE[0]}x{FILE_SIZE[1]}: flips in both",
            f"directions, cross-entropy, AdamW, batch {BATCH}. Ours: the cache is made before the clock starts",
            "(a study makes it once for all trials), precision `auto`, channels_last. Peer: fp32, a DataLoader with",
            "num_workers=0 that decodes and resizes at every visit. One thread on the CPU on both sides; nothing is",
            "validated.",
            f"Device: {device.type}, bf16 units: {'yes' if has_bf16_units(device) else 'no'}.",
        ),
    )


def write_images(root: Path, images: int) -> None:
    """A folder data set of noisy rectangles, whose files take about as long to decode as photographs."""
    generator = np.random.default_rng(SEED)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    colours = generator.integers(0, 256, (CLASSES, 3))
    for index in range(images + 1):
        mask_HW = _rectangles(generator)
        noise = generator.integers(-8, 9, (*FILE_SIZE, 3))
        image_HWC = np.clip(colours[mask_HW] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(image_HWC).save(root / "images" / f"{index:04d}.png")
        Image.fromarray(mask_HW).save(root / "masks" / f"{index:04d}.png")
    names = [f"{index:04d}" for index in range(images + 1)]
    (root / "train.txt").write_text("\n".join(names[:-1]))
    # Not opened here, but a data set has one.
    (root / "validation.txt").write_text(names[-1])
    (root / "classes.txt").write_text("".join(f"{k} class{k}\n" for k in range(CLASSES)))


def _rectangles(generator: np.random.Generator) -> NDArray[np.uint8]:
    mask_HW = np.zeros(FILE_SIZE, dtype=np.uint8)
    for label in range(1, CLASSES):
        top, left = generator.integers(0, FILE_SIZE[0] - 80), generator.integers(0, FILE_SIZE[1] - 80)
        mask_HW[top : top + 80, left : left + 80] = label
    return mask_HW


def _settings(root: Path) -> TrialSettings:
    return TrialSettings.model_validate(
        {
            "epochs": 1000,
            "batch_size": BATCH,
            "data": {"format": "folder", "root": str(root), "size": SIZE},
            "augment": {"set": "flips"},
            "model": {"name": "unet", "width": WIDTH, "depth": DEPTH},
            "optimizer": {"name": "adamw", "lr": LR},
            "schedule": {"name": "constant"},
        }
    )


def _ours(root: Path, device: torch.device) -> Callable[[], float]:
    """Seconds of a training epoch of the trainable's own loop."""
    settings = _settings(root)
    data = prepare(settings.data, Split.TRAIN, root / "cache")
    keep_freed_memory()
    seed_everything(SEED)
    net = build_model(settings.model, data.images_NHWC.shape[-1], CLASSES)
    inference = place(net, settings, device)
    criterion = Criterion(settings.loss, None)
    optimizer = build_optimizer(net, settings.optimizer)
    batches = TrainBatches(data, BATCH, build_pipeline(settings.augment, SIZE), SEED)
    schedule = Schedule(optimizer, settings.schedule, settings.epochs, len(batches))
    epochs = count(1)

    def epoch() -> float:
        number = next(epochs)
        started = time.perf_counter()
        first = (number - 1) * len(batches)
        loss = train_epoch(inference, criterion, optimizer, schedule, batches.epoch(number), first)
        spent_s = time.perf_counter() - started
        if not math.isfinite(loss):
            raise RuntimeError(f"expected a finite loss, got {loss}")
        return spent_s

    return epoch


def _peer(root: Path, device: torch.device) -> Callable[[], float]:
    """Seconds of a training epoch of a plain loop."""
    torch.manual_seed(SEED)
    model = UNet(3, CLASSES, ModelSettings(width=WIDTH, depth=DEPTH)).to(device).train()
    loader = DataLoader(Files(root), batch_size=BATCH, shuffle=True, num_workers=0)
    criterion = nn.CrossEntropyLoss(ignore_index=255)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)

    def epoch() -> float:
        started = time.perf_counter()
        total = 0.0
        for images_BCHW, masks_BHW in loader:
            loss = criterion(model(images_BCHW.to(device)), masks_BHW.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        spent_s = time.perf_counter() - started
        if not math.isfinite(total):
            raise RuntimeError(f"expected a finite loss, got {total}")
        return spent_s

    return epoch
