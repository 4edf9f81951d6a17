"""Commands over a damaged journal: exit code 2, the line, what to do; and the file as it was."""

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from search.storage import open_storage
from tests.studies.commands import Call, caller

Damage = Callable[[list[bytes]], bytes]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: b"\0\1garbage", "line 1"),
        (lambda lines: b"".join([*lines[:1], b"garbage\n", *lines[1:]]), "line 2"),
        (lambda lines: b"".join([*lines, b"\0" * 100 + b"\n"]), "the last line"),
        (lambda lines: b"".join([lines[0], lines[1][:9], *lines[2:]]), "line 2"),
    ],
    ids=["garbage", "middle", "NUL line", "torn in the middle"],
)
def test_every_command_says_where_and_changes_nothing(call: Call, tmp_path: Path, damage: Damage, line: str) -> None:
    path = tmp_path / "optuna.journal"
    study = optuna.create_study(study_name="s", storage=open_storage(str(path), write=True))
    for number in range(4):
        study.set_user_attr(str(number), number)
    content = damage(path.read_bytes().splitlines(keepends=True))
    path.write_bytes(content)
    for command in (["status", "s"], ["list"], ["report", "s"], ["resume", "s"], ["extend", "s", "--trials", "9"]):
        code, out, err = call(*command, "--workspace", str(tmp_path))
        assert code == 2, command
        assert line in err
        assert "restore a copy of the file" in err
        assert "Traceback" not in out + err
        assert path.read_bytes() == content
