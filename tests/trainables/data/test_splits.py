from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.errors import DataError
from trainables.data.splits import (
    Sample,
    Split,
    block_split,
    list_split,
    official_split,
    random_split,
    sequence_and_frame,
    with_validation,
)

SHARES = (0.6, 0.2, 0.2)


def singles(count: int) -> list[Sample]:
    return [Sample(name=f"s{index}", group=f"s{index}") for index in range(count)]


def frames(sequence: str, numbers: list[int]) -> list[Sample]:
    return [Sample(name=f"{sequence}_{number}", group=sequence, frame=number) for number in numbers]


def test_random_split_meets_the_shares_and_depends_on_the_seed_alone() -> None:
    first = random_split(singles(100), SHARES, seed=3)
    assert [len(first[split]) for split in Split] == [60, 20, 20]
    assert random_split(singles(100), SHARES, seed=3) == first
    assert random_split(singles(100), SHARES, seed=4) != first


@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=30),
    seed=st.integers(0, 2**31),
)
def test_random_split_partitions_whole_groups_and_leaves_no_split_empty(sizes: list[int], seed: int) -> None:
    samples = [
        Sample(name=f"g{group}_{member}", group=f"g{group}")
        for group, size in enumerate(sizes)
        for member in range(size)
    ]
    parts = random_split(samples, SHARES, seed)
    assert sorted(sample.name for part in parts.values() for sample in part) == sorted(s.name for s in samples)
    owners = Counter(group for part in parts.values() for group in {sample.group for sample in part})
    assert set(owners.values()) == {1}
    assert all(parts.values())


def test_random_split_without_a_test_share_leaves_test_empty() -> None:
    parts = random_split(singles(10), (0.8, 0.2, 0.0), seed=0)
    assert [len(parts[split]) for split in Split] == [8, 2, 0]


def test_validation_comes_from_the_published_training_part_in_whole_groups() -> None:
    train = [Sample(f"t{n}", group=f"g{n // 2}", published=Split.TRAIN) for n in range(16)]
    test = [Sample(f"e{n}", group=f"g{n}", published=Split.TEST) for n in range(5)]
    samples = with_validation([*train, *test], SHARES, seed=2)
    assert [sample.name for sample in samples] == [sample.name for sample in [*train, *test]]
    parts = official_split(samples)
    assert [len(parts[split]) for split in Split] == [12, 4, 5]
    assert not {s.group for s in parts[Split.TRAIN]} & {s.group for s in parts[Split.VALIDATION]}
    assert {s.name for s in parts[Split.TEST]} == {s.name for s in test}
    assert with_validation([*train, *test], SHARES, seed=2) == samples
    assert with_validation([*train, *test], SHARES, seed=3) != samples


def test_blocks_worked_by_hand() -> None:
    # Ten frames 10 apart: 6 / 2 / 2. With a gap of 15 the last frame of train and of validation are too near.
    parts = block_split(frames("a", list(range(0, 100, 10))), SHARES, gap=15)
    numbers = {split: [sample.frame for sample in part] for split, part in parts.items()}
    assert numbers == {Split.TRAIN: [0, 10, 20, 30, 40], Split.VALIDATION: [60], Split.TEST: [80, 90]}


def test_blocks_keep_train_and_test_apart_when_validation_vanishes() -> None:
    parts = block_split(frames("a", list(range(10))), SHARES, gap=5)
    assert [sample.frame for sample in parts[Split.VALIDATION]] == []
    assert [sample.frame for sample in parts[Split.TRAIN]] == [0, 1, 2, 3]
    assert [sample.frame for sample in parts[Split.TEST]] == [8, 9]


@given(
    numbers=st.lists(st.integers(0, 2000), min_size=1, max_size=60, unique=True),
    other=st.lists(st.integers(0, 300), min_size=1, max_size=20, unique=True),
    gap=st.integers(0, 200),
)
def test_blocks_are_contiguous_and_never_nearer_than_the_gap(numbers: list[int], other: list[int], gap: int) -> None:
    samples = frames("a", numbers) + frames("b", other)
    parts = block_split(samples, SHARES, gap)
    for sequence in "ab":
        placed = {split: [s.frame or 0 for s in part if s.group == sequence] for split, part in parts.items()}
        for earlier, later in ((0, 1), (1, 2), (0, 2)):
            first, second = placed[list(Split)[earlier]], placed[list(Split)[later]]
            if first and second:
                assert min(second) - max(first) >= max(gap, 1)
    if gap == 0:
        assert sum(map(len, parts.values())) == len(samples)


def test_blocks_need_frame_numbers() -> None:
    with pytest.raises(DataError, match="'s0' tells no frame number"):
        block_split(singles(3), SHARES, gap=0)


def test_lists_refuse_a_name_twice_and_official_refuses_a_format_without_one() -> None:
    with pytest.raises(DataError, match="'s1' is listed twice, in train and test"):
        list_split(singles(3), {Split.TRAIN: ("s0", "s1"), Split.TEST: ("s1",)})
    with pytest.raises(DataError, match="no published split"):
        official_split(singles(3))
    with pytest.raises(DataError, match=r"no train\.txt"):
        list_split(singles(3), {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [("0016E5_08640", ("0016E5", 8640)), ("Seq05VD_f05100", ("Seq05VD", 5100)), ("holiday", None), ("a_b_3", None)],
)
def test_sequence_and_frame_of_a_name(name: str, expected: tuple[str, int] | None) -> None:
    assert sequence_and_frame(name) == expected


def test_random_split_is_one_of_many() -> None:
    first = {random_split(singles(10), SHARES, seed)[Split.TEST] for seed in range(20)}
    assert len(first) > 10
    assert np.mean([len(part) for part in first]) == 2
