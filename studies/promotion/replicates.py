"""Replicates: each finalist trained again with other seeds, and what each is on the validation images."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from search.records.study import read_rows
from studies.confirmatory.confirm import Confirmatory, find_run
from studies.files.rows_settings import put
from studies.files.study_settings import StudySettings
from studies.promotion.intervals import ImageCounts
from studies.promotion.shortlist import Finalist
from studies.results import value_of
from studies.running.places import trial_place
from studies.workspace import Workspace
from trainables.class_names import label_ids
from trainables.data.dataset import prepare
from trainables.data.settings import FoldSettings
from trainables.data.split_data import SplitData
from trainables.data.splits import Split
from trainables.evaluate import evaluate_checkpoint
from trainables.settings import TrialSettings

REPLICATE = "replicate"
# A pruned finalist trained to the end with its own seed.
FINISH = "finish"
PER_IMAGE = "validation_per_image_confusion.npz"


@dataclass(frozen=True)
class Trained:
    """One run of a finalist: its number in NAME/confirm, its best epoch, and its device time in seconds."""

    run: int
    best_epoch: int
    device_s: float


@dataclass(frozen=True)
class Replicate:
    """A finalist with another seed: its run, or one of each fold, and the counts of every image at their best epochs.

    With folds each image is counted once, by the run that was not trained on it.
    """

    seed: int
    runs: tuple[Trained, ...]
    counts: ImageCounts


@dataclass(frozen=True)
class Replicated:
    """A finalist with its replicates; `why_out` says why it cannot be chosen, and there are none then.

    `finished` is the run that trained it to the end, of a pruned one.
    """

    finalist: Finalist
    replicates: tuple[Replicate, ...]
    groups: tuple[str, ...]
    finished: FrozenTrial | None
    why_out: str | None


def finalist_settings(finalist: Finalist, settings: StudySettings) -> TrialSettings:
    """The settings a finalist had in the search."""
    return put(settings.trial, finalist.trial.params)


def finishing_run(finalist: Finalist, settings: StudySettings) -> Confirmatory:
    """The run that trains a pruned finalist to the end."""
    return Confirmatory(FINISH, finalist.key, finalist_settings(finalist, settings), settings.trial.seed)


def replicate_runs(finalist: Finalist, settings: StudySettings) -> list[Confirmatory]:
    """A finalist's runs with the seeds after the search's; data.split_seed is part of its settings and stays."""
    first = settings.trial.seed
    seeds = range(first + 1, first + 1 + settings.promotion.seeds)
    keyed = fold_settings(finalist, settings)
    return [Confirmatory(REPLICATE, key, own, seed) for seed in seeds for key, own in keyed.items()]


def fold_settings(finalist: Finalist, settings: StudySettings) -> dict[str, TrialSettings]:
    """The settings of each of a finalist's runs with one seed, by key: one of the splits as they are, or of each fold.

    Folds are the same for all seeds and finalists: `data.split_seed` decides them.
    """
    own, folds = finalist_settings(finalist, settings), settings.promotion.group_folds
    if folds is None:
        return {finalist.key: own}
    return {
        f"{finalist.key}, fold {index + 1} of {folds}": own.model_copy(
            update={"data": own.data.model_copy(update={"fold": FoldSettings(of=folds, index=index)})}
        )
        for index in range(folds)
    }


def promotion_runs(finalists: Sequence[Finalist], settings: StudySettings) -> list[Confirmatory]:
    """All runs: pruned finalists to the end first, then every finalist with one seed before any with the next."""
    finish = [finishing_run(finalist, settings) for finalist in finalists if finalist.value is None]
    by_seed = zip(*(replicate_runs(finalist, settings) for finalist in finalists), strict=True)
    return finish + [run for runs in by_seed for run in runs]


def read_replicated(
    finalist: Finalist, settings: StudySettings, confirm: optuna.Study, workspace: Workspace
) -> Replicated | None:
    """A finalist's runs measured image by image; None while one is missing."""
    asked = replicate_runs(finalist, settings)
    if finalist.value is None:
        asked = [finishing_run(finalist, settings), *asked]
    found = [find_run(confirm, run) for run in asked]
    ended = [trial for trial in found if trial is not None]
    if len(ended) < len(asked):
        return None
    for trial in ended:
        if trial.state is not TrialState.COMPLETE:
            reason = str(trial.user_attrs.get("reason", "pruned")).replace("_", " ")
            fold = str(trial.user_attrs["key"]).removeprefix(finalist.key)
            return Replicated(finalist, (), (), None, f"{reason} with seed {trial.user_attrs['seed']}{fold}")
    finished = ended.pop(0) if finalist.value is None else None
    parts = [
        (own, prepare(own.data, Split.VALIDATION, workspace.cache))
        for own in fold_settings(finalist, settings).values()
    ]
    seeds = [ended[start : start + len(parts)] for start in range(0, len(ended), len(parts))]
    replicates = tuple(_measure(of_seed, parts, confirm, workspace) for of_seed in seeds)
    return Replicated(finalist, replicates, tuple(group for _, data in parts for group in data.groups), finished, None)


def value_in_search(replicated: Replicated) -> float:
    """The single value that a finalist came with: the search's, or that of the run that trained it to the end."""
    if replicated.finished is not None:
        return value_of(replicated.finished)
    assert replicated.finalist.value is not None
    return replicated.finalist.value


def digest_of(weights: Path) -> str:
    """sha256 of a file."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _measure(
    runs: Sequence[FrozenTrial],
    parts: Sequence[tuple[TrialSettings, SplitData]],
    confirm: optuna.Study,
    workspace: Workspace,
) -> Replicate:
    """A seed's runs, each on its own images; matrices are pooled, never IoUs averaged over folds."""
    counts_NKK = np.concatenate(
        [_counted(run, own, data, confirm, workspace) for run, (own, data) in zip(runs, parts, strict=True)]
    )
    settings, data = parts[0]
    excluded = label_ids(settings.metric.exclude, data.class_names, "metric.exclude")
    trained = tuple(_trained(run, confirm, workspace) for run in runs)
    return Replicate(int(runs[0].user_attrs["seed"]), trained, ImageCounts.of(counts_NKK, list(excluded)))


def _trained(trial: FrozenTrial, confirm: optuna.Study, workspace: Workspace) -> Trained:
    rows = read_rows(trial_place(confirm, trial.number, workspace).folder / "epochs.jsonl")
    return Trained(trial.number, int(trial.user_attrs["best_epoch"]), sum(row.device_s for row in rows))


def _counted(
    trial: FrozenTrial, settings: TrialSettings, data: SplitData, confirm: optuna.Study, workspace: Workspace
) -> np.ndarray:
    """Counts int64 [N, K, K] of each image, kept in the run's folder."""
    place = trial_place(confirm, trial.number, workspace)
    folder = place.fetch()
    weights = digest_of(folder / "best.pt")
    counts_NKK = _kept(folder / PER_IMAGE, weights, data.key)
    if counts_NKK is None:
        counts_NKK = evaluate_checkpoint(folder / "best.pt", settings, data, pictures=()).per_image_counts_NKK
        np.savez_compressed(folder / PER_IMAGE, counts_NKK=counts_NKK, weights=weights, data=data.key)
        place.push([PER_IMAGE])
    return counts_NKK


def _kept(path: Path, weights: str, data: str) -> np.ndarray | None:
    """Counts that are there already, of these weights on these data."""
    if not path.is_file():
        return None
    with np.load(path) as kept:
        return np.array(kept["counts_NKK"]) if (str(kept["weights"]), str(kept["data"])) == (weights, data) else None
