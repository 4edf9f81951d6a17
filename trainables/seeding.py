"""Every source of randomness is seeded here and nowhere else."""

import hashlib
import random

import numpy as np
import torch


def derive(seed: int, *keys: int | str) -> int:
    """A seed in 0 … 2^32 - 1 for one purpose, a function of the trial's seed and the keys alone."""
    text = repr((seed, *keys)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch on every device, and hold cuDNN to reproducible algorithms."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
