"""Latency: what is timed, how often, and that nothing of the trial notices."""

import json
from pathlib import Path

import pytest
import torch

from tests.trainables.conftest import MakeSettings, MakeSplit
from trainables import latency
from trainables.inference import Inference
from trainables.latency import device_name, measure_latency
from trainables.models.settings import ModelSettings
from trainables.models.table import build_net
from trainables.settings import TrialSettings
from trainables.trial_run import TrialRun

CPU = torch.device("cpu")


def inference() -> Inference:
    torch.manual_seed(0)
    net = build_net(ModelSettings(width=4, depth=2), 3, 3)
    return Inference(net.to(memory_format=torch.channels_last), CPU, "fp32", "none")


def test_one_image_is_timed_after_warming_up_and_no_random_number_is_drawn(make_split: MakeSplit) -> None:
    placed, seen = inference(), []
    placed.model.train()
    placed.model.register_forward_hook(lambda module, inputs, output: seen.append(tuple(inputs[0].shape)))
    torch.manual_seed(5)
    before = {name: tensor.clone() for name, tensor in placed.model.state_dict().items()}
    found = measure_latency(placed, make_split(size=(16, 24)))
    assert found.pop("latency_ms") > 0
    assert found == {
        "runs": 9, "image": "16×24", "mask": "16×24", "device": device_name(CPU), "precision": "fp32"
    }  # fmt: skip
    assert seen == [(1, 3, 16, 24)] * 11
    assert torch.equal(torch.rand(3), torch.manual_seed(5) and torch.rand(3))
    assert all(torch.equal(tensor, before[name]) for name, tensor in placed.model.state_dict().items())


def test_what_takes_too_long_is_run_once(make_split: MakeSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "MOST_S", 0.0)
    found = measure_latency(inference(), make_split())
    assert found["runs"] == 1
    assert found["latency_ms"] > 0  # type: ignore[operator]


def test_the_processor_is_named_with_its_threads(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: Some CPU\n")
    threads = torch.get_num_threads()
    words = "1 thread" if threads == 1 else f"{threads} threads"
    assert device_name(CPU, cpuinfo) == f"Some CPU @ 2 GHz, {words}"
    assert device_name(CPU, tmp_path / "none").endswith(words)


def test_a_trial_measures_once_and_goes_on_with_it_after_a_restart(
    tmp_path: Path, terrain_cache: Path, terrain_settings: MakeSettings
) -> None:
    settings = terrain_settings(epochs=2)
    first = TrialRun(settings, tmp_path, terrain_cache, threads=1, device=CPU)
    parameters = {"trainable_parameters": first.applied["trainable_parameters"]}
    assert first.facts == parameters
    first.next_row()
    kept = json.loads((tmp_path / "latency.json").read_text())
    assert kept["latency_ms"] > 0
    assert kept["device"] == device_name(CPU)
    assert first.facts == {**parameters, "latency_ms": kept["latency_ms"], "latency_device": kept["device"]}
    first.reset()
    # Whether the row of the first epoch was kept or not.
    (tmp_path / "last.pt").unlink()
    again = TrialRun(settings, tmp_path, terrain_cache, threads=1, device=CPU)
    assert again.facts["latency_ms"] == kept["latency_ms"]
    while again.next_row()["end"] is None:
        pass
    assert again.facts["latency_ms"] == kept["latency_ms"]
    assert json.loads((tmp_path / "latency.json").read_text()) == kept


def test_a_class_of_the_users_own_need_not_measure(tmp_path: Path, terrain_cache: Path) -> None:
    settings = TrialSettings.model_validate({"entry": "tests.studies.scripted:Graded", "epochs": 1})
    run = TrialRun(settings, tmp_path, terrain_cache, threads=1, device=CPU)
    run.next_row()
    assert "latency_ms" not in run.facts
    assert not (tmp_path / "latency.json").exists()
