"""Trial folders at a URI: a local file system by URI, and an S3 server that pyarrow's client talks to over HTTP."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pyarrow.fs import FileSystem

from studies.running import trial_place
from studies.running.trial_place import (
    PlaceError,
    PlaceGone,
    TrialPlace,
    check_place,
    check_uri,
    found_files_by_folder,
    join_uri,
    open_uri,
)

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """host:port of a server of S3's interface, with the bucket `trials`."""
    before = {name: os.environ.get(name) for name in KEYS}
    os.environ.update(KEYS)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    client.create_bucket(Bucket="trials")
    client.close()
    yield f"{host}:{port}"
    server.stop()
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(params=["file", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "a place" / "trials").as_uri()
    server = request.getfixturevalue("s3")
    return f"s3://trials/{uuid.uuid4().hex}?endpoint_override={quote(server)}&scheme=http&region=us-east-1"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_what_one_worker_pushed_another_starts_from(uri: str, tmp_path: Path) -> None:
    first = TrialPlace(tmp_path / "node1", join_uri(uri, "00007"))
    first.restart()
    assert content(first.folder) == {}
    write(first.folder, epochs_jsonl="1\n", best_pt="b1", last_pt="l1")
    first.push()
    write(first.folder, epochs_jsonl="1\n2\n", last_pt="l2")
    first.push()
    write(tmp_path / "node2", stale_pt="of another life")
    second = TrialPlace(tmp_path / "node2", join_uri(uri, "00007"))
    second.restart()
    assert content(second.folder) == {"epochs.jsonl": "1\n2\n", "best.pt": "b1", "last.pt": "l2"}
    second.forget_copy()
    assert not second.folder.exists()
    assert {name: file.bytes for name, file in second.list().items()} == {
        "epochs.jsonl": 4,
        "best.pt": 2,
        "last.pt": 2,
    }


def test_a_reader_fetches_what_changed_and_no_more(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = TrialPlace(tmp_path / "worker", uri)
    write(worker.folder, epochs_jsonl="1\n", best_pt="old")
    worker.push()
    reader = TrialPlace(tmp_path / "reader", uri)
    assert content(reader.fetch(["best.pt", "absent.pt"])) == {"best.pt": "old"}
    before = (reader.folder / "best.pt").stat().st_ino
    with monkeypatch.context() as later:
        later.setattr(trial_place, "SETTLED_S", -10.0)
        reader.fetch()
    assert (reader.folder / "best.pt").stat().st_ino == before
    write(worker.folder, best_pt="new")
    worker.push()
    assert reader.read("best.pt") == b"new"
    assert reader.read("nothing.pt") is None
    reader.delete("best.pt")
    reader.delete("best.pt")
    assert sorted(worker.list()) == ["epochs.jsonl"]
    assert not (reader.folder / "best.pt").exists()


def test_one_listing_serves_all_trials(uri: str, tmp_path: Path) -> None:
    for number in ("00000", "00001"):
        place = TrialPlace(tmp_path / number, join_uri(uri, "trials", number))
        write(place.folder, epochs_jsonl=number)
        place.push()
    found = found_files_by_folder(*open_uri(join_uri(uri, "trials")))
    assert {folder: sorted(files) for folder, files in found.items()} == {
        "00000": ["epochs.jsonl"],
        "00001": ["epochs.jsonl"],
    }
    assert found_files_by_folder(*open_uri(join_uri(uri, "nowhere"))) == {}


def test_the_order_is_rows_best_last_and_the_rest_between(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    replace = trial_place.replace_file

    def spy(files: FileSystem, path: Path, target: str) -> None:
        seen.append(path.name)
        replace(files, path, target)

    monkeypatch.setattr(trial_place, "replace_file", spy)
    place = TrialPlace(tmp_path / "t", uri)
    write(place.folder, last_pt="l", best_pt="b", epochs_jsonl="e", pictures_npz="p", applied_json="a")
    place.push()
    assert seen == ["epochs.jsonl", "applied.json", "pictures.npz", "best.pt", "last.pt"]
    place.push()
    assert len(seen) == 5


def test_a_write_that_breaks_off_leaves_the_earlier_checkpoint(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = TrialPlace(tmp_path / "t", uri, delays_s=(0.0, 0.0))
    write(place.folder, last_pt="whole")
    place.push()
    write(place.folder, last_pt="x" * 4_000_000)
    copy = trial_place.shutil.copyfileobj
    calls = 0

    def half(source: object, target: object, length: int = 0) -> None:
        nonlocal calls
        calls += 1
        target.write(source.read(1_000_000))  # type: ignore[attr-defined]
        raise OSError("connection reset")

    monkeypatch.setattr(trial_place.shutil, "copyfileobj", half)
    with pytest.raises(PlaceGone, match="connection reset"):
        place.push()
    assert calls == 3
    monkeypatch.setattr(trial_place.shutil, "copyfileobj", copy)
    other = TrialPlace(tmp_path / "other", uri)
    other.restart()
    assert content(other.folder) == {"last.pt": "whole"}
    place.push()
    assert other.read("last.pt") == b"x" * 4_000_000


def test_a_server_that_is_away_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = TrialPlace(tmp_path / "t", (tmp_path / "place").as_uri(), delays_s=(0.0, 0.0, 0.0))
    write(place.folder, last_pt="l")
    replace, broken = trial_place.replace_file, [OSError("away"), OSError("away")]

    def sometimes(files: FileSystem, path: Path, target: str) -> None:
        if broken:
            raise broken.pop()
        replace(files, path, target)

    monkeypatch.setattr(trial_place, "replace_file", sometimes)
    place.push()
    assert not broken
    assert (tmp_path / "place" / "last.pt").read_text() == "l"


def test_without_a_uri_both_are_one_folder(tmp_path: Path) -> None:
    place = TrialPlace(tmp_path / "t")
    write(place.folder, last_pt="l")
    place.restart()
    place.push()
    place.forget_copy()
    assert place.fetch() == tmp_path / "t"
    assert place.read("last.pt") == b"l"
    assert list(place.list()) == ["last.pt"]
    place.delete("last.pt")
    assert place.list() == {}


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("hdfs://host/x", "expected a path or a URI of file://, s3:// or gs://"),
        ("s3://AKIA:secret@bucket/x", "holds no keys"),
        ("s3://bucket/x?access_key=AKIA&secret_key=s", "holds no keys"),
    ],
)
def test_places_that_cannot_be_used(uri: str, message: str) -> None:
    with pytest.raises(PlaceError, match=message) as refused:
        check_uri(uri)
    assert "secret@" not in str(refused.value)


def test_a_path_becomes_a_uri_and_a_place_that_cannot_be_written_is_told(tmp_path: Path, uri: str) -> None:
    assert check_uri(str(tmp_path / "a b")) == (tmp_path / "a b").as_uri()
    check_place(uri)
    (tmp_path / "file").write_text("")
    with pytest.raises(PlaceError, match=r"resources\.storage: cannot write file://.*--storage"):
        check_place((tmp_path / "file" / "below").as_uri())


def test_a_bucket_that_is_not_there(s3: str) -> None:
    with pytest.raises(PlaceError, match="cannot write s3://absent"):
        check_place(f"s3://absent/x?endpoint_override={quote(s3)}&scheme=http&region=us-east-1")


def test_options_of_a_uri_stay_at_its_end() -> None:
    assert join_uri("s3://b/x/?region=r", "y", "0") == "s3://b/x/y/0?region=r"
