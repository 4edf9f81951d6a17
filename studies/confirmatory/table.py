"""The table of a study's rows: means and spreads over seeds, differences paired by seed, and what a gain costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from search.records.study import TrialRecord, read_study
from studies.confirmatory.confirm import promotions
from studies.confirmatory.row_runs import Run, Spread, runs_of
from studies.confirmatory.rows import ROLE, confirm_name, stored_settings
from studies.files.rows_settings import RowSettings, row_settings
from studies.files.study_settings import StudySettings
from studies.running.facts import metric_name
from studies.running.places import fetch_records
from studies.stored import StudyError, confirm_study, open_study
from studies.workspace import Workspace


@dataclass(frozen=True)
class TableRow:
    """A row with its runs by seed; `footnotes` are numbers of the table's, `compared` says if base and it compare."""

    name: str
    sets: Mapping[str, object]
    published: Mapping[str, float]
    runs: Mapping[int, Run]
    compared: bool
    footnotes: tuple[int, ...]

    @property
    def parameters(self) -> int | None:
        """Number of trained parameters, the same with every seed."""
        return next((run.parameters for run in self.runs.values() if run.parameters is not None), None)

    @property
    def valued(self) -> dict[int, float]:
        """Validation mIoU by seed."""
        return {seed: run.miou for seed, run in self.runs.items() if run.miou is not None}

    @property
    def miou(self) -> Spread | None:
        """Validation mIoU of the best epochs."""
        return Spread.of(list(self.valued.values()))

    @property
    def final(self) -> Spread | None:
        """Validation mIoU of the last epochs."""
        return Spread.of([run.final for run in self.runs.values() if run.final is not None])

    @property
    def last_sd(self) -> float | None:
        """Mean over seeds of the standard deviation of a run's last three epochs."""
        spread = Spread.of([run.last_sd for run in self.runs.values() if run.last_sd is not None])
        return spread.mean if spread else None

    @property
    def best_epoch(self) -> Spread | None:
        """The best epochs."""
        return Spread.of([run.best_epoch for run in self.runs.values() if run.best_epoch is not None])

    def figure(self, name: str) -> Spread | None:
        """One of BESIDE at the best epochs."""
        return Spread.of([run.figures[name] for run in self.runs.values() if name in run.figures])

    @property
    def test_miou(self) -> Spread | None:
        """Test mIoU of the runs that were promoted."""
        return Spread.of([run.test_miou for run in self.runs.values() if run.test_miou is not None])

    @property
    def device_s(self) -> float | None:
        """Mean device-seconds of a run's epochs."""
        spent = Spread.of([run.device_s for run in self.runs.values()])
        return spent.mean if spent else None


@dataclass(frozen=True)
class RowTable:
    """All rows of a study; `missing` are (row, seed) that were asked for and are not there."""

    study: str
    metric: str
    base: str
    rows: tuple[TableRow, ...]
    footnotes: tuple[str, ...]
    missing: tuple[tuple[str, int], ...]

    @cached_property
    def base_row(self) -> TableRow:
        """The row that differences are taken to."""
        return next(row for row in self.rows if row.name == self.base)

    @property
    def best(self) -> str | None:
        """Name of the row with the highest mean among those that compare."""
        means = {row.name: row.miou.mean for row in self.rows if row.compared and row.miou is not None}
        return max(means, key=lambda name: means[name], default=None)

    def difference(self, row: TableRow) -> Spread | None:
        """mIoU minus the base row's with the same seed; None for base itself and for what does not compare."""
        if row is self.base_row or not row.compared:
            return None
        base = self.base_row.valued
        return Spread.of([value - base[seed] for seed, value in row.valued.items() if seed in base])

    def cost_ratio(self, row: TableRow) -> float | None:
        """Device-seconds in terms of the base row's."""
        return _ratio(row.device_s, self.base_row.device_s)

    def parameter_ratio(self, row: TableRow) -> float | None:
        """Trained parameters in terms of the base row's."""
        return _ratio(row.parameters, self.base_row.parameters)

    def worth(self, row: TableRow) -> str:
        """Whether the gain is worth its training cost, in words.

        A gain counts where Student's 95 % interval of the paired differences leaves 0 out.
        """
        if row is self.base_row:
            return "base"
        gain = self.difference(row)
        if not row.compared:
            return "not compared"
        if gain is None:
            return "unknown: no seed in common with base"
        interval = gain.interval()
        if interval is None:
            return "unknown: one seed"
        if interval[0] <= 0 <= interval[1]:
            return "not shown: within seed noise"
        if gain.mean < 0:
            return "no: worse"
        ratio = self.cost_ratio(row)
        if ratio is None or ratio <= 1:
            return "yes: better at no more cost"
        return f"if {gain.mean:.4f} mIoU is worth {ratio - 1:.0%} more device time"


def row_table(name: str, workspace: Workspace, seeds: int | None = None) -> RowTable:
    """The table of study `name`, of its first `seeds` seeds or of all; raises StudyError where no row was run."""
    confirm = confirm_study(name, workspace)
    settings = stored_settings(name, workspace)
    if confirm is None or settings is None or not settings.rows:
        if settings is None:
            open_study(name, workspace)
        raise StudyError(f"no row of study {name!r} was run yet; `contourney rows {name}` runs them")
    fetch_records(confirm, workspace)
    trials = read_study(workspace.storage, confirm_name(name), workspace.root).trials
    promoted = {number: float(record["test"]["miou"]) for number, record in promotions(confirm).items()}
    return build_table(settings, [trial for trial in trials if trial.attrs.get("role") == ROLE], seeds, promoted)


def build_table(
    settings: StudySettings,
    trials: Sequence[TrialRecord],
    seeds: int | None,
    promoted: Mapping[int, float] | None = None,
) -> RowTable:
    """The table of a study's rows from its confirmatory trials; runs of other settings than a row's are left out.

    `promoted` has the test mIoU of promoted trials by number.
    """
    base = settings.base_row
    assert base is not None  # the caller has rows
    first = settings.trial.seed
    tested = promoted or {}
    found = {
        name: runs_of(name, row_settings(settings.trial, row), trials, tested) for name, row in settings.rows.items()
    }
    if not any(found.values()):
        raise StudyError(f"no row of study {settings.name!r} has ended yet; `contourney rows` goes on with them")
    wanted = range(first, first + seeds) if seeds else sorted({seed for runs in found.values() for seed in runs})
    notes: list[str] = []
    rows = []
    for name, row in settings.rows.items():
        runs = {seed: found[name][seed] for seed in wanted if seed in found[name]}
        marks, why = _footnotes(settings, base, name, row, runs)
        numbers = [_number(notes, note) for note in (*why, *marks)]
        rows.append(TableRow(name, row.set, row.published.given(), runs, not why, tuple(numbers)))
    missing = tuple((name, seed) for name in settings.rows for seed in wanted if seed not in found[name])
    return RowTable(settings.name, _metric(settings, settings.rows[base]), base, tuple(rows), tuple(notes), missing)


def _footnotes(
    settings: StudySettings, base: str, name: str, row: RowSettings, runs: Mapping[int, Run]
) -> tuple[list[str], list[str]]:
    """Notes of a row, and why it does not compare with base."""
    why = []
    own, other = (_metric(settings, one) for one in (row, settings.rows[base]))
    if own != other:
        why.append(f"another metric: {own}; not compared with {base}")
    if row_settings(settings.trial, row).augment.oversample.leaky:
        why.append("validation images were trained on (augment.oversample.leaky): its validation mIoU is worthless")
    notes = [row.note] if row.note else []
    lost = [run for run in runs.values() if run.miou is None]
    notes += [f"seed {run.seed} has no mIoU: {str(run.reason).replace('_', ' ')}" for run in lost]
    return notes, why


def _metric(settings: StudySettings, row: RowSettings) -> str:
    return metric_name(settings.model_copy(update={"trial": row_settings(settings.trial, row)}))


def _number(notes: list[str], note: str) -> int:
    """The number of a footnote, from 1; the same words have one."""
    if note not in notes:
        notes.append(note)
    return notes.index(note) + 1


def _ratio(own: float | None, base: float | None) -> float | None:
    return own / base if own is not None and base else None
