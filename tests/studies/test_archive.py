"""A study as one file and back: what comes through, what is refused with nothing half-made, what a crash leaves."""

import hashlib
import json
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from benchmarks.check_study import check_study
from benchmarks.records import read_records
from search.copying import find_difference, read_content, trial_data
from search.lease import open_lease
from search.storage import open_storage
from studies.files.study_settings import CONFIRM
from studies.promotion.vault import TestVault, VaultError, promoted_trials
from studies.running.places import STORAGE
from studies.stored import StudyError, open_study, study_names
from studies.upkeep.archive_file import MANIFEST, ArchiveError
from studies.upkeep.archive_reader import reading
from studies.upkeep.archiving import archive
from studies.upkeep.restoring import restore
from studies.workspace import Workspace
from tests.servers import Postgres
from tests.studies.commands import Call, caller
from tests.studies.prepared import FILE, NAME, contents, copied, make
from tests.studies.rayless import Drivers, drive
from tests.studies.running import ROOT, environment, ready
from tests.studies.test_kills import EPOCHS
from tests.studies.test_kills import FILE as KILLED

SPLIT = "f" * 64


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study with a run of a row, a report and an opening of a test split."""
    place = Workspace.open(make(tmp_path_factory.mktemp("done") / "w", trials=2))
    study = optuna.create_study(study_name=NAME + CONFIRM, storage=open_storage(place.storage, write=True))
    study.enqueue_trial({}, user_attrs={"role": "row", "key": "a", "seed": 0, "settings": {}})
    study.set_user_attr("facts", open_study(NAME, place).user_attrs["facts"])
    folder = place.trial_folder(NAME + CONFIRM, 0)
    folder.mkdir(parents=True)
    (folder / "best.pt").write_bytes(b"12345")
    (place.study_folder(NAME) / "report.html").write_text("a report")
    vault = TestVault(place.storage, SPLIT)
    subject = {"study": NAME, "trial": 1, "weights": "w"}
    head = vault.record(vault.open(subject, again=None), subject, {"miou": 0.5, "pixel_accuracy": 0.6})
    record = {"trial": 1, "weights": "w", "fingerprint": SPLIT, "head": head, "opening": 1, "mlflow_run_id": "r"}
    open_study(NAME, place, write=True).set_user_attr("promotion", record)
    return place


@pytest.fixture(scope="module")
def file(done: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(NAME, done, tmp_path_factory.mktemp("file") / "a.zip").path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


@pytest.fixture
def there(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "there")


def without_mlflow(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    data = trial_data(trial)
    data["user_attrs"] = {key: value for key, value in data["user_attrs"].items() if key != "mlflow_run_id"}
    return data


def archived(folder: Path) -> dict[str, bytes]:
    """What an archive has of a study's folder: nothing that only a trial under way needs, nothing hidden."""
    return {name: text for name, text in contents(folder).items() if not name.endswith(("last.pt", ".claim"))}


def nothing_is_in(place: Workspace) -> bool:
    folder = place.root / "studies"
    return study_names(place) == [] and (not folder.is_dir() or list(folder.iterdir()) == [])


def test_all_that_a_study_is_comes_through(done: Workspace, file: Path, there: Workspace) -> None:
    found = restore(file, there)
    assert (found.name, found.trials, found.ledger_entries) == (NAME, 3, 2)
    for name in (NAME, NAME + CONFIRM):
        assert contents(there.study_folder(name)) == archived(done.study_folder(name))
    before, after = open_study(NAME, done), open_study(NAME, there)
    assert [trial_data(trial) for trial in after.trials] == [without_mlflow(trial) for trial in before.trials]
    changed = {"restored", "promotion", "storage"}
    kept = {key: value for key, value in before.user_attrs.items() if key not in changed}
    assert {key: value for key, value in after.user_attrs.items() if key not in changed} == kept
    promotion = dict(before.user_attrs["promotion"])
    del promotion["mlflow_run_id"]
    assert after.user_attrs["promotion"] == promotion
    assert TestVault(there.storage, SPLIT).entries() == TestVault(done.storage, SPLIT).entries()
    assert promoted_trials(after) == {1}
    assert [path.name for path in (there.root / "studies").iterdir() if path.name.startswith(".")] == []


def test_the_commands_write_it_bring_it_back_and_write_mlflow_again(
    call: Call, done: Workspace, there: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call("archive", NAME, "--workspace", str(done.root))
    assert (code, err) == (0, "")
    output = Path(f"{done.study_folder(NAME).name}.zip")
    size = output.stat().st_size
    with zipfile.ZipFile(output) as written:
        files = len(written.namelist()) - 4
    assert out == f"{output}: study 'prepared', 3 trials, {files} files, {size:,} bytes\n"
    again = call("archive", NAME, "--workspace", str(done.root))
    assert again[0] == 2
    assert "is there already; name another file with --output" in again[2]
    ready(there.root)
    code, out, err = call("restore", str(output), "--name", "new", "--workspace", str(there.root))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"study 'new' is restored: 3 trials, {files} files, 2 entries of the test ledger",
        f"next: contourney status new --workspace {there.root}",
    ]
    check_study(read_records(there.root, "new"), 2, 3, least_pruned=0)
    # What was promoted under another name is still known.
    assert promoted_trials(open_study("new", there)) == {1}
    refused = call("restore", str(output), "--name", "new", "--workspace", str(there.root))
    assert refused[0] == 2
    assert "study 'new' exists in" in refused[2]


def test_without_weights_those_of_ended_trials_stay_out(done: Workspace, there: Workspace, tmp_path: Path) -> None:
    restore(archive(NAME, done, tmp_path / "small.zip", weights=False).path, there)
    kept = {name for name in contents(there.study_folder(NAME)) if name.endswith(".pt")}
    assert kept == set()
    # A run that has not begun is no trial that has ended.
    assert (there.trial_folder(NAME + CONFIRM, 0) / "best.pt").read_bytes() == b"12345"


def test_trials_that_are_kept_elsewhere_come_into_the_workspace(
    done: Workspace, there: Workspace, tmp_path: Path
) -> None:
    place = copied(done.root, tmp_path / "here")
    trials = place.study_folder(NAME) / "trials"
    shutil.copytree(trials, tmp_path / "far" / place.study_folder(NAME).name / "trials")
    shutil.rmtree(trials)
    open_study(NAME, place, write=True).set_user_attr(STORAGE, (tmp_path / "far").as_uri())
    restore(archive(NAME, place, tmp_path / "far.zip").path, there)
    assert contents(there.study_folder(NAME)) == archived(done.study_folder(NAME))
    assert open_study(NAME, there).user_attrs[STORAGE] is None


def test_what_cannot_be_archived_is_refused(done: Workspace, tmp_path: Path) -> None:
    output = tmp_path / "a.zip"
    for held in (NAME, NAME + CONFIRM):
        with (
            open_lease(done.storage, held),
            pytest.raises(ValueError, match=rf"study '{held}' is being run by process"),
        ):
            archive(NAME, done, output)
    with pytest.raises(StudyError, match=r"no study 'none'"):
        archive("none", done, output)
    with pytest.raises(ArchiveError, match=r"cannot write .*name another with --output"):
        archive(NAME, done, tmp_path / "no" / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_that_name_or_its_folder_stays_as_it_is(file: Path, there: Workspace) -> None:
    folder = there.study_folder(NAME)
    folder.mkdir(parents=True)
    (folder / "mine").write_text("mine")
    with pytest.raises(StudyError, match=r"exists, though there is no study 'prepared'"):
        restore(file, there)
    assert (folder / "mine").read_text() == "mine"
    restore(file, there, "other")
    before = read_content(open_study("other", there))
    with pytest.raises(StudyError, match=r"study 'other' exists in"):
        restore(file, there, "other")
    assert find_difference(before, read_content(open_study("other", there))) is None
    for name in ("x" + CONFIRM, " ", "x" * 300):
        with pytest.raises(ArchiveError, match=r"no settings of this version"):
            restore(file, there, name)


def test_openings_are_taken_over_once_and_another_story_is_refused(
    done: Workspace, file: Path, there: Workspace, tmp_path: Path
) -> None:
    assert restore(file, there, "first").ledger_entries == 2
    assert restore(file, there, "second").ledger_entries == 0
    vault = TestVault(there.storage, SPLIT)
    later = vault.open({"study": "first", "trial": 0, "weights": "v"}, again="for a reason")
    assert later.number == 2
    # What is known here beyond the archive stays.
    assert restore(file, there, "third").ledger_entries == 0
    assert len(vault.entries()) == 3
    other = Workspace.open(tmp_path / "other")
    open_storage(other.storage, write=True)
    TestVault(other.storage, SPLIT).note({"study": "x"})
    with pytest.raises(VaultError, match=r"differ from entry 0 on: the test images were looked at in both places"):
        restore(file, other)
    assert len(TestVault(other.storage, SPLIT).entries()) == 1
    assert study_names(other) == ["contourney-vault"]
    assert list((other.root / "studies").iterdir()) == []


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> Path:
    """An archive with other members and manifest; what a change does not touch keeps its digest."""
    with zipfile.ZipFile(source) as file:
        members = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(members.pop(MANIFEST))
    change(members, manifest)
    with zipfile.ZipFile(target, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
        file.writestr(MANIFEST, json.dumps(manifest))
    return target


def declare(members: dict[str, bytes], manifest: dict[str, Any], name: str, content: bytes) -> None:
    members[name] = content
    manifest["members"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize(
    "name",
    ["../out", "/etc/out", "search/../../out", "search/./out", "search//out", "search/.hidden", "out", "search/a\\b",
     "other/out", "search/" + "x" * 300, "search/\x00out", "search/trials/00000/epochs.jsonl/below"],
)  # fmt: skip
def test_no_name_leads_out_of_the_study(file: Path, there: Workspace, tmp_path: Path, name: str) -> None:
    bad = rewritten(file, tmp_path / "bad.zip", lambda members, manifest: declare(members, manifest, name, b"x"))
    with pytest.raises(ArchiveError, match=r"."):
        restore(bad, there)
    assert nothing_is_in(there)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_links_and_devices_are_refused(file: Path, there: Workspace, tmp_path: Path, kind: int) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(file.read_bytes())
    with zipfile.ZipFile(bad, "a") as opened:
        info = zipfile.ZipInfo("search/link")
        info.external_attr = (kind | 0o777) << 16
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match=r"'search/link' is no plain file"):
        restore(bad, there)
    assert nothing_is_in(there)


def test_more_bytes_than_declared_another_digest_and_another_version_are_refused(
    file: Path, there: Workspace, tmp_path: Path
) -> None:
    def grown(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members["study.json"] += b" " * 10_000_000

    def other(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members["search/report.html"] = b"b report"

    def huge(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        manifest["members"]["search/report.html"]["bytes"] = 1 << 60

    def missing(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        del members["search/report.html"]

    def version(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        manifest["version"] = 2

    def setting(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        study = json.loads(members["study.json"])
        study["user_attrs"]["study"]["trial"]["of_tomorrow"] = 1
        declare(members, manifest, "study.json", json.dumps(study).encode())

    def ledger(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        entries = json.loads(members["ledger.json"])
        entries[SPLIT][0]["when_s"] = 0.0
        declare(members, manifest, "ledger.json", json.dumps(entries).encode())

    cases = [
        (grown, r"bytes, \d+ are declared"), (other, r"search/report.html is not what the manifest says"),
        (huge, r"are declared"), (missing, r"'search/report.html' is in its manifest or among its members"),
        (version, r"is of version 2 of archives, and this contourney reads version 1"),
        (setting, r"study.json, of contourney .*: no settings of this version"),
        (ledger, r"the ledger of a test split was changed"),
    ]  # fmt: skip
    for index, (change, message) in enumerate(cases):
        bad = rewritten(file, tmp_path / f"{index}.zip", change)
        with pytest.raises(ArchiveError, match=message):
            restore(bad, there)
        assert nothing_is_in(there)
    for text in (b"", b"PK", b"no zip at all"):
        (tmp_path / "text.zip").write_bytes(text)
        with pytest.raises(ArchiveError, match=r"is damaged, or no archive"):
            restore(tmp_path / "text.zip", there)
    with pytest.raises(ArchiveError, match=r"no file"):
        restore(tmp_path / "none.zip", there)
    with pytest.raises(ArchiveError, match=r"is damaged, or no archive"):
        restore(tmp_path, there)
    assert nothing_is_in(there)


def test_a_bomb_is_not_unpacked_beyond_what_is_declared(file: Path, there: Workspace, tmp_path: Path) -> None:
    content = bytes(50_000_000)

    def bomb(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        declare(members, manifest, "search/zeros.bin", content)

    packed = rewritten(file, tmp_path / "bomb.zip", bomb)
    data = bytearray(packed.read_bytes())
    # Both directories say 100 bytes, the manifest too; the packed stream gives as many as it likes.
    size = len(content).to_bytes(4, "little")
    while (at := data.find(size)) >= 0:
        data[at : at + 4] = (100).to_bytes(4, "little")
    text = data.replace(b'"bytes": 50000000', b'"bytes": 100     ')
    (tmp_path / "lying.zip").write_bytes(text)
    with pytest.raises(ArchiveError, match=r"is damaged"):
        restore(tmp_path / "lying.zip", there)
    assert nothing_is_in(there)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_archive_is_refused_or_whole(
    file: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["cut", "byte", "insert", "drop"])):
            case "cut":
                del content[max(1, at) :]
            case "byte":
                content[at] ^= data.draw(st.integers(1, 255))
            case "insert":
                content[at:at] = data.draw(st.binary(min_size=1, max_size=20))
            case "drop":
                del content[at : at + data.draw(st.integers(1, 50))]
        if not content:
            break
    home = tmp_path_factory.mktemp("fuzz")
    (home / "a.zip").write_bytes(bytes(content))
    place = Workspace.open(home / "w")
    try:
        restore(home / "a.zip", place)
    except ArchiveError as error:
        assert "\n" not in str(error)
        assert nothing_is_in(place)
    else:
        assert len(open_study(NAME, place).trials) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_values_in_the_place_of_others_are_refused_or_a_study(
    file: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    home = tmp_path_factory.mktemp("fuzz")
    document = data.draw(st.sampled_from(["study.json", "confirm.json", "ledger.json", MANIFEST]))

    def change(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        root = manifest if document == MANIFEST else json.loads(members[document])
        node = root
        while True:
            keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
                node[key] = data.draw(JSON)
                break
            node = node[key]
        if document != MANIFEST:
            declare(members, manifest, document, json.dumps(root).encode())

    bad = rewritten(file, home / "a.zip", change)
    place = Workspace.open(home / "w")
    try:
        restore(bad, place)
    except (ArchiveError, VaultError, StudyError) as error:
        assert len(str(error)) < 2000
        assert [name for name in study_names(place) if name != "contourney-vault"] == []
        assert not (place.root / "studies").is_dir() or list((place.root / "studies").iterdir()) == []


DYING = """
import os, shutil, signal, sys
from pathlib import Path
from optuna.storages.journal import JournalFileBackend
from studies.upkeep import restoring
from studies.running.places import STORAGE
from studies.upkeep.restoring import restore
from studies.workspace import Workspace

seen = 0

def dying(owner, name):
    real = getattr(owner, name)
    def call(*arguments, **keywords):
        global seen
        result = real(*arguments, **keywords)
        seen += 1
        if seen == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, call)

dying(JournalFileBackend, "append_logs")
dying(restoring, "_adopt")
dying(Path, "rename")
dying(Path, "unlink")
for moment in [int(text) for text in sys.argv[4:]]:
    place = Workspace.open(Path(sys.argv[2]) / str(moment))
    child = os.fork()
    if child == 0:
        sys.argv[3] = str(moment)
        try:
            restore(Path(sys.argv[1]), place)
        finally:
            os._exit(0)
    print(moment, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
def test_a_kill_at_any_write_leaves_no_study_or_the_whole_one(done: Workspace, file: Path, tmp_path: Path) -> None:
    moments = list(range(1, 60, 2))
    killed = subprocess.run(
        [sys.executable, "-c", DYING, str(file), str(tmp_path), "0", *map(str, moments)],
        cwd=ROOT, env=environment(), check=True, timeout=300, capture_output=True, text=True,
    )  # fmt: skip
    codes = {int(line.split()[0]): int(line.split()[1]) for line in killed.stdout.splitlines()}
    last = max(moment for moment, code in codes.items() if code == -signal.SIGKILL)
    assert 30 < last < 59
    fresh = Workspace.open(tmp_path / "fresh")
    restore(file, fresh)
    whole = read_content(open_study(NAME, fresh))
    for moment in range(1, last + 1, 2):
        place = Workspace.open(tmp_path / str(moment))
        if NAME in study_names(place):
            assert find_difference(whole, read_content(open_study(NAME, place))) is None
        else:
            restore(file, place)
        assert find_difference(whole, read_content(open_study(NAME, place))) is None
        assert contents(place.study_folder(NAME)).keys() - {".restoring"} == archived(done.study_folder(NAME)).keys()
        assert len(TestVault(place.storage, SPLIT).entries()) == 2


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    forked = Drivers(tmp_path_factory.mktemp("drivers"))
    yield forked
    forked.close()


@pytest.mark.slow
def test_a_study_under_way_goes_on_to_its_end_elsewhere(call: Call, drivers: Drivers, tmp_path: Path) -> None:
    here, there = drivers.workspace(tmp_path / "here"), drivers.workspace(tmp_path / "there")
    assert drivers.drive(here, KILLED % 8, after=260) == -signal.SIGKILL
    before = open_study("kills", Workspace.open(here)).trials
    states = {trial.state for trial in before}
    assert {TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING} <= states
    file = tmp_path / "a.zip"
    assert call("archive", "kills", "--workspace", str(here), "--output", str(file), "--without-weights")[0] == 0
    assert call("restore", str(file), "--workspace", str(there))[0] == 0
    after = open_study("kills", Workspace.open(there)).trials
    assert TrialState.RUNNING not in {trial.state for trial in after}
    assert [trial.params for trial in after] == [trial.params for trial in before]
    assert drivers.drive(there, KILLED % 8) == 0
    check_study(read_records(there, "kills"), 8, EPOCHS, least_pruned=0)
    ended = open_study("kills", Workspace.open(there)).trials
    for trial in before:
        curve = trial.intermediate_values.items()
        assert curve <= ended[trial.number].intermediate_values.items()


@pytest.mark.slow
def test_from_a_journal_to_postgresql_and_on(
    postgres: Postgres, done: Workspace, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", postgres.database())
    there = Workspace.open(tmp_path / "there")
    restore(file, there)
    assert [trial_data(trial) for trial in open_study(NAME, there).trials] == [
        without_mlflow(trial) for trial in read_whole(done)
    ]
    assert len(TestVault(there.storage, SPLIT).entries()) == 2
    drive(there.root, FILE % 2)
    check_study(read_records(there.root, NAME, there.storage), 2, 3, least_pruned=0)
    again = archive(NAME, there, tmp_path / "b.zip")
    with reading(again.path) as opened:
        assert opened.manifest.members.keys() >= {"study.json", "confirm.json", "ledger.json"}


def read_whole(place: Workspace) -> list[optuna.trial.FrozenTrial]:
    study = optuna.load_study(study_name=NAME, storage=open_storage(str(place.root / "optuna.journal")))
    return study.trials
