"""The header of a report: data, search, trials by state, budget used, failures."""

from collections import Counter
from typing import Any

from dashboards.outcomes import best_trial, count_outcomes
from dashboards.text import HOUR_S, shown, shown_score, shown_seconds
from search.records.study import StudyRecord

STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")
# What a budget of N trials counts.
COUNTED = ("COMPLETE", "PRUNED", "FAIL")
FINGERPRINT_CHARACTERS = 12


def headline_table(study: StudyRecord) -> list[dict[str, str]]:
    """The few numbers a reader looks for first: label, value, and a line of detail each."""
    best = best_trial(study)
    facts = study.facts
    rows = [
        {
            "label": f"best {study.metric}",
            "value": shown_score(best.value) if best else "none yet",
            "detail": f"trial {best.number}, epoch {best.best_epoch}" if best else "no trial is complete",
        }
    ]
    promotion = facts.get("promotion")
    if promotion is not None:
        detail = f"trial {promotion['trial']}, opening {promotion['opening']} of this test set"
        value = shown_score(promotion["test"]["miou"])
        rows.append({"label": f"test {promotion['metric']}", "value": value, "detail": detail})
    total = facts["budget"]["trials"]
    counted = sum(trial.state in COUNTED for trial in study.trials)
    rows.append(
        {
            "label": "trials ended",
            "value": f"{counted}" if total is None else f"{counted} of {total}",
            "detail": count_outcomes(study.trials) or "none started",
        }
    )
    hours = facts["budget"]["hours"]
    epochs = sum(len(trial.values) for trial in study.trials)
    rows.append(
        {
            "label": "search time",
            "value": shown_seconds(facts["driver_s"]),
            "detail": f"{epochs} epochs" + (f", of {shown_seconds(hours * HOUR_S)} allowed" if hours else ""),
        }
    )
    return rows


def leak_words(study: StudyRecord) -> str | None:
    """That the study was launched although training holds near copies of validation images; None where it was not."""
    leak = study.facts.get("leak")
    if leak is None:
        return None
    return (
        f"Warning: {leak['images']} of {leak['of']} validation images are the same or nearly the same as training "
        "images. The study was launched with --accept-leak; its validation mIoU is too high."
    )


def state_table(study: StudyRecord) -> list[dict[str, Any]]:
    """Optuna's states with the number of trials in each and how these ended."""
    counts = Counter(trial.state for trial in study.trials)
    return [
        {
            "state": state,
            "trials": counts[state],
            "of which": count_outcomes(trial for trial in study.trials if trial.state == state),
        }
        for state in STATES
        if counts[state]
    ]


def data_table(study: StudyRecord) -> list[dict[str, str]]:
    """What was trained on what, by which search: label and value; what is not recorded is left out."""
    facts, trial, search = study.facts, study.settings.get("trial", {}), study.settings.get("search", {})
    data = trial.get("data", {})
    rows = {
        "data": " at ".join(filter(None, [str(data.get("format", "")), _size(data.get("size"))])),
        "images": ", ".join(f"{count} {split}" for split, count in facts.get("images", {}).items()),
        "classes": ", ".join(facts.get("class_names", ())),
        "split": shown(data["split"]) if "split" in data else "",
        "model": _model(trial.get("model", {})),
        "epochs": shown(trial["epochs"]) if "epochs" in trial else "",
        "sampler": _with_arguments(search.get("sampler", {})),
        "pruner": _with_arguments(search.get("pruner", {})),
        "never pruned": f"{search['audit']:.0%} of the trials, at random" if search.get("audit") else "",
        "fingerprints": ", ".join(
            f"{split} {fingerprint[:FINGERPRINT_CHARACTERS]}"
            for split, fingerprint in facts.get("fingerprints", {}).items()
        ),
    }
    return [{"label": label, "value": value} for label, value in rows.items() if value]


def failure_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per failed trial: its number and the last line of its error."""
    return [
        {"trial": trial.number, "error": _last_line(trial.attrs.get("error"))}
        for trial in study.trials
        if trial.state == "FAIL"
    ]


def _last_line(error: str | None) -> str:
    lines = (error or "").strip().splitlines()
    return lines[-1] if lines else "not recorded"


def _model(model: dict[str, Any]) -> str:
    if not model:
        return ""
    if model.get("name") == "unet" and "width" in model:
        return f"unet, width {model['width']}, depth {model.get('depth')}"
    return ", ".join(filter(None, [model.get("name"), model.get("encoder")]))


def _size(size: Any) -> str:
    return "×".join(map(str, size)) if size else ""


def _with_arguments(choice: dict[str, Any]) -> str:
    arguments = ", ".join(f"{key} {shown(value)}" for key, value in choice.items() if key != "name")
    return f"{choice.get('name', '')}" + (f" ({arguments})" if arguments else "")
