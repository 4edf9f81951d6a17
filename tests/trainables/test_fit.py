"""One configuration trained without Ray, by its command."""

import json
import os
import subprocess
import sys

import pytest

from trainables.fit import ConfigError, main, read_config

CONFIG = """
epochs: 2
batch_size: 4
data: {format: terrain, terrain: {images: 24}}
model: {width: 4, depth: 2}
optimizer: {lr: 1e-3}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def test_trains_to_the_end_and_goes_on_where_it_was(config, tmp_path, terrain_cache, capsys):
    arguments = [str(config), "--output", str(tmp_path / "out"), "--cache", str(terrain_cache)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in printed[:2]] == ["epoch 1", "epoch 2"]
    assert printed[1].endswith("finished")
    assert printed[2] == f"best weights: {tmp_path / 'out' / 'best.pt'}"
    before = (tmp_path / "out" / "epochs.jsonl").read_text()
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == printed
    assert (tmp_path / "out" / "epochs.jsonl").read_text() == before


def test_a_folder_of_other_settings_is_refused(config, tmp_path, terrain_cache, capsys):
    arguments = [str(config), "--output", str(tmp_path / "out"), "--cache", str(terrain_cache)]
    assert main(arguments) == 0
    config.write_text(CONFIG.replace("1e-3", "1e-2"))
    assert main(arguments) == 2
    assert "holds a training with other settings; choose another --output" in capsys.readouterr().err


def test_the_fixed_settings_of_a_study_are_a_configuration(config, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text("name: a study\ntrial:\n" + "\n".join(f"  {line}" for line in CONFIG.splitlines()))
    assert read_config(study) == read_config(config)
    assert read_config(study).optimizer.lr == 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "config.yaml: epoch: Extra inputs are not permitted"),
        ("epochs: many", "config.yaml: epochs: Input should be a valid integer"),
        ("epochs: [", "config.yaml is not YAML"),
        ("- 1", "config.yaml: .*valid dictionary"),
    ],
)
def test_a_wrong_configuration_is_refused(config, text, message):
    config.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(config)


def test_a_missing_file_and_settings_that_cannot_work_end_with_code_2(config, tmp_path, capsys):
    assert main([str(tmp_path / "absent.yaml")]) == 2
    assert "absent.yaml: No such file" in capsys.readouterr().err
    config.write_text("model: {unfreeze: head}")
    assert main([str(config), "--output", str(tmp_path / "none")]) == 2
    assert "model.unfreeze" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_the_command_runs_without_ray_and_without_warnings(config, tmp_path, terrain_cache):
    code = (
        "import sys, json; from trainables.fit import main; code = main(sys.argv[1:]); "
        "print(json.dumps(sorted({'ray', 'optuna', 'mlflow', 'plotly'} & set(sys.modules)))); sys.exit(code)"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(config), "--output", str(tmp_path / "out")]
    command += ["--cache", str(terrain_cache)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=one_thread)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
