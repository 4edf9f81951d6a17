"""Commands over a damaged journal: exit code 2, the line, what to do; and the file as it was."""

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from search.storage import open_storage
from tests.studies import prepared
from tests.studies.commands import Call, caller
from tests.studies.running import contourney

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


TORN = (
    "the last line was torn by a process that died while it wrote; its 19 bytes were cut off, and nothing else is lost"
)


@pytest.mark.slow
def test_a_torn_last_line_is_cut_and_said_by_each_command_that_goes_on(
    call: Call, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Without Ray: the data that this study was run on is other than its file's, which is seen after the opening.
    root = prepared.make(tmp_path / "w", trials=1)
    journal = root / "optuna.journal"
    for words, code in (("resume", 2), ("extend --trials 9", 2), ("enqueue optimizer.lr=0.005", 0)):
        whole = journal.read_bytes()
        journal.write_bytes(whole + b'{"op_code": 4, "wor')
        command, *options = words.split()
        arguments = (command, prepared.NAME, *options, "--workspace", str(root))
        if command == "enqueue":
            # As it is seen: a process without pytest's own loggers.
            done = contourney(*arguments)
            assert done.returncode == code, done.stderr
            assert done.stderr == f"{journal}: {TORN}\n"
        else:
            caplog.clear()
            assert call(*arguments)[0] == code
            assert [record.getMessage() for record in caplog.records if "torn" in record.message] == [
                f"{journal}: {TORN}"
            ]
        assert journal.read_bytes().startswith(whole)
        assert journal.read_bytes().endswith(b"\n")
