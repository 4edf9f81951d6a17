"""The row table worked by hand, and each format read back."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from search.records.study import Row, TrialRecord
from studies.confirmatory.confirm import Confirmatory
from studies.confirmatory.row_runs import Spread
from studies.confirmatory.table import RowTable, build_table
from studies.confirmatory.table_formats import comma_separated, html, latex, markdown
from studies.files.rows_settings import row_settings
from studies.files.study_file import parse_study
from studies.files.study_settings import StudySettings

FILE = """\
trial: {epochs: 2}
base: base_1
rows:
  good|better: {set: {model.width: 4}, published: {val_miou: 0.5, best_epoch: 3, pixel_accuracy: 0.8}}
  base_1: {}
  noisy: {set: {model.depth: 2}, note: 100 % <noise>}
  worse: {set: {optimizer.lr: 1.0}}
  other: {set: {metric.exclude: [sky]}}
  leaky: {set: {augment.oversample.leaky: true}}
"""
# Seeds 0, 1, 2.
VALUES = {
    "good|better": (0.50, 0.52, 0.54),
    "base_1": (0.40, 0.41, 0.45),
    "noisy": (0.50, 0.30, 0.45),
    "worse": (0.30, 0.31, None),
    "other": (0.90, 0.91, 0.92),
    "leaky": (0.95, 0.96, 0.97),
}
DEVICE_S = {"good|better": 3.0, "base_1": 2.0}


class Rowed(TrialRecord):
    """A trial with rows that no file holds."""

    @property
    def rows(self) -> tuple[Row, ...]:  # type: ignore[override]
        spent = DEVICE_S.get(self.attrs["key"], 1.0) / 2
        right = {"val/pixel_accuracy": 0.9}
        return tuple(Row(epoch, 0.1, right if epoch == 1 else {}, {}, 0.0, 1.0, spent, "w", None) for epoch in (1, 2))


def record(settings: StudySettings, name: str, seed: int, value: float | None, number: int) -> TrialRecord:
    trial = row_settings(settings.trial, settings.rows[name])
    attrs = Confirmatory("row", name, trial, seed).attributes()
    attrs["trainable_parameters"] = 300 if name == "good|better" else 100
    return Rowed(
        number=number,
        state="COMPLETE" if value is not None else "PRUNED",
        reason="finished" if value is not None else "diverged",
        params={},
        distributions={},
        value=value if value is not None else 0.01,
        values={1: 0.1, 4: 0.3 + seed / 10, 2: 0.2, 3: 0.4} if value is not None else {1: 0.01},
        best_epoch=1 + seed,
        audit=False,
        violated=value is None,
        started_s=0.0,
        ended_s=1.0,
        attrs=attrs,
        folder=Path("nowhere"),
    )


@pytest.fixture
def settings() -> StudySettings:
    return parse_study(FILE, "t.yaml", "t_1", (), {})


def table_of(
    settings: StudySettings, seeds: int | None = None, known: int = 3, promoted: Mapping[int, float] | None = None
) -> RowTable:
    trials = [
        record(settings, name, seed, value, number)
        for number, (name, values) in enumerate(VALUES.items())
        for seed, value in enumerate(values[:known])
    ]
    # Of settings that the row no longer has: left out.
    stale = record(settings, "base_1", 0, 0.99, 99)
    stale.attrs["settings"]["epochs"] = 7
    return build_table(settings, [*trials, stale], seeds, promoted)


def test_spread_by_hand() -> None:
    spread = Spread.of([1.0, 2.0, 6.0])
    assert spread is not None
    # Deviations -2, -1, 3: variance 14 / 2.
    assert (spread.mean, spread.sd, spread.n) == (3.0, pytest.approx(7**0.5), 3)
    # Student's quantile with 2 degrees of freedom is 4.3027 (any printed table).
    low, high = spread.interval() or (0.0, 0.0)
    half = 4.302653 * 7**0.5 / 3**0.5
    assert (low, high) == (pytest.approx(3 - half, rel=1e-6), pytest.approx(3 + half, rel=1e-6))
    assert Spread.of([]) is None
    assert Spread(1.0, None, 1).interval() is None


def test_means_and_differences_paired_by_seed(settings: StudySettings) -> None:
    table = table_of(settings)
    rows = {row.name: row for row in table.rows}
    good = rows["good|better"]
    assert good.miou == Spread(pytest.approx(0.52), pytest.approx(0.02), 3)
    # Differences 0.10, 0.11, 0.09; those of unpaired rows would vary by 0.033.
    assert table.difference(good) == Spread(pytest.approx(0.10), pytest.approx(0.01), 3)
    assert table.difference(rows["worse"]) == Spread(pytest.approx(-0.10), pytest.approx(0.0, abs=1e-9), 2)
    assert good.best_epoch == Spread(2.0, 1.0, 3)
    assert table.cost_ratio(good) == 1.5
    assert table.parameter_ratio(good) == 3.0
    assert table.best == "good|better"
    assert table.missing == ()


def test_the_final_epoch_and_the_last_three_stand_beside_the_best(settings: StudySettings) -> None:
    rows = {row.name: row for row in table_of(settings).rows}
    # Values of the last epoch are 0.3, 0.4, 0.5 for seeds 0, 1, 2.
    assert rows["base_1"].final == Spread(pytest.approx(0.4), pytest.approx(0.1), 3)
    # Last three epochs 0.2, 0.4, 0.3; 0.2, 0.4, 0.4; 0.2, 0.4, 0.5: variances 0.02 / 2, 0.08 / 6, 0.14 / 6.
    assert rows["base_1"].last_sd == pytest.approx((0.01**0.5 + (0.08 / 6) ** 0.5 + (0.14 / 6) ** 0.5) / 3)
    # One seed diverged: it has no mIoU, and no last epochs either.
    assert rows["worse"].final == Spread(pytest.approx(0.35), pytest.approx(0.005**0.5), 2)
    assert f"0.4000 ± 0.1000 (3) | {rows['base_1'].last_sd:.4f} |" in markdown(table_of(settings))


def test_whether_a_gain_is_worth_its_cost(settings: StudySettings) -> None:
    table = table_of(settings)
    assert {row.name: table.worth(row) for row in table.rows} == {
        "good|better": "if 0.1000 mIoU is worth 50% more device time",
        "base_1": "base",
        "noisy": "not shown: within seed noise",
        "worse": "no: worse",
        "other": "not compared",
        "leaky": "not compared",
    }


def test_what_does_not_compare_is_marked(settings: StudySettings) -> None:
    table = table_of(settings)
    notes = {row.name: [table.footnotes[number - 1] for number in row.footnotes] for row in table.rows}
    assert notes["base_1"] == notes["good|better"] == []
    assert notes["noisy"] == ["100 % <noise>"]
    assert notes["worse"] == ["seed 2 has no mIoU: diverged"]
    assert notes["other"] == ["another metric: validation mIoU without sky; not compared with base_1"]
    assert "augment.oversample.leaky" in notes["leaky"][0]
    assert [row.name for row in table.rows if not row.compared] == ["other", "leaky"]


def test_the_first_seeds_only_and_what_is_missing(settings: StudySettings) -> None:
    one = table_of(settings, seeds=1)
    assert one.rows[0].miou == Spread(0.50, None, 1)
    assert one.worth(one.rows[0]) == "unknown: one seed"
    four = table_of(settings, seeds=4)
    assert four.missing == tuple((name, 3) for name in VALUES)


def test_what_was_published_beside_miou_stands_beside_ours(settings: StudySettings) -> None:
    table = table_of(settings)
    # Seed 0 alone has its best epoch among those with an accuracy.
    assert table.rows[0].figure("pixel_accuracy") == Spread(0.9, None, 1)
    assert "| 0.9000 (1) |" in markdown(table)
    row = next(csv.DictReader(io.StringIO(comma_separated(table))))
    assert (row["pixel_accuracy_mean"], row["published_pixel_accuracy"]) == ("0.9", "0.8")
    assert "val_loss_mean" not in row


def test_test_figures_only_where_promoted(settings: StudySettings) -> None:
    assert "test mIoU" not in markdown(table_of(settings))
    # Here all seeds of the first row carry number 0.
    table = table_of(settings, promoted={0: 0.44})
    assert table.rows[0].test_miou == Spread(pytest.approx(0.44), pytest.approx(0.0), 3)
    assert table.rows[1].test_miou is None
    assert "test mIoU" in markdown(table)


def test_a_run_is_known_again_by_settings_that_came_later(settings: StudySettings) -> None:
    trial = row_settings(settings.trial, settings.rows["good|better"])
    run = Confirmatory("row", "good|better", trial, 3)
    attributes = run.attributes()
    assert run.is_of(attributes)
    # As if early_stop and the set's strength had not been there when it ran.
    del attributes["settings"]["early_stop"]
    del attributes["settings"]["augment"]["strength"]
    assert run.is_of(attributes)
    assert not Confirmatory("row", "good|better", trial, 4).is_of(attributes)
    attributes["settings"]["optimizer"]["lr"] *= 2
    assert not run.is_of(attributes)
    attributes["settings"]["optimizer"]["lr"] = "what was a rate once"
    assert not run.is_of(attributes)


def test_a_run_that_did_not_fit_gives_way_to_one_that_did(settings: StudySettings) -> None:
    lost, found = record(settings, "base_1", 0, None, 0), record(settings, "base_1", 0, 0.4, 1)
    for trials in ([lost, found], [found, lost]):
        row = build_table(settings, trials, None).rows[1]
        assert row.miou == Spread(0.4, None, 1)


def test_markdown(settings: StudySettings) -> None:
    text = markdown(table_of(settings))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(VALUES)
    assert "| good\\|better |" in lines[2]
    assert "**0.5200 ± 0.0200 (3)**" in lines[2]
    assert "+0.1000 ± 0.0100 (3)" in lines[2]
    assert "validation mIoU 0.5, pixel accuracy 0.8, epoch 3" in lines[2]
    assert text.count("**") == 4
    assert "−0.1000" in text


def test_csv_in_full_precision(settings: StudySettings) -> None:
    table = table_of(settings)
    rows = list(csv.DictReader(io.StringIO(comma_separated(table))))
    assert [row["row"] for row in rows] == list(VALUES)
    difference = table.difference(table.rows[0])
    assert difference is not None
    assert float(rows[0]["difference_mean"]) == difference.mean
    assert float(rows[0]["difference_sd"]) == difference.sd
    assert (rows[0]["published_val_miou"], rows[0]["published_best_epoch"]) == ("0.5", "3")
    assert rows[1]["difference_mean"] == ""


def test_latex_is_escaped_with_booktabs_and_the_best_in_bold(settings: StudySettings) -> None:
    text = latex(table_of(settings))
    assert all(word in text for word in (r"\toprule", r"\midrule", r"\bottomrule", r"base\_1", r"100 \% \textless{}n"))
    assert text.count(r"\textbf{") == 1
    assert r"\textbf{0.5200 $\pm$ 0.0200 (3)}" in text
    columns = text.split(r"\begin{tabular}{")[1].split("}")[0]
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + len(VALUES)
    assert {line.count("&") for line in rows} == {len(columns) - 1}


def test_html_stands_alone_and_is_escaped(settings: StudySettings) -> None:
    text = html(table_of(settings))
    # Well-formed below its head.
    body = ElementTree.fromstring(text[text.index("<body>") : text.index("</html>")])
    rows = body.findall(".//tbody/tr")
    assert [row[0].text for row in rows] == list(VALUES)
    assert [mark.text for mark in body.iter("strong")] == ["0.5200 ± 0.0200 (3)"]
    assert "1: 100 % <noise>" in [note.text for note in body.iter("p")]
    assert "src=" not in text
    assert "href=" not in text
