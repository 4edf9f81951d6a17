"""`contourney audit`: what it finds in hand-made flaws, in the generated terrain and in the real CamVid."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from studies.promotion.vault import LEDGER
from tests.studies.commands import Call, audited, caller, save, scene, write_scenes

SPLIT = ("--set", "data.shares=[0.5, 0.3, 0.2]")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    return caller(capsys, monkeypatch)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "data")


def members(data: Path, call: Call) -> dict[str, list[str]]:
    """Names by split, asked of the split itself."""
    from trainables.data.dataset import split_samples
    from trainables.data.formats.table import open_dataset
    from trainables.data.settings import DataSettings
    from trainables.data.splits import Split

    settings = DataSettings(format="folder", root=str(data), shares=(0.5, 0.3, 0.2))
    dataset = open_dataset(settings)
    return {split.value: [one.name for one in split_samples(dataset, settings, split)] for split in Split}


def test_a_sound_set_has_nothing_to_object_to(call: Call, data: Path) -> None:
    found = audited(call, str(data), *SPLIT)
    assert (found["format"], found["guessed"], found["split"]) == ("folder", True, "random")
    assert found["images"] == {"train": 15, "validation": 9, "test": 6}
    assert found["read"] == ["train", "validation"]
    assert found["sizes"] == [{"height": 24, "width": 32, "channels": 3, "images": 24}]
    assert found["drop"] == {}
    lists = ("unpaired", "unreadable", "identical_images", "near_images", "contaminated", "across", "neighbours")
    assert not any(found[key] for key in lists)
    code, out, _ = call("audit", str(data), *SPLIT)
    assert code == 0
    assert "format folder (guessed from the layout; --format says otherwise)" in out
    assert "nothing to object to" in out


def test_counts_are_those_of_the_masks(call: Call, data: Path) -> None:
    found = audited(call, str(data), *SPLIT)
    for split in ("train", "validation"):
        masks = [np.array(Image.open(data / "masks" / f"{name}.png")) for name in members(data, call)[split]]
        pixels = [sum(int((mask == k).sum()) for mask in masks) for k in (0, 1)]
        assert [row[f"{split} pixels"] for row in found["classes"]] == pixels
        assert [row[f"{split} share"] for row in found["classes"]] == [count / sum(pixels) for count in pixels]
        assert [row[f"{split} images"] for row in found["classes"]] == [len(masks)] * 2
    assert [(row["label"], row["class"], row["images"]) for row in found["labels"]] == [
        (0, "dark", 24),
        (1, "bright", 24),
    ]


def _flaw(data: Path, names: dict[str, list[str]]) -> dict[str, Any]:
    """One flaw of each kind; returns what must be found."""
    train, validation = names["train"], names["validation"]
    (data / "masks" / f"{train[0]}.png").unlink()
    whole = (data / "images" / f"{train[1]}.png").read_bytes()
    (data / "images" / f"{train[1]}.png").write_bytes(whole[: len(whole) // 2])
    image, mask = scene(901)
    save(data, train[2], image, mask[:10, :10])
    save(data, train[3], scene(902)[0], np.full((24, 32), 255, np.uint8))
    save(data, train[4], scene(903)[0], np.ones((24, 32), np.uint8))
    shared = scene(904)[1]
    for name, seed in ((train[5], 905), (train[6], 906), (validation[0], 907)):
        save(data, name, scene(seed)[0], shared)
    image, mask = scene(908)
    save(data, train[7], image, mask)
    save(data, train[8], image, mask)
    save(data, train[9], *scene(909))
    brighter = np.clip(scene(909)[0] * 0.8 + 30, 0, 255).astype(np.uint8)
    save(data, validation[1], brighter, scene(910)[1])
    return {
        train[0]: "image or mask missing",
        train[1]: "unreadable, or image and mask of two sizes",
        train[2]: "unreadable, or image and mask of two sizes",
        train[3]: "no labelled pixel",
        train[5]: "shares its mask with unlike images",
        train[6]: "shares its mask with unlike images",
        validation[0]: "shares its mask with unlike images",
        train[8]: "identical to another image",
        train[9]: "nearly the same as an image of validation",
    }


def test_every_flaw_is_found_by_name(call: Call, data: Path) -> None:
    names = members(data, call)
    train, validation = names["train"], names["validation"]
    expected = _flaw(data, names)
    found = audited(call, str(data), *SPLIT)
    assert found["drop"] == expected
    assert [row["name"] for row in found["unpaired"]] == [train[0]]
    assert {row["name"]: row["problem"] for row in found["unreadable"]}.keys() == {train[1], train[2]}
    assert "truncated or no readable image" in found["unreadable"][0]["problem"]
    assert "10x10 (height x width) but its image is 24x32" in found["unreadable"][1]["problem"]
    assert found["empty_masks"] == [train[3]]
    assert found["single_class_masks"] == [{"name": train[4], "class": "bright"}]
    assert found["contaminated"] == [train[5], train[6], validation[0]]
    assert found["identical_masks"] == [[train[5], train[6], validation[0]], [train[7], train[8]]]
    assert found["identical_images"] == [[train[7], train[8]]]
    assert found["near_images"] == [[train[9], validation[1]]]
    (row,) = found["across"]
    assert (row["first"], row["in"], row["second"], row["and"]) == (train[9], "train", validation[1], "validation")
    assert row["similarity"] > 0.99
    assert found["unlabelled"]["histogram"][-1] == 1


def test_the_drop_list_can_be_pasted_and_then_a_launch_has_nothing_against_the_data(call: Call, data: Path) -> None:
    _flaw(data, members(data, call))
    _, out, _ = call("audit", str(data), *SPLIT)
    pasted = out[out.index("trial:\n  data:\n    drop: [") :]
    study = "space:\n  optimizer.lr: {low: 1e-4, high: 1e-2}\nsearch: {trials: 2}\n" + pasted
    Path("study.yaml").write_text(study)
    from studies.files.study_file import load_study
    from studies.running.facts import accepted_leak, gather_facts
    from studies.workspace import Workspace

    settings = load_study(
        "study.yaml",
        ["trial.data.shares=[0.5, 0.3, 0.2]"],
        {"--data": ("trial.data.root", str(data))},
    )
    place = Workspace.open(Path("w"))
    assert gather_facts(settings, place)["images"] == {"train": 7, "validation": 8}
    assert accepted_leak(settings, place, False) is None


def test_labels_that_are_no_class_and_sets_without_class_names(call: Call, data: Path) -> None:
    image, mask = scene(1)
    save(data, members(data, call)["train"][0], image, mask + 6)
    (row,) = audited(call, str(data), *SPLIT)["unknown_labels"]
    assert row["labels"] == [6, 7]
    (data / "classes.txt").unlink()
    found = audited(call, str(data), *SPLIT)
    assert found["unnamed"]
    assert found["class_names"] == [f"class_{index}" for index in range(8)]
    assert found["unknown_labels"] == []


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_terrain_every_contaminated_image_and_no_clean_one(call: Call, seed: int, share: float) -> None:
    options = ["--set", f"data.terrain={{images: 80, seed: {seed}, contaminated: {share}}}"]
    expected = [f"terrain_{i:05d}" for i in range(80) if np.random.default_rng([seed, i]).random() < share]
    found = audited(call, "terrain", *options, "--include-test")
    assert sorted(found["contaminated"]) == expected
    assert sorted(found["drop"]) == expected
    assert found["near_images"] == found["across"] == []


def test_camvid_names_the_neighbours_across_the_published_splits(
    call: Call, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From names alone: the reading of pictures is left out here, which takes half a minute."""
    from studies.audit.likeness import neighbours
    from studies.audit.reading import list_data
    from trainables.data.settings import DataSettings

    opened: list[str] = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    rows = neighbours(list_data(DataSettings(format="camvid", root=str(shared / "data" / "camvid"))))
    assert not [path for path in opened if path.endswith((".webp", ".png"))]
    # The split in use is by blocks 150 frames apart: it has none.
    assert {row["split"] for row in rows} == {"official"}
    first = {"split": "official", "first": "0001TP_008520", "in": "train", "second": "0001TP_008550", "and": "test"}
    assert rows[0] == {**first, "apart": 30}
    by_test = {(row["first"], row["second"]) for row in rows if row["and"] == "test"}
    ends, begins = range(8430, 8521, 30), range(8550, 8641, 30)
    assert by_test == {(f"0001TP_{a:06d}", f"0001TP_{b:06d}") for a in ends for b in begins if b - a < 150}
    validation = [row for row in rows if row["and"] == "validation"]
    assert min(row["apart"] for row in validation) == 31
    assert {row["second"].split("_")[0] for row in validation} == {"0016E5"}


def test_test_is_read_only_if_asked_and_that_is_noted_in_the_ledger(call: Call, data: Path, tmp_path: Path) -> None:
    names = members(data, call)
    # A copy of a test image in training is found only when test is read.
    for folder in ("images", "masks"):
        shutil.copy(data / folder / f"{names['test'][0]}.png", data / folder / f"{names['train'][0]}.png")
    opened: list[str] = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    closed = audited(call, str(data), *SPLIT)
    assert not [path for path in opened if Path(path).stem in names["test"] and path.startswith(str(data))]
    assert closed["across"] == []
    assert closed["test_log"] is None
    unlogged = audited(call, str(data), *SPLIT, "--include-test")
    assert "logged nowhere, since no --workspace was given" in unlogged["test_log"]
    found = audited(call, str(data), *SPLIT, "--include-test", "--workspace", str(tmp_path / "w"))
    assert [(row["first"], row["and"]) for row in found["across"]] == [(names["train"][0], "test")]
    assert found["drop"] == {names["train"][0]: "identical to another image"}
    # No statistics of classes come from test.
    for key in ("classes", "labels", "unlabelled", "single_class_masks", "outlying"):
        assert found[key] == closed[key]
    from search.storage import open_storage

    storage = open_storage(str(tmp_path / "w" / "optuna.journal"))
    (ledger,) = storage.get_all_studies()
    assert ledger.study_name == LEDGER
    (entry,) = ledger.user_attrs.values()
    assert entry["kind"] == "audit"
    assert entry["subject"]["command"] == "audit"
    assert entry["hash"][:12] in found["test_log"]


def test_an_audit_is_no_opening(call: Call, data: Path, tmp_path: Path) -> None:
    from studies.promotion.vault import TestVault
    from trainables.data.dataset import prepare
    from trainables.data.settings import DataSettings
    from trainables.data.splits import Split

    audited(call, str(data), *SPLIT, "--include-test", "--workspace", "w")
    settings = DataSettings(format="folder", root=str(data), shares=(0.5, 0.3, 0.2))
    vault = TestVault(str(tmp_path / "w" / "optuna.journal"), prepare(settings, Split.TEST, tmp_path / "c").fingerprint)
    assert [entry["kind"] for entry in vault.entries()] == ["audit"]
    assert vault.open({"study": "s", "trial": 0, "weights": "w"}, again=None).number == 1


def _both(data: Path) -> None:
    for folder in ("train", "trainannot"):
        (data / folder).mkdir()


def _neither(data: Path) -> None:
    shutil.rmtree(data / "masks")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_both, ["folder and camvid", "--format folder or --format camvid"]),
        (_neither, ["none of the layouts", "images/ and masks/", "--format"]),
        (lambda data: shutil.rmtree(data), ["no such folder or file", "terrain"]),
    ],
)
def test_a_format_that_cannot_be_guessed_is_refused(
    call: Call, data: Path, edit: Callable[[Path], None], words: list[str]
) -> None:
    edit(data)
    code, _, err = call("audit", str(data))
    assert code == 2
    assert all(word in err for word in words), err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "foldr"], ["--format foldr", "folder", "camvid"]),
        (["--set", "data.splitt=random"], ["splitt", "split"]),
        (["--set", "trial.optimizer.lr=1e-3"], ["settings of the data alone"]),
        (["--set", "data.drop=[nothing]"], ["data.drop names nothing"]),
        (["--set", "data.split=official"], ["no published split"]),
    ],
)
def test_wrong_options_are_refused(call: Call, data: Path, options: list[str], words: list[str]) -> None:
    code, _, err = call("audit", str(data), *options)
    assert code == 2
    assert all(word in err for word in words), err


def test_the_page_holds_pictures_and_fetches_nothing(call: Call, data: Path, tmp_path: Path) -> None:
    names = members(data, call)
    _flaw(data, names)
    renamed = "<script>alert(1)"
    for folder in ("images", "masks"):
        (data / folder / f"{names['train'][10]}.png").rename(data / folder / f"{renamed}.png")
    (data / "classes.txt").write_text("<b>\nbright")
    page = tmp_path / "deep" / "audit.html"
    found = audited(call, str(data), *SPLIT, "--output", str(page))
    text = page.read_text()
    assert found["class_names"] == ["<b>", "bright"]
    assert "<b>" not in text.partition("Plotly")[0]
    assert renamed not in text
    assert text.count('src="data:image/jpeg;base64,') >= 15
    assert text.count('src="data:image/png;base64,') >= 15
    assert "default-src 'none'" in text
    for title in (
        "Contaminated",
        "The same or nearly the same image in two splits",
        "Identical images",
        "Masks of one",
    ):
        assert title in text
    assert json.dumps(names["train"][8]) in text.replace("&#34;", '"')
