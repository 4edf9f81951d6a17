"""What importing each package really loads; import-linter alone misses what a parent's `__init__` runs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CASES = [
    ("trainables.trial_run", {"ray", "optuna", "mlflow", "plotly", "search", "studies", "dashboards"}),
    ("trainables.fit", {"ray", "optuna", "mlflow", "plotly", "search", "studies", "dashboards"}),
    # Seconds of imports that only models over timm's encoders, and augmentation, need.
    ("trainables.check", {"timm", "torchvision", "segmentation_models_pytorch", "albumentations"}),
    ("trainables.segmentation", {"timm", "torchvision", "segmentation_models_pytorch", "albumentations"}),
    ("search.bridge", {"torch", "timm", "albumentations", "mlflow", "plotly", "trainables", "studies", "dashboards"}),
    ("search.ray_searcher", {"torch", "timm", "albumentations", "mlflow", "trainables", "studies", "dashboards"}),
    ("search.records.study", {"ray", "torch", "mlflow", "plotly", "trainables", "studies", "dashboards"}),
    ("search.records.mlflow_store", {"ray", "torch", "mlflow", "trainables", "studies", "dashboards"}),
    ("dashboards.report", {"ray", "torch", "mlflow", "trainables", "studies"}),
    ("dashboards.live.serve", {"ray", "torch", "mlflow", "trainables", "studies"}),
    ("studies.running.worker", {"optuna", "mlflow", "plotly", "search", "dashboards"}),
    ("studies.promotion.choice", {"ray", "torch", "mlflow", "trainables", "dashboards"}),
    ("studies.running.ddp", {"optuna", "mlflow", "plotly", "search", "dashboards", "torch", "trainables"}),
]


@pytest.mark.parametrize(("module", "forbidden"), CASES, ids=[module for module, _ in CASES])
def test_a_module_loads_only_what_its_package_may_know(module: str, forbidden: set[str]) -> None:
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & forbidden


@pytest.mark.parametrize("package", ["studies", "search", "trainables", "dashboards"])
def test_package_files_hold_a_docstring_only(package: str) -> None:
    for path in (ROOT / package).rglob("__init__.py"):
        assert len(path.read_text().strip().splitlines()) == 1, path


def test_only_promotion_and_audit_name_the_test_split() -> None:
    naming = {
        str(path.relative_to(ROOT))
        for package in ("studies", "search", "dashboards", "trainables")
        for path in (ROOT / package).rglob("*.py")
        if "Split.TEST" in path.read_text()
    }
    named = {path for path in naming if not path.startswith("trainables/data/")}
    assert named == {"studies/promotion/evaluating.py", "studies/audit/reading.py"}
