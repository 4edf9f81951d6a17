"""The record of a promotion as tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from dashboards.text import counted
from studies.promotion.vault import called


def opening_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """What was evaluated in one opening, a line each."""
    first = records[0]
    table = _table(f"opening {first['opening']} of this test split ({first['test']['images']} images)")
    for column in ("", "metric", "validation", "test", "95 % interval"):
        table.add_column(column, justify="left" if column in ("", "metric") else "right")
    for record in records:
        test = record["test"]
        figures = (_four(record["validation"]["miou"]), _four(test["miou"]), _pair(test["interval"]))
        table.add_row(called(record), record["metric"], *figures)
    return table


def promotion_table(record: Mapping[str, Any]) -> Table:
    """Test figures with their intervals beside validation's."""
    test, validation = record["test"], record["validation"]
    table = _table(
        f"{record['study']}: {called(record)}, epoch {record['epoch']}; opening {record['opening']} of this test split "
        f"({test['images']} images); chosen: {record['chosen_by']}"
    )
    for column in ("", "validation", "test", "95 % interval", ""):
        table.add_column(column, justify="right" if column else "left")
    table.add_row(
        record["metric"], _four(validation["miou"]), _four(test["miou"]), _pair(test["interval"]), style="bold"
    )
    table.add_row("pixel accuracy", _four(validation["pixel_accuracy"]), _four(test["pixel_accuracy"]))
    for name, value in test["iou"].items():
        unsure = f"in {test['images_with'][name]} images: unreliable" if name in test["unreliable"] else ""
        row = (_four(validation["iou"][name]), _four(value), _pair(test["iou_interval"][name]), unsure)
        table.add_row(f"IoU {name}", *row)
    return table


def choice_table(choice: Mapping[str, Any]) -> Table:
    """The finalists with their replicates."""
    table = _table(
        f"finalists: mIoU on {choice.get('split', 'validation')} over {choice['seeds']} other seeds each, a "
        f"{choice['kind']} "
        f"({choice['images']} images, {choice['resampling']})"
    )
    columns = ("trial", "in the search", "mean of seeds", "SD", "95 % interval", "device time", "")
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for one in choice["finalists"]:
        trial, searched = str(one["trial"]), _four(one["value"]) + (" (trained to the end)" if one["pruned"] else "")
        if one["left_out"]:
            table.add_row(trial, searched, "", "", "", "", f"left out: {one['left_out']}")
            continue
        wins = one["trial"] == choice["winner"]
        table.add_row(
            trial, searched, _four(one["mean"]), _four(one["sd"]), _pair(one["interval"]), f"{one['device_s']:.0f} s",
            "promoted" if wins else "", style="bold" if wins else None,
        )  # fmt: skip
    return table


def promotion_lines(record: Mapping[str, Any]) -> list[str]:
    """What must be known beside the figures."""
    test, lines = record["test"], []
    if choice := record.get("choice"):
        lines += _choice_lines(choice)
    if test["worst"]:
        shown = ", ".join(f"{one['image']} {one['miou']:.4f}" for one in test["worst"])
        lines.append(f"test images with the lowest mIoU: {shown}")
    if refit := record.get("refit"):
        lines.append(
            f"weights: a refit on the {refit['images']} images of train and validation, "
            f"{counted(refit['epochs'], 'epoch')} with the rates of seed {refit['follows']['seed']}; validation is "
            f"that of trial {record['trial']} before it"
        )
    lines.append(f"test is {record['gap']:+.4f} from validation; intervals: {_how(test['resampling'])}")
    return lines


def _choice_lines(choice: Mapping[str, Any]) -> list[str]:
    lines = [f"seeds alone spread by {choice['seed_sd']:.4f}"]
    if choice["optimism"] is not None:
        less = f"less its own mean over other seeds: {choice['optimism']:+.4f}"
        lines = [f"the best single value of the search {less}; {lines[0]}"]
    for pair in choice["pairs"]:
        first, second = pair["trials"]
        shown = "" if pair["p_holm"] < 0.05 else ": not shown to differ"
        lines.append(
            f"trial {first} - trial {second}: {pair['difference']:+.4f}, standard error {pair['se']:.4f}, "
            f"p {pair['p_holm']:.3f} (Holm){shown}"
        )
    for one in choice["cheaper"]:
        verdict = "as good within" if one["as_good"] else "not shown to be as good within"
        lines.append(
            f"trial {one['trial']} takes {one['device_s']:.0%} of the winner's time and is {verdict} "
            f"{choice['margin']:g}: worse by less than {one['bound']:.4f} (95 %)"
        )
    if choice["kind"] == "screen":
        lines.append(f"{choice['seeds']} seeds are a screen; a claim needs 5 and more (promotion.seeds)")
    if not choice["declared"]:
        lines.append("not declared before the search: the study was launched by a version without promotion.seeds")
    return lines


def _how(resampling: Mapping[str, Any] | None) -> str:
    return "none, the split is a single image" if resampling is None else str(resampling["words"])


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False)


def _four(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _pair(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
