"""The test vault: a hash-chained ledger of every opening of a test split, kept with the Optuna storage."""

import getpass
import hashlib
import json
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from search.lease import open_lease
from search.storage import open_storage

# An Optuna study without trials: it is where the storage is, and shared by every study and workspace that use it.
LEDGER = "contourney-vault"
# The attribute of a restored study that says, as `study`, what it was called where it was archived.
RESTORED = "restored"


class VaultError(ValueError):
    """The test split must not be opened as asked, or the ledger has been changed."""


@dataclass(frozen=True)
class Opening:
    """One opening of a test split: its number for this split, and its entry in the ledger."""

    number: int
    entry: Mapping[str, Any]


class TestVault:
    """The ledger of one test split, known by the fingerprint of its images and masks.

    An opening is written before anything is evaluated and its result after; each entry holds the hash of the one
    before it. The head is mirrored by the caller, so that cutting the ledger short shows too.
    """

    __test__ = False  # pytest would take the name for a test

    def __init__(self, storage: str, fingerprint: str) -> None:
        self._storage = storage
        self._fingerprint = fingerprint

    def open(self, *subjects: Mapping[str, Any], again: str | None, kept: int | None = None) -> Opening:
        """Write that `subjects` (study, trial, weights each) are about to be evaluated; returns the opening.

        The first opening is free; a further one needs a reason. The last one may finish, asked for by the same
        subjects, unless it is `kept`: the number of the opening whose results the caller has, of all subjects. Raises
        VaultError.
        """
        with open_lease(self._storage, f"{LEDGER}/{self._fingerprint}"):
            entries = self.entries()
            openings = [entry for entry in entries if entry["kind"] == "opening"]
            last = openings[-1] if openings else None
            if last is not None and last["opening"] != kept and _same(subjects_of(last), subjects):
                return Opening(last["opening"], last)
            _check_reason(entries, again)
            number = len(openings) + 1
            entry = self._append("opening", number, entries, subjects=list(map(dict, subjects)), again=again)
            return Opening(number, entry)

    def check_reason(self, again: str | None) -> None:
        """Raise VaultError where an opening now would need a reason and has none; nothing is written."""
        _check_reason(self.entries(), again)

    def record(self, opening: Opening, subject: Mapping[str, Any], result: Mapping[str, Any]) -> str:
        """Write what an opening gave of one of its subjects; returns the ledger's head, the hash of its last entry.

        What is written there already, by an opening that crashed after it, is not written again.
        """
        content = {"subject": dict(subject), "result": dict(result)}
        with open_lease(self._storage, f"{LEDGER}/{self._fingerprint}"):
            entries = self.entries()
            found = [
                entry for entry in entries if entry["opening"] == opening.number and content.items() <= entry.items()
            ]
            entry = found[0] if found else self._append("result", opening.number, entries, **content)
        return str(entry["hash"])

    def note(self, subject: Mapping[str, Any]) -> str:
        """Write that the test images are about to be looked at without an evaluation, as by an audit; returns the head.

        It is no opening: no model is measured.
        """
        with open_lease(self._storage, f"{LEDGER}/{self._fingerprint}"):
            entry = self._append("audit", 0, self.entries(), subject=dict(subject))
        return str(entry["hash"])

    def entries(self) -> list[dict[str, Any]]:
        """The ledger's entries in order; raises VaultError where the chain is broken."""
        attributes = self._ledger().user_attrs
        found = [value for key, value in sorted(attributes.items()) if key.startswith(self._prefix)]
        changed = changed_at(found)
        if changed is not None:
            raise VaultError(
                f"the ledger of test split {self._fingerprint[:12]} was changed at entry {changed}: its hash "
                "does not fit; no further opening is possible until it is restored from a backup"
            )
        return found

    def missing(self, entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """What this ledger lacks of another storage's entries of the same split, whose chain is whole.

        Raises VaultError where the two tell of different openings: one chain cannot tell of both.
        """
        own = self.entries()
        for index, (mine, other) in enumerate(zip(own, entries, strict=False)):
            if mine["hash"] != other["hash"]:
                raise VaultError(
                    f"the ledger of test split {self._fingerprint[:12]} in this storage and the archived one differ "
                    f"from entry {index} on: the test images were looked at in both places since. Restore into a "
                    "storage where they were not"
                )
        return list(entries[len(own) :])

    def adopt(self, entries: Sequence[Mapping[str, Any]]) -> int:
        """Write what this ledger lacks of such entries, as they are; returns how many."""
        with open_lease(self._storage, f"{LEDGER}/{self._fingerprint}"):
            new = self.missing(entries)
            for entry in new:
                self._ledger().set_user_attr(f"{self._prefix}{entry['index']:06d}", dict(entry))
        return len(new)

    def check_head(self, head: str) -> None:
        """Raise VaultError unless the mirrored `head` is in the ledger: else the ledger has been cut short."""
        if head not in {entry["hash"] for entry in self.entries()}:
            raise VaultError(
                f"the ledger of test split {self._fingerprint[:12]} lacks an entry that a study remembers: it was cut "
                "short or replaced; restore it from a backup"
            )

    def _append(self, kind: str, opening: int, entries: list[dict[str, Any]], **content: Any) -> dict[str, Any]:
        entry = {
            "index": len(entries),
            "kind": kind,
            "opening": opening,
            "fingerprint": self._fingerprint,
            "who": f"{_user()}@{socket.gethostname()}",
            "when_s": round(time.time(), 3),
            "previous": entries[-1]["hash"] if entries else "",
            **content,
        }
        entry["hash"] = _hash(entry)
        self._ledger().set_user_attr(f"{self._prefix}{entry['index']:06d}", entry)
        return entry

    @property
    def _prefix(self) -> str:
        return f"entry/{self._fingerprint}/"

    def _ledger(self) -> optuna.Study:
        return optuna.create_study(
            study_name=LEDGER, storage=open_storage(self._storage, write=True), load_if_exists=True
        )


def changed_at(entries: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the first entry that does not fit those before it; None where the chain is whole."""
    previous = ""
    for index, entry in enumerate(entries):
        if entry["previous"] != previous or entry["hash"] != _hash(entry) or entry["index"] != index:
            return index
        previous = entry["hash"]
    return None


def subjects_of(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an opening was for; an opening by an earlier version was for one subject."""
    return list(entry["subjects"]) if "subjects" in entry else [entry["subject"]]


def called(subject: Mapping[str, Any]) -> str:
    """What a subject of an opening, or the record of a promotion, is called within its study."""
    return f"row {subject['row']}, seed {subject['seed']}" if "row" in subject else f"trial {subject['trial']}"


def promoted_trials(study: optuna.Study) -> set[int]:
    """Numbers of the trials of a study that a test split was ever opened for, and of the one promoted now."""
    record = study.user_attrs.get("promotion")
    found = set() if record is None else {int(record["trial"])}
    if LEDGER not in optuna.get_all_study_names(study._storage):
        return found
    ledger = optuna.load_study(study_name=LEDGER, storage=study._storage).user_attrs
    openings = [subject for entry in ledger.values() if entry["kind"] == "opening" for subject in subjects_of(entry)]
    names = {study.study_name, study.user_attrs.get(RESTORED, {}).get("study")}
    return found | {int(subject["trial"]) for subject in openings if subject["study"] in names}


def fingerprints(storage: str) -> list[str]:
    """Fingerprints of the test splits that the storage has a ledger of."""
    opened = open_storage(storage)
    if LEDGER not in optuna.get_all_study_names(opened):
        return []
    attributes = optuna.load_study(study_name=LEDGER, storage=opened).user_attrs
    return sorted({str(entry["fingerprint"]) for entry in attributes.values()})


def _check_reason(entries: list[dict[str, Any]], again: str | None) -> None:
    openings = [entry for entry in entries if entry["kind"] == "opening"]
    if openings and not (again or "").strip():
        raise VaultError(_refusal(entries, openings))


def _same(some: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> bool:
    return len(some) == len(others) and all(one in others for one in some)


def _result_of(
    entries: Sequence[Mapping[str, Any]], opening: int, subject: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """What an opening gave of a subject; a result by an earlier version names none, its opening having had one."""
    results = (entry for entry in entries if entry["kind"] == "result" and entry["opening"] == opening)
    return next((entry["result"] for entry in results if entry.get("subject", subject) == subject), None)


def _hash(entry: Mapping[str, Any]) -> str:
    content = {key: value for key, value in entry.items() if key != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user id has no name
        return "unknown"


def _refusal(entries: list[dict[str, Any]], openings: list[dict[str, Any]]) -> str:
    lines = []
    for entry in openings:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry["when_s"]))
        for subject in subjects_of(entry):
            result = _result_of(entries, entry["opening"], subject)
            shown = f"mIoU {result['miou']:.4f}" if result else "no result: it did not finish"
            lines.append(
                f"  opening {entry['opening']}: {when}, study {subject['study']!r}, {called(subject)}, {shown}"
            )
    return "\n".join(
        [
            "this test split has been opened; looking again biases what it says:",
            *lines,
            'a further opening needs --again "reason", which stays in the ledger and in the report',
        ]
    )
