"""An audit from beginning to end: list, log that test is read if it is, read, find."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track

from studies.audit.findings import Audit, find
from studies.audit.reading import Listed, Seen, list_data, read_splits
from studies.promotion.vault import TestVault
from studies.workspace import Workspace
from trainables.data.dataset import SPLIT_PARAMETERS
from trainables.data.fingerprints import split_fingerprint
from trainables.data.settings import DataSettings
from trainables.data.splits import Sample, Split

SEARCHED = (Split.TRAIN, Split.VALIDATION)


@dataclass(frozen=True)
class Audited:
    """The findings with what they were found in; `log` says where it is written that test was read."""

    audit: Audit
    listed: Listed
    seen: Sequence[Seen]
    log: str | None


def run_audit(
    settings: DataSettings, guessed: bool, *, include_test: bool = False, workspace: Workspace | None = None
) -> Audited:
    """Audit training and validation, and the test split only if it is asked for: that is logged before it is read.

    Raises DataError and AuditError for what cannot be listed at all.
    """
    listed = list_data(settings)
    log = _log_test(listed, workspace) if include_test and listed.test else None
    splits = tuple(Split) if include_test else SEARCHED
    seen = read_splits(listed, splits, _watch)
    return Audited(find(listed, seen, guessed), listed, seen, log)


def _log_test(listed: Listed, workspace: Workspace | None) -> str:
    """Note the reading in the ledger of this test split; returns the words for it."""
    if workspace is None:
        return "the test split was read; this is logged nowhere, since no --workspace was given"
    workspace.check_writable()
    parameters = {"split": listed.mode} | {
        name: getattr(listed.settings, name) for name in SPLIT_PARAMETERS[listed.mode]
    }
    complete = [sample for sample in listed.test if not listed.dataset.missing(sample)]
    fingerprint = split_fingerprint(listed.dataset, complete, parameters)
    head = TestVault(workspace.storage, fingerprint).note({"command": "audit", "data": listed.settings.root})
    return (
        f"the test split was read (fingerprint {fingerprint[:12]}); noted as {head[:12]} in the ledger of "
        f"{workspace.storage_shown}"
    )


def _watch(samples: Sequence[Sample]) -> Iterable[Sample]:
    """The samples, with a bar on a terminal."""
    console = Console(stderr=True)
    return track(samples, "reading", console=console, transient=True, disable=not console.is_terminal)
