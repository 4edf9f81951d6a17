"""A promotion's record as tables: how the choice was made, and what the test split said."""

import time
from collections.abc import Mapping
from typing import Any

from dashboards.live.one_trial import flat
from dashboards.text import shown, shown_score, shown_seconds
from search.records.study import StudyRecord

SIGNIFICANT = 0.05
# By `weights_from` of the record.
WEIGHTS = {
    "search": "those of the trial in the search",
    "refit": "a refit on train and validation together; validation is that of the trial before it",
}


def evaluation_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per figure of the test split beside validation, with its 95 % interval where one is recorded.

    Empty where the study has not been promoted.
    """
    record = study.facts.get("promotion")
    if record is None:
        return []
    validation, test = record["validation"], record["test"]
    intervals, unreliable = test.get("iou_interval") or {}, test.get("unreliable") or ()
    rows = [
        _row(record["metric"], validation["miou"], test["miou"], test.get("interval")),
        _row("pixel accuracy", validation["pixel_accuracy"], test["pixel_accuracy"], None),
    ]
    for name, value in test["iou"].items():
        note = f"in {test['images_with'][name]} images: unreliable" if name in unreliable else ""
        rows.append(_row(f"IoU {name}", validation["iou"].get(name), value, intervals.get(name), note))
    return rows


def choice_facts(study: StudyRecord) -> list[dict[str, str]]:
    """How the choice was made and what was opened: label and value; what an earlier version did not record is left
    out.
    """
    record = study.facts.get("promotion", {})
    choice, test = record.get("choice") or {}, record.get("test", {})
    facts = {
        "trial": record.get("trial"),
        "chosen": record.get("chosen_by"),
        "replicates": f"{choice['seeds']} other seeds each, a {choice['kind']}, on {choice.get('split', 'validation')}"
        if choice
        else None,
        "weights": WEIGHTS.get(record.get("weights_from", "")),
        "optimism": f"the best single value less its own mean over other seeds: {choice['optimism']:+.4f}"
        if choice.get("optimism") is not None
        else None,
        "spread of seeds": f"{choice['seed_sd']:.4f} (standard deviation, pooled)" if choice else None,
        "intervals": (test.get("resampling") or {}).get("words"),
        "test less validation": f"{record['gap']:+.4f}" if "gap" in record else None,
        "opening": f"{record['opening']} of this test set" if record else None,
        "opened again": record.get("again"),
        "when": time.strftime("%Y-%m-%d %H:%M", time.localtime(record["when_s"])) if record else None,
        "model": f"{record['model']} version {record['model_version']}" if "model" in record else None,
        "test fingerprint": record.get("fingerprint"),
        "digest of the weights": record.get("weights"),
        "head of the ledger": record.get("head"),
    }
    return [{"label": label, "value": shown(value)} for label, value in facts.items() if value is not None]


def finalist_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per finalist: its value in the search, mean and spread over other seeds, interval, device time."""
    choice = study.facts.get("promotion", {}).get("choice") or {}
    return [
        {
            "trial": one["trial"],
            "in the search": shown_score(one["value"]) + (" (trained to the end)" if one["pruned"] else ""),
            "mean of seeds": shown_score(one.get("mean")),
            "standard deviation": shown_score(one.get("sd")),
            "95 % interval": _pair(one.get("interval")),
            "device time": shown_seconds(one["device_s"]) if "device_s" in one else "–",
            "": "promoted" if one["trial"] == choice["winner"] else one.get("left_out") or "",
        }
        for one in choice.get("finalists", ())
    ]


def pair_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per pair of finalists: the difference of their means and whether it is more than chance."""
    choice = study.facts.get("promotion", {}).get("choice") or {}
    return [
        {
            "pair": " − ".join(f"trial {number}" for number in pair["trials"]),
            "difference": f"{pair['difference']:+.4f}",
            "standard error": shown_score(pair["se"]),
            "p (Holm)": f"{pair['p_holm']:.3f}",
            "": "" if pair["p_holm"] < SIGNIFICANT else "not shown to differ",
        }
        for pair in choice.get("pairs", ())
    ]


def whole_record(study: StudyRecord) -> list[dict[str, str]]:
    """Everything that the promotion recorded, by dotted path; tables of numbers by their length."""
    record: Mapping[str, Any] = study.facts.get("promotion", {})
    return [
        {"what": path, "value": f"{len(value)} rows" if _is_table(value) else shown(value)}
        for path, value in flat(record).items()
    ]


def _row(
    figure: str, validation: float | None, test: float | None, interval: list[float] | None, note: str = ""
) -> dict[str, Any]:
    return {"figure": figure, "validation": validation, "test": test, "95 % interval": _pair(interval), "": note}


def _pair(interval: list[float] | None) -> str:
    return "–" if interval is None else f"{shown_score(interval[0])} to {shown_score(interval[1])}"


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and isinstance(value[0], (list, dict))
