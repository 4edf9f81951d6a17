"""The cache is built once, atomically, and a killed builder leaves nothing usable."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.data.cache import build_folder, builder_lock, readable, write_atomically
from trainables.data.dataset import prepare
from trainables.data.settings import DataSettings
from trainables.data.split_data import STORED
from trainables.data.splits import Split

BUILD = """
import sys, time
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
from pathlib import Path
from trainables.data.dataset import prepare
from trainables.data.settings import DataSettings
from trainables.data.splits import Split
print("ready", flush=True)
while not Path(sys.argv[3]).exists():
    time.sleep(0.001)
prepare(DataSettings.model_validate_json(sys.argv[1]), Split.TRAIN, Path(sys.argv[2]))
print(sum("/images/" in path for path in opened))
"""


def start_builder(settings: DataSettings, cache: Path, flag: Path) -> subprocess.Popen[str]:
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILD, settings.model_dump_json(), str(cache), str(flag)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert builder.stdout is not None
    assert builder.stdout.readline() == "ready\n"
    return builder


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name.startswith("train-"))


def test_two_builders_at_once_build_once(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder(count=60, size=(60, 80))
    cache, flag = tmp_path / "cache", tmp_path / "go"
    builders = [start_builder(settings, cache, flag) for _ in range(2)]
    flag.touch()
    opened = sorted(int(builder.communicate(timeout=180)[0]) for builder in builders)
    assert [builder.returncode for builder in builders] == [0, 0]
    # One read its 36 images, the other waited and read none.
    assert opened[0] == 0
    assert opened[1] >= 36
    assert len(folders(cache)) == 1


def test_a_killed_builder_leaves_nothing_usable_and_blocks_no_one(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder(count=100, size=(160, 200))
    cache, flag = tmp_path / "cache", tmp_path / "go"
    builder = start_builder(settings, cache, flag)
    flag.touch()
    deadline = time.monotonic() + 60
    while not list(cache.glob("train-*.building-*/images.bin")):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    builder.send_signal(signal.SIGKILL)
    assert builder.wait(timeout=180) == -signal.SIGKILL
    builder.communicate()
    assert [name for name in folders(cache) if "building" not in name] == []
    assert not (cache / "stamps").exists()
    data = prepare(settings, Split.TRAIN, cache)
    assert data.images_NHWC.shape == (60, 160, 200, 3)
    assert [name for name in folders(cache) if "building" in name] == []


def test_a_layout_is_reused_and_another_size_or_drop_is_another_folder(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings, cache = make_folder(), tmp_path / "cache"
    name = prepare(settings, Split.TRAIN, cache).names[0]
    first = folders(cache)
    inode = (cache / first[0] / "images.bin").stat().st_ino
    prepare(settings.model_copy(update={"normalize": "imagenet", "gap": 3}), Split.TRAIN, cache)
    assert folders(cache) == first
    assert (cache / first[0] / "images.bin").stat().st_ino == inode
    for change in ({"size": (6, 8)}, {"drop": (name,)}, {"ignore_index": 1}, {"classes": ("a", "b", "c", "d")}):
        before = set(folders(cache))
        prepare(settings.model_copy(update=change), Split.TRAIN, cache)
        assert len(set(folders(cache)) - before) == 1


def test_folders_of_an_older_layout_are_built_anew(
    tmp_path: Path, make_folder: Callable[..., DataSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, cache = make_folder(), tmp_path / "cache"
    prepare(settings, Split.TRAIN, cache)
    monkeypatch.setattr("trainables.data.dataset.STORED", STORED - 1)
    prepare(settings, Split.TRAIN, cache)
    assert len(folders(cache)) == 2


def test_files_touched_but_not_changed_reuse_the_folder(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings, cache = make_folder(), tmp_path / "cache"
    prepare(settings, Split.TRAIN, cache)
    for path in Path(settings.root or "").glob("*/*.png"):
        os.utime(path, (5, 5))
    before = folders(cache)
    prepare(settings, Split.TRAIN, cache)
    assert folders(cache) == before
    assert len(list((cache / "stamps").iterdir())) == 2


def test_a_removed_folder_is_built_again(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings, cache = make_folder(), tmp_path / "cache"
    first = prepare(settings, Split.TRAIN, cache)
    (folder,) = [cache / name for name in folders(cache)]
    folder.rename(tmp_path / "away")
    again = prepare(settings, Split.TRAIN, cache)
    assert again.fingerprint == first.fingerprint
    assert (again.images_NHWC == first.images_NHWC).all()


def test_a_failed_fill_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("stopped in the middle")

    with builder_lock(tmp_path), pytest.raises(RuntimeError, match="in the middle"):
        build_folder(tmp_path / "made", fill)
    assert [path.name for path in tmp_path.iterdir()] == ["build.lock"]


def test_a_folder_that_another_node_finished_first_is_taken(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "mine").touch()
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "theirs").touch()

    build_folder(tmp_path / "made", fill)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["made", "made/theirs"]


def test_small_files_are_replaced_whole_and_sizes_are_readable(tmp_path: Path) -> None:
    write_atomically(tmp_path / "deep" / "note.json", json.dumps({"a": 1}))
    write_atomically(tmp_path / "deep" / "note.json", json.dumps({"a": 2}))
    assert json.loads((tmp_path / "deep" / "note.json").read_text()) == {"a": 2}
    assert len(list((tmp_path / "deep").iterdir())) == 1
    assert readable(3 * 2**29) == "1.5 GiB"
    assert readable(2**20) == "1.0 MiB"
