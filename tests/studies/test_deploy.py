"""The files of deploy/, as far as they can be checked without Kubernetes and Slurm; `ray symmetric-run` is real."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from ruamel.yaml import YAML

from studies.stored import open_study
from studies.workspace import DRIVER_VARIABLES, Workspace
from tests.servers import free_port
from tests.studies.cluster_process import children
from tests.studies.running import ROOT, environment, ready

DEPLOY = ROOT / "deploy"
SCRIPTS = sorted(DEPLOY.glob("*.sh"))
BIN = Path(sys.executable).parent

# Fields of ray.io/v1, https://ray-project.github.io/kuberay/reference/api/: those used here must be among them.
JOB_FIELDS = {
    *("entrypoint", "rayClusterSpec", "clusterSelector", "submissionMode", "submitterPodTemplate", "submitterConfig"),
    *("backoffLimit", "activeDeadlineSeconds", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "suspend"),
    *("runtimeEnvYAML", "metadata", "jobId", "managedBy", "deletionStrategy", "entrypointNumCpus"),
}
CLUSTER_FIELDS = {
    *("rayVersion", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling", "autoscalerOptions", "suspend"),
    *("headServiceAnnotations", "gcsFaultToleranceOptions", "managedBy", "authOptions"),
}
HEAD_FIELDS = {"template", "rayStartParams", "serviceType", "headService", "enableIngress", "resources", "labels"}
WORKER_FIELDS = {
    *("groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template", "numOfHosts"),
    *("idleTimeoutSeconds", "scaleStrategy", "suspend", "resources", "labels"),
}
CONTAINER_FIELDS = {"name", "image", "ports", "env", "envFrom", "resources", "volumeMounts", "lifecycle"}
POD_FIELDS = {"containers", "volumes", "serviceAccountName", "terminationGracePeriodSeconds"}


def document(name: str) -> dict[str, Any]:
    return dict(YAML(typ="safe").load((DEPLOY / name).read_text()))


def cluster_spec(name: str) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = document(name)["spec"]
    inner: Mapping[str, Any] = spec.get("rayClusterSpec", spec)
    return inner


def pods(name: str) -> Iterator[Mapping[str, Any]]:
    spec = cluster_spec(name)
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        yield group["template"]["spec"]


@pytest.mark.parametrize(("name", "kind"), [("kuberay-rayjob", "RayJob"), ("kuberay-raycluster", "RayCluster")])
def test_kuberay_resources_have_known_fields_only(name: str, kind: str) -> None:
    found = document(f"{name}.yaml")
    assert (found["apiVersion"], found["kind"]) == ("ray.io/v1", kind)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", found["metadata"]["name"])
    if kind == "RayJob":
        assert set(found["spec"]) <= JOB_FIELDS
    spec = cluster_spec(f"{name}.yaml")
    assert set(spec) <= CLUSTER_FIELDS
    assert set(spec["headGroupSpec"]) <= HEAD_FIELDS
    for group in spec["workerGroupSpecs"]:
        assert set(group) <= WORKER_FIELDS
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for pod in pods(f"{name}.yaml"):
        assert set(pod) <= POD_FIELDS
        (container,) = pod["containers"]
        assert set(container) <= CONTAINER_FIELDS
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("name", ["kuberay-rayjob.yaml", "kuberay-raycluster.yaml"])
def test_only_the_head_has_the_drivers_secret_and_it_runs_no_trial(name: str) -> None:
    head, *workers = pods(name)
    assert head["containers"][0]["envFrom"] == [{"secretRef": {"name": "contourney-driver"}}]
    assert cluster_spec(name)["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert not any("envFrom" in pod["containers"][0] for pod in workers)
    assert head["terminationGracePeriodSeconds"] >= 30


def test_ray_versions_and_the_image_agree() -> None:
    (pinned,) = re.findall(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    files = ("kuberay-rayjob.yaml", "kuberay-raycluster.yaml")
    assert {cluster_spec(name)["rayVersion"] for name in files} == {pinned}
    images = {pod["containers"][0]["image"] for name in files for pod in pods(name)}
    (image,) = images
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert f"-t {image} " in dockerfile
    assert "launch-or-resume.sh /usr/local/bin/contourney-go-on" in dockerfile
    assert document("kuberay-rayjob.yaml")["spec"]["entrypoint"].startswith("contourney-go-on ")
    for copied in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / source).exists() for source in copied.split())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script: Path) -> None:
    assert script.stat().st_mode & stat.S_IXUSR
    done = subprocess.run([str(BIN / "shellcheck"), str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("help_of", "script"), [(("symmetric-run",), "slurm.sh"), (("job", "submit"), "ray-job-submit.sh")]
)
def test_the_installed_ray_knows_the_options_used(help_of: tuple[str, ...], script: str) -> None:
    known = subprocess.run([str(BIN / "ray"), *help_of, "--help"], capture_output=True, text=True, check=True).stdout
    known += subprocess.run([str(BIN / "ray"), "start", "--help"], capture_output=True, text=True, check=True).stdout
    text = (DEPLOY / script).read_text().replace("\\\n", " ")
    (line,) = re.findall(rf"ray {' '.join(help_of)} (.*?) -- ", text)
    used = re.findall(r"--[a-z-]+", line)
    assert used
    assert [option for option in used if option not in known] == []


def test_credentials_in_the_environment_of_slurm_are_refused() -> None:
    for name in DRIVER_VARIABLES:
        done = subprocess.run(
            ["bash", str(DEPLOY / "slurm.sh"), "study.yaml", "x"],
            env=environment(**{name: "hunter2"}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert name in done.stderr
        assert "hunter2" not in done.stderr


def test_a_setting_of_mlflow_that_holds_no_secret_is_none(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(DEPLOY / "slurm.sh"), "study.yaml", "x"],
        cwd=tmp_path,
        env=environment(MLFLOW_DISABLE_TELEMETRY="true", WORKSPACE=str(ready(tmp_path / "w"))),
        capture_output=True,
        text=True,
        check=False,
    )
    # It goes on to ask Slurm, which is not here.
    assert "would reach every worker" not in done.stderr


def fake(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(("there", "expected"), [("0", "resume my study"), ("2", "launch study.yaml --name my study")])
def test_a_study_that_is_there_is_gone_on_with(tmp_path: Path, there: str, expected: str) -> None:
    fake(tmp_path / "bin", "contourney", f'if [ "$1" = status ]; then exit {there}; fi; echo "$@"')
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(DEPLOY / "launch-or-resume.sh"), "study.yaml", "my study", "--trials", "3"],
        env=environment(PATH=path, WORKSPACE="w"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{expected} --workspace w")
    assert ("--trials 3" in done.stdout) == (there == "2")


def alone_on_its_machine() -> list[str]:
    """What to run a command with, so that it sees no processes but its own: a PID namespace.

    `ray symmetric-run` refuses to start beside another Ray, and ends by stopping every Ray of its user's that it sees.
    """
    command = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--pid", "--fork", "--mount-proc"]
    if sys.platform != "linux" or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"`ray symmetric-run` would stop every Ray of this machine, and `{' '.join(command)}` cannot run")
    return [*command, "--kill-child"]


@pytest.mark.slow
def test_the_slurm_script_ends_its_driver_in_order_on_sigterm(tmp_path: Path) -> None:
    """Slurm's own commands are replaced: one node, whose step is a child of the script. Ray is real."""
    alone = alone_on_its_machine()
    fake(tmp_path / "bin", "scontrol", "echo 127.0.0.1")
    fake(tmp_path / "bin", "srun", 'while [ "$1" != ray ]; do shift; done; exec "$@"')
    fake(tmp_path / "bin", "contourney", f'exec {sys.executable} -m studies.cli "$@"')
    (tmp_path / "driver.env").write_text("export MLFLOW_TRACKING_PASSWORD=hunter2")
    (tmp_path / "study.yaml").write_text(
        "trial:\n  entry: tests.studies.scripted:Scripted\n  epochs: 2\n"
        "  data: {format: terrain, terrain: {images: 12}}\n"
        "space:\n  model.width: {choices: [1, 7]}\nsearch: {sampler: {name: random}, trials: 100000}\n"
        "resources: {workers: 1}\n"
    )
    seen = environment(
        PATH=f"{tmp_path / 'bin'}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}",
        WORKSPACE=str(ready(tmp_path / "w")),
        CONTOURNEY_DEPLOY=str(DEPLOY),
        DRIVER_ENV=str(tmp_path / "driver.env"),
        RAY_PORT=str(free_port()),
        SLURM_JOB_ID="7",
        SLURM_JOB_NODELIST="here",
        SLURM_JOB_NUM_NODES="1",
        SLURM_CPUS_PER_TASK="1",
        RAY_USAGE_STATS_ENABLED="0",
    )
    with subprocess.Popen(
        [*alone, "bash", str(DEPLOY / "slurm.sh"), str(tmp_path / "study.yaml"), "slurm"],
        cwd=tmp_path,
        env=seen,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as job:
        assert job.stdout is not None
        until = time.monotonic() + 120
        while not list((tmp_path / "w").rglob("last.pt")):
            assert job.poll() is None, job.stdout.read()
            assert time.monotonic() < until
            time.sleep(0.05)
        (script,) = children(job.pid)
        os.kill(script, signal.SIGTERM)
        said = job.stdout.read()
        assert job.wait(timeout=180) == 130, said
    assert "interrupted; go on with: contourney resume slurm" in said
    study = open_study("slurm", Workspace.open(tmp_path / "w"))
    assert not study.get_trials(states=(TrialState.RUNNING,))
    assert study.get_trials(states=(TrialState.WAITING, TrialState.COMPLETE))
    environments = [path.read_text() for path in (tmp_path / "w").rglob("environment.json")]
    assert environments
    assert not any("hunter2" in text for text in environments)
