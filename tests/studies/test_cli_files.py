"""The commands about study files, run as a user runs them."""

import json

import pytest
import typer
from typer.testing import CliRunner

from studies.cli import files as cli_files
from studies.files.problems import StudyFileError
from studies.files.recipe_files import recipe_text
from studies.files.study_schema import study_schema


@pytest.fixture
def run():
    app = typer.Typer()
    for command in (cli_files.validate, cli_files.recipes, cli_files.show, cli_files.schema):
        app.command()(command)

    def invoke(*arguments):
        return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERM": "dumb"})

    return invoke


def test_validate_shows_what_would_be_searched(run):
    result = run("validate", "terrain-demo", "--set", "space.optimizer.lr.low=1e-3", "--trials", "5", "--name", "[b]x")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "valid: [b]x"
    assert lines[1].startswith("5 trials of up to 9 epochs, unet on terrain; sampler tpe, pruner successive_halving")
    assert any(line.split() == ["optimizer.lr", "0.001", "to", "0.03,", "logarithmic"] for line in lines)
    assert any("augment.set is flips or terrain" in line for line in lines)


def test_validate_says_what_will_not_be_searched(run):
    result = run("validate", "camvid-unet", "--set", "space.schedule.name=null")
    assert "never searched with these settings: schedule.plateau.patience" in result.output
    assert "no data set yet: launch with --data ROOT" in result.output


def test_validate_refuses(run):
    result = run("validate", "terrain-demo", "--trials", "0", "--workers", "0", "--hours", "-1")
    assert isinstance(result.exception, StudyFileError)
    assert str(result.exception).splitlines() == [
        "recipe terrain-demo has 3 problems:",
        "  --hours -1.0: search.hours: got -1.0; accepted: a number > 0 or null",
        "  --trials 0: search.trials: got 0; accepted: an integer > 0 or null",
        "  --workers 0: resources.workers: got 0; accepted: an integer > 0 or auto",
    ]


def test_recipes(run):
    result = run("recipes")
    assert result.exit_code == 0
    assert "terrain-demo        A small U-Net on generated Mars-like terrain" in result.output


def test_show_prints_the_recipe_unchanged(run):
    assert run("show", "camvid-unet").output == recipe_text("camvid-unet")
    assert isinstance(run("show", "camvid").exception, StudyFileError)


def test_schema_is_json_and_knows_the_paths(run):
    schema = json.loads(run("schema").output)
    assert schema == study_schema()
    paths = schema["properties"]["space"]["propertyNames"]["enum"]
    assert "optimizer.lr" in paths
    assert "seed" not in paths


def test_every_field_of_the_schema_is_described():
    schema = study_schema()
    for owner in [schema, *schema["$defs"].values()]:
        for name, field in owner.get("properties", {}).items():
            assert "description" in field or "$ref" in field, (owner["title"], name)
