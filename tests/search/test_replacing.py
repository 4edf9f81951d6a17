"""A study replaced by other content: whole for every reader, whenever who replaces it dies."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

from search.copying import StudyContent, find_difference, read_content, write_content
from search.replacing import COPY, load_whole, repair, replace, replaced_names, whole_studies
from search.retrying import CreatingOnce
from search.storage import open_storage

OLD: dict[str, BaseDistribution] = {"lr": FloatDistribution(1e-3, 1e-2)}
NEW: dict[str, BaseDistribution] = {"lr": FloatDistribution(1e-3, 1e-1)}
TRIALS = 2
WRITES = [(JournalFileBackend, "append_logs")] + [
    (CreatingOnce, method) for method in ("create_new_study", "set_study_user_attr", "create_new_trial", "delete_study")
]


class Death(BaseException):
    """The process ends here."""


def content(distributions: dict[str, BaseDistribution]) -> StudyContent:
    trials = [
        create_trial(params={"lr": 1e-3 * number}, distributions=distributions, value=0.1 * number)
        for number in range(1, TRIALS + 1)
    ]
    numbered = [changed_number(trial, number) for number, trial in enumerate(trials)]
    return StudyContent([optuna.study.StudyDirection.MAXIMIZE], {"space": str(distributions)}, {}, numbered)


def changed_number(trial: optuna.trial.FrozenTrial, number: int) -> optuna.trial.FrozenTrial:
    trial.number = number
    return trial


def read(storage: str) -> StudyContent:
    return read_content(load_whole("s", open_storage(storage)))


def is_same(one: StudyContent, other: StudyContent) -> bool:
    return find_difference(one, other) is None


class Deaths:
    """Lets this process die before its N-th write into a storage, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        for owner, method in WRITES:
            monkeypatch.setattr(owner, method, self._mortal(getattr(owner, method)))

    def at(self, number: int) -> None:
        self.left = number

    def _mortal(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise Death
            return write(*arguments, **keywords)

        return call


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> Deaths:
    return Deaths(monkeypatch)


@pytest.fixture(params=["journal", pytest.param("postgresql", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new storage."""
    if request.param == "journal":
        return str(tmp_path / "optuna.journal")
    return str(request.getfixturevalue("postgres").database())


def test_who_dies_at_any_write_leaves_a_whole_study(place: str, deaths: Deaths) -> None:
    old, new = content(OLD), content(NEW)
    moment, outcomes = 0, []
    while True:
        moment += 1
        storage = open_storage(place, write=True)
        assert names(storage) in (set(), {"s"})
        if "s" in names(storage):
            storage.delete_study(storage.get_study_id_from_name("s"))
        write_content(old, "s", storage)
        deaths.at(moment)
        with suppress(Death):
            replace("s", new, storage)
            deaths.at(0)
            break
        deaths.at(0)
        # A reader, and then the next who opens the study for writing.
        seen = read(place)
        assert is_same(seen, old) or is_same(seen, new)
        assert set(whole_studies(open_storage(place).get_all_studies())) == {"s"}
        later = open_storage(place, write=True)
        outcomes.append(repair("s", later))
        assert names(later) == {"s"}
        assert repair("s", later) is None
        after = read(place)
        assert is_same(after, new if outcomes[-1] == "completed" else old)
        # Who saw the new study does not see the old one again.
        assert not is_same(seen, new) or is_same(after, new)
    assert is_same(read(place), new)
    # Nothing written yet, then a copy that is not ready, then one that is; the last death is before the copy's end.
    kinds = [None, "undone: it had only begun", "completed"]
    assert outcomes == sorted(outcomes, key=kinds.index)
    assert set(outcomes) == set(kinds)
    assert outcomes.count("completed") > TRIALS


def names(storage: BaseStorage) -> set[str]:
    return set(optuna.get_all_study_names(storage))


def test_who_dies_while_it_repairs_is_repaired(tmp_path: Path, deaths: Deaths) -> None:
    place = str(tmp_path / "optuna.journal")
    old, new = content(OLD), content(NEW)
    storage = open_storage(place, write=True)
    write_content(old, "s", storage)
    # Each dies one write later than the one before, for as long as it takes.
    deaths.at(9)
    with suppress(Death):
        replace("s", new, storage)
    for moment in range(1, 40):
        deaths.at(moment)
        with suppress(Death):
            if repair("s", open_storage(place, write=True)) is None:
                break
        deaths.at(0)
        assert is_same(read(place), new)
    deaths.at(0)
    assert moment > TRIALS
    assert names(open_storage(place)) == {"s"}
    assert is_same(read(place), new)


def test_a_name_that_is_free_appears_when_its_study_is_whole(tmp_path: Path, deaths: Deaths) -> None:
    place = str(tmp_path / "optuna.journal")
    storage, new = open_storage(place, write=True), content(NEW)
    deaths.at(4)
    with suppress(Death):
        replace("s", new, storage)
    deaths.at(0)
    studies = open_storage(place).get_all_studies()
    assert whole_studies(studies) == {}
    assert replaced_names(studies) == ["s"]
    assert repair("s", storage) == "undone: it had only begun"
    replace("s", new, storage)
    assert is_same(read(place), new)


def test_a_study_is_read_from_its_copy_under_its_own_name(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "optuna.journal"), write=True)
    copy = write_content(content(NEW), "s" + COPY, storage)
    with pytest.raises(KeyError, match="s"):
        load_whole("s", storage)
    copy.set_user_attr("contourney:ready", True)
    assert load_whole("s", storage).study_name == "s"
    other = write_content(changed(content(OLD), user_attrs={}), "other", storage)
    assert load_whole("other", storage)._study_id == other._study_id
