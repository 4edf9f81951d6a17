"""What is never done with what others could have written; the packages' own source says so."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("studies", "search", "trainables", "dashboards")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# Whatever they are called with. Their names end a dotted path, so that an import under another name is found by `as`.
NEVER = {
    "eval", "exec", "compile", "__import__",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads",
    "dill.load", "dill.loads", "joblib.load", "shelve.open", "marshal.load", "marshal.loads",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "pandas.read_pickle", "os.system",
}  # fmt: skip
# A keyword that must be there with this value.
REQUIRED = {"torch.load": ("weights_only", True)}
# A keyword that must not be there with this value.
REFUSED = {"numpy.load": ("allow_pickle", True), "numpy.savez_compressed": ("allow_pickle", True)}


def called(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the full name of what is called, imports resolved."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(one.asname or one.name.split(".")[0]): (one.name if one.asname else one.name.split(".")[0])
                      for one in node.names}  # fmt: skip
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {(one.asname or one.name): f"{node.module}.{one.name}" for one in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            parts = []
            target = node.func
            while isinstance(target, ast.Attribute):
                parts.append(target.attr)
                target = target.value
            if isinstance(target, ast.Name):
                yield ".".join([names.get(target.id, target.id), *reversed(parts)]), node


def unsafe(source: str) -> list[str]:
    """Calls of a source that read what others wrote as code, with their lines."""
    found = []
    for name, call in called(ast.parse(source)):
        keywords = {one.arg: getattr(one.value, "value", None) for one in call.keywords}
        required, refused = REQUIRED.get(name), REFUSED.get(name)
        wrong = (
            name in NEVER,
            required is not None and keywords.get(required[0]) is not required[1],
            refused is not None and keywords.get(refused[0]) is refused[1],
            name.startswith("subprocess.") and keywords.get("shell") is True,
            name == "ruamel.yaml.YAML" and keywords.get("typ") not in ("safe", "rt"),
        )
        if any(wrong):
            found.append(f"{call.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_others_could_have_written_is_run(path: Path) -> None:
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.loads(b'')",
        "from pickle import load as read\nread(file)",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import torch as t\nt.load(path, weights_only=maybe)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import yaml\nyaml.load(text)",
        "from ruamel.yaml import YAML\nYAML(typ='unsafe')",
        "eval('1')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
    ],
)
def test_what_is_looked_for_is_found(source: str) -> None:
    assert len(unsafe(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(path, map_location='cpu', weights_only=True)",
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "model.eval()",
        "import json\njson.loads(text)",
        "import re\nre.compile('a')",
    ],
)
def test_what_is_harmless_is_let_be(source: str) -> None:
    assert unsafe(source) == []
