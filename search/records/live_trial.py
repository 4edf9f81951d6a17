"""A trial whose rows are read when a page asks for them."""

from dataclasses import dataclass, field

from search.records.index_rows import RowIndex
from search.records.study import ROWS, Row, TrialRecord


@dataclass(frozen=True)
class LiveTrial(TrialRecord):
    """A trial whose rows are read when they are asked for, and forgotten where many others were since."""

    index: RowIndex = field(repr=False, compare=False)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The whole rows of the trial's epochs.jsonl, none where it has no such file; raises RecordError."""
        return self.index.rows(self.folder / ROWS)

    def row(self, epoch: int | None) -> Row | None:
        """One epoch's row, None where there is none; raises RecordError."""
        return self.index.row(self.folder / ROWS, epoch)

    @property
    def device_s(self) -> float | None:
        """Device seconds of all its epochs, None where no row is here; raises RecordError."""
        return self.index.device_s(self.folder / ROWS)
