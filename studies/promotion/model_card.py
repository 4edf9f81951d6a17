"""The model card of a promoted model: what it was made of, how it was chosen, what it does, where that ends."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dashboards.live.promoted import choice_facts, evaluation_table, finalist_table, pair_table
from dashboards.outcomes import count_outcomes
from dashboards.summary import COUNTED, data_table, leak_words
from dashboards.text import HOUR_S, counted, shown, shown_score
from search.records.study import StudyRecord, TrialRecord
from studies.files.study_settings import CONFIRM
from studies.promotion.model_use import markdown, serving_words, use_lines
from studies.promotion.settings import SEEDS_OF_A_CLAIM
from studies.promotion.vault import called
from trainables.settings import TrialSettings

FILE = "model_card.md"
# Labels of the shared tables: what does not concern a row, and what the card tells elsewhere.
OF_SEARCH = ("sampler", "pruner", "never pruned")
TOLD = ("trial", "opening", "opened again", "model", "test fingerprint", "digest of the weights")
DEVICE_HOURS = "Device-hours are those of the epochs with their validation, times the devices of a trial."


def model_card(study: StudyRecord, trial: TrialSettings, registered: str) -> str:
    """The card as Markdown, from what is recorded alone.

    `study` has the record of the promotion among its facts, `trial` are the settings of the promoted weights and
    `registered` is the model's name in the registry.
    """
    record = study.facts["promotion"]
    origin = markdown(record["study"].removesuffix(CONFIRM))
    software = ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
    parts = [
        f"# {markdown(registered)}",
        f"A model for semantic segmentation, promoted from study {origin}. {_evaluated(study)}",
        "## Data",
        _table(row for row in data_table(study) if "row" not in record or row["label"] not in OF_SEARCH),
        _table(_classes(study)),
        _leak(study),
        *(_search(study) if "row" not in record else _row(study)),
        "## How it was chosen",
        _table(fact for fact in choice_facts(study) if fact["label"] not in TOLD),
        _table(finalist_table(study)),
        _table(pair_table(study)),
        "## What it does",
        "mIoU is the mean over classes of intersection over union, from one confusion matrix of all images. Validation "
        "images chose the weights; the test images were opened for this evaluation.",
        _table(_evaluation(study)),
        _worst(record["test"]),
        "## Limits",
        "\n".join(f"- {markdown(line)}" for line in _limits(study)),
        "## Use",
        "\n".join(f"- {line}" for line in use_lines(record, trial)),
        serving_words(record, registered),
        "## Software",
        markdown(software or "not recorded"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _evaluated(study: StudyRecord) -> str:
    record = study.facts["promotion"]
    test = record["test"]
    what, others = markdown(called(record)), [markdown(other) for other in record.get("opened_with", ())]
    value = f"{shown_score(test['miou'])}{_interval(test.get('interval'))} over {test['images']} images"
    opening = f"opening {record['opening']} of this test split" + (f" together with {_and(others)}" if others else "")
    return (
        f"{what[0].upper()}{what[1:]}, epoch {record['epoch']}: test {markdown(record['metric'])} {value}, in "
        f"{opening}; chosen by: {markdown(record['chosen_by'])}."
    )


def _classes(study: StudyRecord) -> Iterator[dict[str, str]]:
    """How often each class is there: what was recorded at the launch, and in how many test images."""
    test, pixels = study.facts["promotion"]["test"], study.facts.get("class_pixels", {})
    for index, name in enumerate(study.facts.get("class_names", ()) if pixels else ()):
        shares = {f"of {split} pixels": f"{of[index] / sum(of):.2%}" for split, of in pixels.items()}
        yield {"class": name, **shares, "test images with it": shown(test.get("images_with", {}).get(name, "–"))}


def _leak(study: StudyRecord) -> str:
    if "row" in study.facts["promotion"]:
        return ""  # leaks are looked for where a search is launched
    return leak_words(study) or "No training image was found to be a near copy of a validation image."


def _search(study: StudyRecord) -> Iterator[str]:
    params = study.trials[study.facts["promotion"]["trial"]].params
    yield "## Search"
    yield _table(
        {"parameter": path, "searched": _declared(declared), "promoted": shown(params[path]) if path in params else "–"}
        for path, declared in study.settings.get("space", {}).items()
    )
    yield _spent(study)


def _row(study: StudyRecord) -> Iterator[str]:
    record = study.facts["promotion"]
    row = record["row"]
    yield "## Settings"
    yield f"Row {markdown(row)} of the study file: nothing was searched for it."
    declared = study.settings.get("rows", {}).get(row, {}).get("set", {})
    yield _table({"setting": path, "value": shown(value)} for path, value in declared.items())
    yield f"Its training took {_hours([study.trials[record['trial']]])}. {DEVICE_HOURS}"


def _spent(study: StudyRecord) -> str:
    """Budget and what was spent of it; device time is summed over the epochs that are recorded here."""
    budget, trials = study.facts["budget"], study.trials
    allowed = [counted(budget["trials"], "trial")] if budget["trials"] else []
    allowed += [f"{budget['hours']:g} h"] if budget["hours"] else []
    ended = sum(trial.state in COUNTED for trial in trials)
    lines = [
        f"Budget: {' or '.join(allowed) or 'none recorded'}. Spent: {counted(ended, 'trial')} "
        f"({count_outcomes(trials)}), {_hours(trials)}."
    ]
    if choice := study.facts["promotion"].get("choice"):
        compared = [one for one in choice["finalists"] if "device_s" in one]
        repeated_s = sum(one["device_s"] * len(one["runs"]) for one in compared)
        runs = sum(len(one["runs"]) for one in compared)
        lines.append(f"Replicates of the finalists: {counted(runs, 'run')}, {repeated_s / HOUR_S:.2f} device-hours.")
    if refit := study.facts["promotion"].get("refit"):
        lines.append(f"Refit of the winner: {counted(refit['epochs'], 'epoch')} on {refit['images']} images.")
    return "\n".join([*lines, DEVICE_HOURS])


def _hours(trials: Iterable[TrialRecord]) -> str:
    spent_s = sum(row.device_s for trial in trials for row in trial.rows)
    return f"{spent_s / HOUR_S:.2f} device-hours"


def _evaluation(study: StudyRecord) -> list[dict[str, Any]]:
    return [
        {key: shown_score(value) if key in ("validation", "test") else value for key, value in row.items()}
        for row in evaluation_table(study)
    ]


def _worst(test: Mapping[str, Any]) -> str:
    worst = test.get("worst", ())
    if not worst:
        return ""
    shown_ones = ", ".join(f"{markdown(one['image'])} ({shown_score(one['miou'])})" for one in worst)
    return f"Lowest mIoU of a single test image, over the classes that it has: {shown_ones}."


def _limits(study: StudyRecord) -> list[str]:
    record = study.facts["promotion"]
    test, choice = record["test"], record.get("choice")
    lines = ["One data set: other cameras, places and seasons were not tried."]
    if (test.get("resampling") or {}).get("conditional"):
        lines.append(
            "The intervals are conditional on these sequences or groups: under ten of them say little about others."
        )
    if unreliable := test.get("unreliable"):
        lines.append(f"In too few test images for an interval to be relied on: {', '.join(unreliable)}.")
    if absent := [name for name, iou in test["iou"].items() if iou is None]:
        lines.append(f"Without a pixel in the test split, so nothing is known of them: {', '.join(absent)}.")
    if record["opening"] > 1:
        lines.append(
            f"The test split had been opened before (opening {record['opening']}: {record['again']}): figures of a "
            "split that is looked at again are optimistic."
        )
    if others := record.get("opened_with"):
        lines.append(
            f"Evaluated together with {_and(others)}: the highest of several test figures would be optimistic."
        )
    if "refit" in record:
        lines.append(
            "Trained on the validation images too: the figures on validation are those of the run that it repeats."
        )
    if choice is None:
        lines.append("Chosen without replicates: what other seeds would give is not known.")
    elif choice["seeds"] < SEEDS_OF_A_CLAIM:
        lines.append(
            f"{choice['seeds']} seeds are a screen; a claim that the finalists differ needs {SEEDS_OF_A_CLAIM}."
        )
    lines.append("The probabilities of its classes were not calibrated.")
    return lines


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)


def _declared(declared: Mapping[str, Any]) -> str:
    values = ", ".join(map(shown, declared["choices"])) if "choices" in declared else ""
    if "low" in declared:
        values = f"{shown(declared['low'])} to {shown(declared['high'])}"
        values += ", log" if declared.get("log") else ""
    when = "; ".join(f"{path} is {shown(value)}" for path, value in (declared.get("when") or {}).items())
    return values + (f" (when {when})" if when else "")


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" (95 % interval {interval[0]:.4f} to {interval[1]:.4f})"


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    if not rows:
        return ""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([markdown(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
