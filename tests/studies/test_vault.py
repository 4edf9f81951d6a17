"""The test vault: one free opening, a reason for more, and a ledger that shows when it was changed."""

import json
from pathlib import Path

import pytest

from search.storage import open_storage
from studies.promotion.vault import LEDGER, TestVault, VaultError

SUBJECT = {"study": "s", "trial": 3, "weights": "abc"}
OTHER = {"study": "s", "trial": 4, "weights": "def"}


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return str(tmp_path / "optuna.journal")


def test_the_first_opening_is_free_and_written_before_any_result(storage: str) -> None:
    vault = TestVault(storage, "f" * 64)
    opening = vault.open(SUBJECT, again=None)
    assert opening.number == 1
    (entry,) = vault.entries()
    assert entry["kind"] == "opening"
    assert entry["subjects"] == [SUBJECT]
    assert "@" in entry["who"]


def test_a_second_opening_needs_a_reason_and_sees_the_first(storage: str) -> None:
    vault = TestVault(storage, "f" * 64)
    vault.record(vault.open(SUBJECT, again=None), SUBJECT, {"miou": 0.61234})
    for subject in (SUBJECT, OTHER):
        with pytest.raises(VaultError, match=r"opening 1: .* study 's', trial 3, mIoU 0\.6123"):
            vault.open(subject, again=" ", kept=1)
    assert vault.open(OTHER, again="the data were relabelled").number == 2
    assert [entry["again"] for entry in vault.entries() if entry["kind"] == "opening"] == [
        None,
        "the data were relabelled",
    ]


def test_an_opening_that_crashed_before_its_result_may_finish_for_the_same_weights_only(storage: str) -> None:
    vault = TestVault(storage, "f" * 64)
    vault.open(SUBJECT, again=None)
    assert vault.open(SUBJECT, again=None).number == 1
    with pytest.raises(VaultError, match="no result: it did not finish"):
        vault.open(OTHER, again=None)
    assert len(vault.entries()) == 1


def test_an_opening_for_several_may_finish_until_the_results_of_all_are_kept(storage: str) -> None:
    vault = TestVault(storage, "f" * 64)
    opening = vault.open(SUBJECT, OTHER, again=None)
    head = vault.record(opening, SUBJECT, {"miou": 0.5})
    # Of those who ask for other things than all of them it is another opening.
    for subjects in ([SUBJECT], [OTHER], [SUBJECT, OTHER, {**OTHER, "trial": 5}]):
        with pytest.raises(VaultError, match=r"trial 3, mIoU 0\.5000\n.*opening 1: .*trial 4, no result"):
            vault.open(*subjects, again=None)
    assert vault.open(OTHER, SUBJECT, again=None).number == 1
    # The result was written before the crash: it is not written again.
    assert vault.record(opening, SUBJECT, {"miou": 0.5}) == head
    vault.record(opening, OTHER, {"miou": 0.4})
    assert vault.open(SUBJECT, OTHER, again=None).number == 1
    with pytest.raises(VaultError, match=r"trial 4, mIoU 0\.4000"):
        vault.open(SUBJECT, OTHER, again=None, kept=1)
    assert [entry["kind"] for entry in vault.entries()] == ["opening", "result", "result"]


def test_a_ledger_of_an_earlier_version_is_read(storage: str) -> None:
    vault = TestVault(storage, "f" * 64)
    opening = vault._append("opening", 1, [], subject=SUBJECT, again=None)
    assert vault.open(SUBJECT, again=None).number == 1
    vault._append("result", 1, [opening], result={"miou": 0.5})
    with pytest.raises(VaultError, match=r"trial 3, mIoU 0\.5000"):
        vault.open(OTHER, again=None)


def test_openings_are_counted_per_split_and_across_studies(storage: str) -> None:
    TestVault(storage, "a" * 64).open(SUBJECT, again=None)
    assert TestVault(storage, "b" * 64).open(SUBJECT, again=None).number == 1
    elsewhere = {"study": "another", "trial": 0, "weights": "x"}
    with pytest.raises(VaultError, match="study 's', trial 3"):
        TestVault(storage, "a" * 64).open(elsewhere, again=None)


def test_a_changed_entry_breaks_the_chain(storage: str) -> None:
    vault = TestVault(storage, "f" * 64)
    vault.record(vault.open(SUBJECT, again=None), SUBJECT, {"miou": 0.5})
    text = Path(storage).read_text()
    Path(storage).write_text(text.replace('"miou":0.5', '"miou":0.9'))
    assert text != Path(storage).read_text()
    with pytest.raises(VaultError, match="was changed at entry 1"):
        vault.entries()


def test_a_ledger_that_was_cut_short_lacks_the_mirrored_head(storage: str) -> None:
    vault = TestVault(storage, "f" * 64)
    opening = vault.open(SUBJECT, again=None)
    head = vault.record(opening, SUBJECT, {"miou": 0.5})
    vault.check_head(head)
    lines = Path(storage).read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"kind":"result"' not in line.replace(" ", "")]
    assert len(kept) == len(lines) - 1
    Path(storage).write_text("".join(kept))
    with pytest.raises(VaultError, match="cut short"):
        vault.check_head(head)


def test_the_ledger_is_where_the_storage_is(storage: str) -> None:
    TestVault(storage, "f" * 64).open(SUBJECT, again=None)
    studies = open_storage(storage).get_all_studies()
    assert [study.study_name for study in studies] == [LEDGER]
    assert all(json.dumps(value) for value in studies[0].user_attrs.values())
