"""A disk that is full while a trial writes: files limited in size by the kernel, and a real small file system."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.small_disk import small_disk
from trainables.trial_folder import TrialFolder
from trainables.trial_run import TrialRun

# Writes what it is told in a folder whose files may have LIMIT bytes each, and prints what was raised.
LIMITED = """
import resource, signal, sys
from pathlib import Path
import torch
from trainables.trial_folder import TrialFolder

folder = TrialFolder(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    {what}
except OSError as error:
    print(type(error).__name__, error)
"""
SAVED = 'folder.save("last.pt", {"rows": 2, "state": {"weights": [torch.ones(2**20), torch.ones(100)]}})'


def limited(folder: Path, what: str, limit: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.replace("{what}", what), str(folder), str(limit)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 2**21])
def test_the_earlier_checkpoint_still_loads_and_the_message_says_what_is_needed(tmp_path, limit):
    folder = TrialFolder(tmp_path)
    folder.save("last.pt", {"rows": 1, "weights": torch.ones(3)})
    told = limited(tmp_path, SAVED, limit)
    assert told.startswith(f"DiskFull {tmp_path / 'last.pt'} cannot be written (File too large)")
    assert "4,194,704 bytes" in told
    assert f"are free in {tmp_path}" in told
    assert "Free some space" in told
    loaded = folder.load("last.pt")
    assert loaded["rows"] == 1
    assert torch.equal(loaded["weights"], torch.ones(3))
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.slow
def test_a_row_is_written_whole_or_not_at_all(tmp_path):
    folder = TrialFolder(tmp_path)
    folder.append_row({"epoch": 1})
    whole = (tmp_path / "epochs.jsonl").read_bytes()
    told = limited(tmp_path, 'folder.append_row({"epoch": 2, "text": "x" * 1000})', len(whole) + 300)
    assert told.startswith(f"DiskFull {tmp_path / 'epochs.jsonl'} cannot be written")
    assert (tmp_path / "epochs.jsonl").read_bytes() == whole


def test_other_errors_of_a_file_stay_what_they_are(tmp_path):
    folder = TrialFolder(tmp_path)
    (tmp_path / "last.pt").mkdir()
    with pytest.raises(IsADirectoryError):
        folder.save("last.pt", {"rows": 1})


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as place:
        yield place


@pytest.mark.slow
def test_a_trial_on_a_full_disk_fails_and_goes_on_when_there_is_room(disk, tmp_path, terrain_cache, terrain_settings):
    settings = terrain_settings(epochs=3)
    folder, cpu = disk / "trial", torch.device("cpu")
    run = TrialRun(settings, folder, terrain_cache, threads=1, device=cpu)
    run.next_row()
    free = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize - 8192))
    with pytest.raises(OSError, match=r"No space left on device\): it needs about [\d,]+ bytes") as raised:
        run.next_row()
    assert type(raised.value).__name__ == "DiskFull"
    rows = [json.loads(line)["epoch"] for line in (folder / "epochs.jsonl").read_text().splitlines()]
    assert rows in ([1], [1, 2])
    assert TrialFolder(folder).load("last.pt")["rows"] == 1
    assert TrialFolder(folder).load("best.pt")["epoch"] == 1

    (disk / "ballast").unlink()
    again = TrialRun(settings, folder, terrain_cache, have=1, threads=1, device=cpu)
    assert [again.next_row()["epoch"], again.next_row()["epoch"]] == [2, 3]
    other = TrialRun(settings, tmp_path / "undisturbed", terrain_cache, threads=1, device=cpu)
    undisturbed = [other.next_row()["value"] for _ in range(3)]
    assert [row["value"] for row in again.rows] == undisturbed
