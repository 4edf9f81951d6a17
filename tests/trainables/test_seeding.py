"""Seeds: every source of randomness, and independent purposes."""

import random

import numpy as np
import torch

from trainables.seeding import derive, seed_everything


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_the_same_seed_gives_the_same_numbers_everywhere():
    seed_everything(3)
    first = draw()
    seed_everything(3)
    assert draw() == first
    seed_everything(4)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_derived_seeds_differ_by_seed_and_key_and_stay_the_same():
    seeds = {derive(seed, *keys) for seed in (0, 1) for keys in [("weights",), ("epoch", 1), ("epoch", 2)]}
    assert len(seeds) == 6
    assert derive(0, "epoch", 1) == derive(0, "epoch", 1) < 2**32
