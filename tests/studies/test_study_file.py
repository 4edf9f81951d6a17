"""Study files: what a good one becomes, and each mistake with its line, its key and what is accepted."""

import copy
import functools
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from search.pruners import PRUNERS, pruner_arguments
from search.samplers import SAMPLERS, sampler_arguments
from search.space_settings import ParameterSettings
from studies.files.problems import StudyFileError
from studies.files.recipe_files import recipe_names, recipe_text
from studies.files.setting_paths import searchable_kinds
from studies.files.space_checks import study_space
from studies.files.study_file import load_study, parse_study
from studies.files.study_settings import StudySettings

GOOD = """\
trial:
  epochs: 9
  data: {format: terrain}
  optimizer:
    weight_decay: 1e-4
space:
  optimizer.lr: {low: 1e-4, high: 1e-2, log: true}
search:
  trials: 3
"""


def parse(text, *overrides, options=None):
    return parse_study(text, "my.yaml", "my", overrides, options)


def refused(text, *overrides, options=None):
    with pytest.raises(StudyFileError, match=r".") as error:
        parse(text, *overrides, options=options)
    return str(error.value).splitlines()


def in_space(line, rest="search: {trials: 3}\n"):
    return f"space:\n  {line}\n{rest}"


def test_a_good_file():
    study = parse(GOOD)
    assert study.name == "my"
    assert study.trial.optimizer.weight_decay == 1e-4
    assert study.trial.epochs == 9
    assert study.space["optimizer.lr"].high == 1e-2
    assert (study.search.trials, study.search.audit, study.search.sampler.name) == (3, 0.1, "tpe")
    assert study.resources.workers == "auto"


def test_a_study_comes_back_from_its_json():
    study = parse(GOOD + "  sampler: {name: random}\n  pruner: {name: median, n_startup_trials: 2}\nname: 日本 ☃\n")
    study = study.model_copy(update={"space": {**study.space, "batch_size": ParameterSettings(choices=(4, 8))}})
    again = StudySettings.model_validate_json(study.model_dump_json())
    assert study_space(again).distributions == study_space(study).distributions
    assert again == study
    assert again.search.pruner.arguments == {"n_startup_trials": 2}


def test_whole_numbers_are_floats_where_floats_are_wanted():
    assert parse(GOOD, "trial.optimizer.weight_decay=1").trial.optimizer.weight_decay == 1.0


@pytest.mark.parametrize("name", ["a b", "ä/ö", "2026-01-01", "yes", "x" * 200])
def test_any_text_is_a_name(name):
    assert parse(GOOD + f"name: {name}\n").name == name


def test_one_problem_is_one_line():
    assert refused(GOOD.replace("epochs: 9", "epoch: 9")) == [
        "my.yaml:2: trial.epoch: unknown key; did you mean `epochs`? accepted: " + ", ".join(TRIAL_KEYS)
    ]


TRIAL_KEYS = (
    "seed", "epochs", "batch_size", "precision", "entry", "data", "augment", "model", "loss", "optimizer", "schedule",
    "early_stop", "metric", "refit",
)  # fmt: skip


def test_all_problems_at_once_in_the_order_of_the_file():
    lines = refused(
        "trial:\n"
        "  epochs: '9'\n"
        "  optimizer: {name: adamm, lr: true}\n"
        "space:\n"
        "  optimiser.lr: {low: 1, high: 2}\n"
        "search:\n"
        "  trials: 0\n"
        "  audit: 1.5\n"
        "resources: {gpu: many}\n"
    )
    assert lines[0] == "my.yaml has 7 problems:"
    assert [line.strip().split(": ")[:2] for line in lines[1:]] == [
        ["my.yaml:2", "trial.epochs"],
        ["my.yaml:3", "trial.optimizer.lr"],
        ["my.yaml:3", "trial.optimizer.name"],
        ["my.yaml:5", "space.optimiser.lr"],
        ["my.yaml:7", "search.trials"],
        ["my.yaml:8", "search.audit"],
        ["my.yaml:9", "resources.gpu"],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Types: nothing is guessed.
        ("trial: {epochs: '3'}", "my.yaml:1: trial.epochs: got the text '3'; accepted: an integer > 0"),
        ("trial: {epochs: true}", "my.yaml:1: trial.epochs: got true; accepted: an integer > 0"),
        ("trial: {epochs: 3.5}", "my.yaml:1: trial.epochs: got 3.5; accepted: an integer > 0"),
        ("trial: {optimizer: {lr: '1'}}", "trial.optimizer.lr: got the text '1'; accepted: a number > 0"),
        ("trial: {optimizer: {lr: false}}", "trial.optimizer.lr: got false; accepted: a number > 0"),
        ("trial: {optimizer: {lr: .inf}}", "trial.optimizer.lr: expected a finite number, got .inf"),
        ("trial: {seed: 99999999999999999999}", "trial.seed: expected an integer of at most 64 bits"),
        (
            "trial: {optimizer: adam}",
            "trial.optimizer: got the text 'adam'; accepted: a mapping with the keys name, lr",
        ),
        ("trial: {data: {size: [1, 2, 3]}}", "got the list [1, 2, 3]; accepted: a list of 2 integers > 0 or null"),
        ("trial: {data: {drop: [1]}}", "trial.data.drop[0]: got 1; accepted: text"),
        ("resources: {workers: 0}", "resources.workers: got 0; accepted: an integer > 0 or auto"),
        ("promotion: {seeds: 1}", "promotion.seeds: one seed says nothing of the spread between seeds; give 2 or more"),
        ("promotion: {pictures: -1}", "promotion.pictures: got -1; accepted: an integer >= 0"),
        ("name: ''", "name: got the text ''; accepted: text of 1 to 200 characters"),
        ("name: '  '", "a study's name needs at least one visible character"),
        (f"name: {'x' * 201}", "accepted: text of 1 to 200 characters"),
        # Keys.
        ("serach: {}", "my.yaml:1: serach: unknown key; did you mean `search`?"),
        ("optimizer: {lr: 1}", "optimizer: unknown key; did you mean `trial.optimizer`?"),
        ("trial: {lr: 1}", "trial.lr: unknown key; did you mean `trial.optimizer.lr`?"),
        ("trial: {optimizer.lr: 1}", "did you mean `trial.optimizer.lr`? (write nested keys; dotted ones are for"),
        ("trial: {epochs: 3, epochs: 4}", "trial.epochs: given twice, first in line 1; keep one of them"),
        ("1: 3", "my.yaml:1: expected text as a key, got 1"),
        # Values that are no plain YAML.
        ("name: !!python/name:os.system x", "name: the tag tag:yaml.org,2002:python/name:os.system is not accepted"),
        ("name: &a [*a]", "an anchor that contains itself"),
        ('name: "a\\0b"', "name: text with a character that cannot be stored"),
        # Search.
        ("search: {trials: -1}", "search.trials: got -1; accepted: an integer > 0 or null"),
        ("search: {hours: 0}", "search.hours: got 0; accepted: a number > 0 or null"),
        ("search: {metric: iou}", "search.metric: got the text 'iou'; accepted: miou"),
        ("search: {trials: 1, sampler: tpe}", "search.sampler: got the text 'tpe'; accepted: a mapping with name"),
        ("search: {trials: 1, sampler: {name: tpo}}", "search.sampler.name: got the text 'tpo'; did you mean `tpe`?"),
        (
            "search: {trials: 1, sampler: {name: tpe, n_startup: 3}}",
            "search.sampler.n_startup: the sampler tpe has no such argument; did you mean `n_startup_trials`?",
        ),
        (
            "search: {trials: 1, sampler: {name: tpe, n_startup_trials: few}}",
            "search.sampler.n_startup_trials: got the text 'few'; accepted: an integer",
        ),
        ("search: {trials: 1, pruner: {name: none, factor: 3}}", "the pruner none has no such argument; it takes none"),
        ("search: {trials: 1, pruner: {name: halving}}", "did you mean `successive_halving`?"),
        ("search: {audit: 1.1}", "search.audit: got 1.1; accepted: a number >= 0 and <= 1"),
        ("search: {}", "search: no budget; give `trials` (their total number), `hours`, or both"),
    ],
)
def test_a_mistake_beside_the_space(text, message):
    assert any(message in line for line in refused(text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "optimiser.lr: {low: 1, high: 2}",
            "my.yaml:2: space.optimiser.lr: no such setting; did you mean `optimizer.lr`? accepted below optimizer:",
        ),
        ("lr: {low: 1, high: 2}", "did you mean `optimizer.lr`?"),
        ("qqq: {low: 1, high: 2}", "space.qqq: no such setting; accepted: batch_size, precision,"),
        ("trial.optimizer.lr: {low: 1, high: 2}", "paths in `space` start below `trial`; write `optimizer.lr`"),
        (
            "optimizer: {lr: {low: 1, high: 2}}",
            "is a group of settings; write one of its paths with dots: optimizer.na",
        ),
        ("data.size: {choices: [[1, 2]]}", "is a list; only settings of one value can be searched"),
        (
            "optimizer.lr: 3",
            "space.optimizer.lr: got 3; accepted: a mapping with the keys low, high, log, step, choices",
        ),
        ("optimizer.lr: {lo: 1, high: 2}", "space.optimizer.lr.lo: unknown key; did you mean `low`?"),
        ("optimizer.lr: {low: '1', high: 2}", "space.optimizer.lr.low: got the text '1'; accepted: a number"),
        ("optimizer.lr: {low: 1}", "expected `low` and `high`, or `choices`; got only `low`"),
        ("optimizer.lr: {low: -1, high: 2}", "space.optimizer.lr.low: got -1; accepted: a number > 0"),
        (
            "optimizer.momentum: {low: 0, high: 1}",
            "space.optimizer.momentum.high: got 1; accepted: a number >= 0 and < 1",
        ),
        ("model.width: {low: 8, high: 16.0}", "space.model.width.high: is an integer, high is 16.0; write 16"),
        (
            "model.width: {choices: [8, '16']}",
            "space.model.width.choices[1]: got the text '16'; accepted: an integer > 0",
        ),
        ("model.width: {choices: [8, true]}", "space.model.width.choices[1]: got true; accepted: an integer > 0"),
        ("model.width: {choices: [8, [16]]}", "space.model.width.choices[1]: got the list [16]; accepted: "),
        ("schedule.name: {low: 1, high: 2}", "space.schedule.name: is no number, so it has no range"),
        (
            "schedule.name: {choices: [cosine, cosin]}",
            "space.schedule.name.choices[1]: got the text 'cosin'; did you mean",
        ),
        (
            "augment.strength: {low: 0, high: 1}",
            "does nothing while augment.set is none; set trial.augment.set or search",
        ),
        (
            "optimizer.momentum: {low: 0, high: 0.9, when: {optimizer.nam: sgd}}",
            "space.optimizer.momentum.when.optimizer.nam: no setting of one value below `trial`; did you mean",
        ),
        (
            "optimizer.momentum: {low: 0, high: 0.9, when: {optimizer.name: sgdd}}",
            "space.optimizer.momentum.when.optimizer.name: got the text 'sgdd'; did you mean `sgd`?",
        ),
        ("optimizer.momentum: {low: 0, high: 0.9, when: {optimizer.name: []}}", "got an empty list"),
        ("optimizer.momentum: {low: 0, high: 0.9, when: {optimizer.momentum: 0.9}}", "`when` goes in a circle"),
        (
            "optimizer.momentum: {low: 0, high: 0.9, when: {optimizer.name: sgd}}",
            "nothing is searched: no condition can",
        ),
    ],
)
def test_a_mistake_in_the_space(line, message):
    assert any(message in found for found in refused(in_space(line)))


@pytest.mark.parametrize(
    "path",
    [
        "seed", "epochs", "entry", "data.root", "data.format", "data.split", "data.split_seed", "data.gap",
        "data.shares", "data.classes", "data.ignore_index", "data.eval_size", "data.drop", "data.terrain.seed",
        "metric.exclude", "metric.ignore_target", "metric", "trial.seed",
    ],
)  # fmt: skip
def test_paths_that_no_space_may_name(path):
    (line,) = refused(in_space(f"{path}: {{choices: [1, 2]}}"))
    assert line.startswith(f"my.yaml:2: space.{path}: cannot be searched: ")
    assert line.endswith("set it under `trial`")


def test_a_condition_that_its_searched_parent_never_meets():
    text = in_space("optimizer.momentum: {low: 0, high: 0.9, when: {optimizer.name: sgd}}")
    (line,) = refused(text.replace("search:", "  optimizer.name: {choices: [adam, adamw]}\nsearch:"))
    assert line == (
        "my.yaml:2: space.optimizer.momentum.when.optimizer.name: optimizer.name is searched and never gets the text "
        "'sgd'; its choices: adam, adamw"
    )


def test_strength_needs_a_condition_beside_a_searched_none():
    text = in_space(
        "augment.set: {choices: [none, flips]}", "  augment.strength: {low: 0, high: 1}\nsearch: {trials: 1}"
    )
    (line,) = refused(text)
    assert line == (
        "my.yaml:3: space.augment.strength: does nothing while augment.set is none; add `when: {augment.set: [flips]}`"
    )
    assert parse(text, "space.augment.strength.when.augment.set=flips").space["augment.strength"].when
    assert parse(text, "space.augment.set.choices=[flips, indoor]")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "space: {}\n", "---\n"])
def test_an_empty_space(text):
    lines = refused(text)
    assert any("space: empty; give at least one path, such as optimizer.lr" in line for line in lines)
    assert all(line.startswith("  my.yaml:") for line in lines[1:])


# Twenty lines that would grow to two million values.
LAUGHS = "x0: &x0 [1, 1]\n" + "".join(f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]\n" for i in range(1, 21))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "my.yaml:1: expected keys such as trial, space and search; got the list [a]"),
        ("hello", "my.yaml:1: expected keys such as trial, space and search; got the text 'hello'"),
        ("a: [1, 2\nb: 3", "my.yaml:2: no valid YAML: "),
        ("a:\n\t- b", "indent with spaces, not tabs"),
        ("a: 1\n---\nb: 2", "no valid YAML: expected a single document"),
        ("[" * 2000, "nested deeper than 32 levels at line 1"),
        (LAUGHS, "aliases counted as often as used"),
        ("x" * 1_000_001, "expected at most 1000000 characters"),
    ],
)  # fmt: skip
def test_what_is_no_study_file_at_all(text, message):
    assert any(message in line for line in refused(text))


def test_a_sampler_that_cannot_search_this_space():
    (line,) = refused(GOOD, "search.sampler.name=grid")
    assert line.startswith("--set search.sampler.name=grid: search.sampler: grid needs `choices` or a `step`")


def test_a_data_root_that_is_not_there():
    (line,) = refused(GOOD.replace("terrain", "folder"), options={"--data": ("trial.data.root", "/no/such")})
    assert line.startswith("--data /no/such: trial.data.root: no such folder: /no/such")


class TestSettingsThatCannotWorkTogether:
    def test_a_choice_of_the_space(self):
        text = in_space("model.unfreeze: {choices: [all, head]}")
        (line,) = refused(text, "trial.model.name=smp_unet")
        assert line.startswith("my.yaml:2: space.model.unfreeze: ")
        assert "head" in line

    def test_only_a_combination_of_two_choices(self):
        text = in_space(
            "model.unfreeze: {choices: [all, head]}", "  model.name: {choices: [unet, smp_unet]}\nsearch: {trials: 1}\n"
        )
        assert any("space.model.unfreeze: " in line for line in refused(text))

    def test_the_end_of_a_range(self):
        (line,) = refused(in_space("schedule.warmup_epochs: {low: 0, high: 30}"), "trial.epochs=9")
        assert line.startswith("my.yaml:2: space.schedule.warmup_epochs: got 30, expected less than epochs (9)")

    def test_ranges_that_begin_at_zero_together(self):
        text = in_space(
            "loss.terms.dice.weight: {low: 0, high: 1}",
            "  loss.terms.cross_entropy.weight: {low: 0, high: 1}\nsearch: {trials: 1}\n",
        )
        assert len(parse(text).space) == 2

    def test_a_choice_behind_a_condition(self):
        text = in_space(
            "schedule.name: {choices: [constant, cosine]}",
            "  schedule.warmup_epochs: {choices: [0, 99], when: {schedule.name: cosine}}\nsearch: {trials: 1}\n",
        )
        (line,) = refused(text)
        assert line.startswith("my.yaml:3: space.schedule.warmup_epochs: got 99")

    def test_fixed_settings(self):
        lines = refused(GOOD, "trial.schedule.warmup_epochs=9", "trial.loss.terms.cross_entropy.weight=0")
        assert "trial.loss.terms: every weight is 0" in lines[1]
        assert lines[2].startswith("  --set trial.schedule.warmup_epochs=9: got 9, expected less than epochs (9)")

    def test_a_fixed_value_that_the_search_always_replaces_does_not_count(self):
        text = in_space("schedule.warmup_epochs: {low: 0, high: 3}")
        assert parse("trial: {epochs: 9, schedule: {warmup_epochs: 12}}\n" + text)


class TestOverrides:
    def test_any_key(self):
        study = parse(GOOD, "trial.optimizer.name=sgd", "search.pruner={name: none}", "name=other=x", "resources.cpu=2")
        assert study.trial.optimizer.name == "sgd"
        assert study.trial.optimizer.weight_decay == 1e-4
        assert study.search.pruner.name == "none"
        assert study.name == "other=x"
        assert study.resources.cpu == 2

    def test_values_are_yaml(self):
        study = parse(GOOD, "trial.optimizer.weight_decay=1e-5", "trial.data.size=[64, 128]", "search.hours=null")
        assert study.trial.optimizer.weight_decay == 1e-5
        assert study.trial.data.size == (64, 128)

    def test_space(self):
        study = parse(
            GOOD,
            "space.optimizer.lr.low=1e-3",
            "space.loss.terms.dice.weight={low: 0, high: 1}",
            "space.optimizer.momentum.low=0.5",
            "space.optimizer.momentum.high=0.9",
            "space.optimizer.momentum.when.schedule.name=[constant, cosine]",
        )
        assert study.space["optimizer.lr"].low == 1e-3
        assert study.space["loss.terms.dice.weight"].high == 1
        assert study.space["optimizer.momentum"].conditions == {"schedule.name": ("constant", "cosine")}
        assert len(study_space(study)) == 3

    def test_null_takes_a_parameter_out(self):
        study = parse(GOOD, "space.optimizer.lr=null", "trial.optimizer.lr=3e-3", "space.batch_size={choices: [4, 8]}")
        assert set(study.space) == {"batch_size"}
        assert study.trial.optimizer.lr == 3e-3

    def test_the_last_one_counts_and_options_go_over_it(self):
        options = {"--trials": ("search.trials", 7), "--name": ("name", "1e-4")}
        study = parse(GOOD, "search.trials=4", "search.trials=5", options=options)
        assert (study.search.trials, study.name) == (7, "1e-4")

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("trial.epochs=0", "--set trial.epochs=0: got 0; accepted: an integer > 0"),
            ("trial.epochs='3'", "--set trial.epochs='3': got the text '3'; accepted: an integer > 0"),
            ("trial.epoch=3", "--set trial.epoch=3: unknown key; did you mean `epochs`? accepted: seed, epochs"),
            ("optimizer.lr=3", "--set optimizer.lr=3: optimizer: unknown key; did you mean `trial.optimizer`?"),
            ("trial.epochs", "--set trial.epochs: expected PATH=VALUE, such as trial.optimizer.lr=1e-4"),
            ("=3", "--set =3: expected PATH=VALUE"),
            ("trial..epochs=3", "--set trial..epochs=3: expected PATH=VALUE"),
            ("trial.epochs=[", "--set trial.epochs=[: no valid YAML: "),
            ("trial.epochs.x=3", "--set trial.epochs.x=3: trial.epochs is one value and has no keys; set it whole"),
            (
                "space.optimizer.lr.low=x",
                "--set space.optimizer.lr.low=x: got the text 'x'; accepted: a number or null",
            ),
            ("space.optimizer.lrr={low: 1, high: 2}", "no such setting; did you mean `optimizer.lr`?"),
            ("space.data.root={choices: [a]}", "cannot be searched: it changes what mIoU is measured on"),
            (
                "trial.optimizer.lr=3",
                "--set trial.optimizer.lr=3: would have no effect, optimizer.lr is searched; to fix it, add --set "
                "space.optimizer.lr=null",
            ),
        ],
    )
    def test_a_mistake_names_the_option(self, override, message):
        lines = refused(GOOD, override)
        assert message in lines[0]
        assert len(lines) == 1

    def test_options_name_themselves(self):
        (line,) = refused(GOOD, options={"--trials": ("search.trials", 0)})
        assert line == "--trials 0: search.trials: got 0; accepted: an integer > 0 or null"

    def test_a_mistake_in_the_file_that_an_option_replaces_is_none(self):
        assert parse(GOOD.replace("epochs: 9", "epochs: nine"), "trial.epochs=3").trial.epochs == 3


class TestLoad:
    def test_named_like_its_file(self, tmp_path: Path):
        path = tmp_path / "my study.v2.yaml"
        path.write_text(GOOD, encoding="utf-8")
        assert load_study(path).name == "my study.v2"
        assert load_study(str(path), ["name=x"]).name == "x"

    def test_errors_name_the_file(self, tmp_path: Path):
        path = tmp_path / "a.yaml"
        path.write_text(GOOD.replace("9", "0"), encoding="utf-8")
        with pytest.raises(StudyFileError, match=r"a\.yaml:2: trial\.epochs: got 0"):
            load_study(path)

    def test_windows_text(self, tmp_path: Path):
        path = tmp_path / "a.yaml"
        path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
        assert load_study(path).trial.epochs == 9


def outcome_is_clean(text, *overrides):
    try:
        study = parse(text, *overrides)
    except StudyFileError as error:
        message = str(error)
        assert message
        assert "pydantic" not in message
        assert "Traceback" not in message
        assert all(line.strip() for line in message.splitlines())
    else:
        assert isinstance(study, StudySettings)
        study_space(study)


FUZZ = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
KEYS = st.sampled_from(
    [
        "trial", "space", "search", "resources", "promotion", "name", "optimizer", "optimizer.lr", "lr", "model",
        "data", "model.unfreeze", "size", "drop", "low", "high", "log", "step", "choices", "when", "trials", "hours",
        "sampler", "pruner", "audit", "epochs", "augment", "augment.set", "augment.strength", "weights",
    ]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-2, 5)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["none", "flips", "adam", "sgd", "all", "tpe", "auto", "head", "miou"])
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=5)
)


@FUZZ
@given(st.text(max_size=200))
@example("%YAML 9.9\n---\na: 1")
@example("a: !<x> b")
@example('a: "\\ud800"')
@example("a: 0x")
@example("a: 1__0")
@example("? a\n? b")
@example("&a a: *a")
@example("<<: {trial: 3}")
@example("a: !!int x")
@example("a: !!timestamp x")
@example("name: " + "9" * 5000)
def test_any_text_is_a_study_or_a_study_file_error(text):
    outcome_is_clean(text)


@FUZZ
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_any_values_are_a_study_or_a_study_file_error(data):
    # JSON is YAML, but for the words of non-finite numbers.
    outcome_is_clean(json.dumps(data).replace("NaN", ".nan").replace("Infinity", ".inf"))


RECIPE_LINES = sorted({line for name in recipe_names() for line in recipe_text(name).splitlines()})


@FUZZ
@given(st.data())
def test_a_damaged_recipe_is_a_study_or_a_study_file_error(data):
    lines = recipe_text(data.draw(st.sampled_from(recipe_names()))).splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        how = data.draw(st.sampled_from(["drop", "swap", "cut", "junk"]))
        if how == "drop" and len(lines) > 1:
            del lines[at]
        elif how == "swap":
            lines[at] = data.draw(st.sampled_from(RECIPE_LINES))
        elif how == "cut":
            lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
        else:
            lines[at] += data.draw(st.sampled_from(["x", ": 3", "[", "}", " -1", "'", "\t", " &a", " *a", " !x"]))
    outcome_is_clean("\n".join(lines))


@FUZZ
@given(st.text(max_size=30) | st.builds("{}={}".format, KEYS | st.text(max_size=10), st.text(max_size=10)))
@example("space=3")
@example("space.=3")
@example("space.optimizer.lr.low.x=3")
@example("space.optimizer.lr.when=3")
@example("trial=null")
@example("name=")
def test_any_override_is_a_study_or_a_study_file_error(override):
    outcome_is_clean(GOOD, override)


PATHS = st.sampled_from(sorted(searchable_kinds()))
NUMBERS = st.integers(-3, 40) | st.floats(allow_nan=False, allow_infinity=False) | st.floats(0, 1) | SCALARS
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "low": NUMBERS,
        "high": NUMBERS,
        "log": st.booleans(),
        "step": NUMBERS,
        "choices": st.lists(SCALARS, max_size=4),
        "when": st.dictionaries(PATHS, SCALARS | st.lists(SCALARS, max_size=2), max_size=2),
    },
)


@FUZZ
@given(st.dictionaries(PATHS, PARAMETERS, min_size=1, max_size=4))
def test_any_space_over_real_paths_is_a_study_or_a_study_file_error(space):
    outcome_is_clean(json.dumps({"space": space, "search": {"trials": 2}}).replace("NaN", ".nan"))


@FUZZ
@given(st.data())
def test_any_arguments_of_real_algorithms_are_a_study_or_a_study_file_error(data):
    search = {"trials": 2}
    for kind, table, names in (("sampler", SAMPLERS, sampler_arguments), ("pruner", PRUNERS, pruner_arguments)):
        name = data.draw(st.sampled_from(sorted(table)))
        arguments = data.draw(st.dictionaries(st.sampled_from(sorted(names(name)) or ["x"]), TREES, max_size=3))
        search[kind] = {"name": name, **arguments}
    outcome_is_clean(
        json.dumps({"space": {"batch_size": {"choices": [4, 8]}}, "search": search}).replace("NaN", ".nan")
    )


OWN = (
    "trial.model.name", "trial.data.format", "trial.augment.set", "trial.entry", "trial.loss.terms.custom.entry",
    "search.sampler.name", "search.pruner.name",
)  # fmt: skip
IMPORT_PATHS = st.builds("{}:{}".format, st.text(max_size=8), st.text(max_size=8)) | st.builds(
    "{}:{}".format,
    st.sampled_from(["optuna.samplers", "optuna.pruners", "json", "json.tool", ".", "..json", "optuna..x", "\0"]),
    st.sampled_from(["RandomSampler", "BaseSampler", "NopPruner", "PercentilePruner", "__doc__", "loads", "dumps", ""]),
)


@FUZZ
@given(st.sampled_from(OWN), IMPORT_PATHS)
@example("search.sampler.name", "optuna.samplers:RandomSampler")
@example("search.pruner.name", "optuna.samplers:RandomSampler")
def test_any_import_path_is_a_study_or_a_study_file_error(setting, import_path):
    outcome_is_clean(GOOD, f"{setting}={json.dumps(import_path)}")


WHOLE = {
    **json.loads(json.dumps(parse(GOOD).resolved())),
    "rows": {"one": {"set": {"optimizer.lr": 1e-3}, "note": "a"}, "two": {"set": {"batch_size": 4}}},
    "hooks": {"url_env": "CONTOURNEY_HOOK", "on": ["finished"]},
}


def nodes(tree, path=()):
    """Paths of every key and list item."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield (*path, key)
        yield from nodes(value, (*path, key))


@FUZZ
@given(st.data())
def test_any_mutation_of_a_whole_file_is_a_study_or_a_study_file_error(data):
    whole = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(nodes(whole)) or [("name",)]))
        *above, key = path
        parent = functools.reduce(lambda tree, part: tree[part], above, whole)
        how = data.draw(st.sampled_from(["junk", "drop", "rename", "copy"]))
        if how == "junk" or (how == "rename" and isinstance(parent, list)):
            parent[key] = data.draw(TREES)
        elif how == "drop":
            del parent[key]
        elif how == "rename":
            parent[data.draw(KEYS | st.text(max_size=4))] = parent.pop(key)
        else:
            other = data.draw(st.sampled_from(list(nodes(whole))))
            parent[key] = copy.deepcopy(functools.reduce(lambda tree, part: tree[part], other, whole))
    outcome_is_clean(json.dumps(whole).replace("NaN", ".nan").replace("Infinity", ".inf"))


def test_the_whole_file_is_a_study():
    assert parse(json.dumps(WHOLE)).hooks.url_env == "CONTOURNEY_HOOK"
