"""Code that travels to a cluster's workers, and the proof that they run the driver's; it imports no Optuna."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import site
import socket
import sysconfig
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

PACKAGES = ("studies", "search", "trainables", "dashboards")
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
# Holds, in a worker's environment, what the driver's code is; absent where driver and workers share a machine.
EXPECTED = "CONTOURNEY_CODE"


class CodeDiffers(RuntimeError):
    """A worker would run other code than its driver."""


def import_paths(settings: Any) -> set[str]:
    """Every text of nested settings that has the form of an import path, `package.module:name`."""
    match settings:
        case str():
            return {settings} if IMPORT_PATH.fullmatch(settings) else set()
        case Mapping():
            return import_paths(list(settings.values()))
        case list() | tuple():
            return set().union(*(import_paths(item) for item in settings))
    return set()


def user_modules(import_paths: Iterable[str]) -> dict[str, Path]:
    """Top-level names and places of the user's own code among paths such as `package.module:Class`.

    What is installed in site-packages is none of them: it must be installed on every node.
    """
    found: dict[str, Path] = {}
    for import_path in import_paths:
        name = import_path.partition(":")[0].partition(".")[0]
        if name in PACKAGES or name in found:
            continue
        place = _place(name)
        if place is not None and not _is_installed(place):
            found[name] = place
    return found


def code_of(names: Iterable[str]) -> dict[str, Any]:
    """Version of contourney, and a digest and place of each of these top-level packages or modules as imported here."""
    places = {name: _place(name) for name in names}
    return {
        "version": _version(),
        "host": socket.gethostname(),
        "digests": {name: None if place is None else digest(place) for name, place in places.items()},
        "places": {name: str(place) for name, place in places.items()},
    }


def check_code() -> None:
    """Raise CodeDiffers unless this worker's packages are, byte for byte, those that the driver named."""
    if EXPECTED in os.environ:
        _check(os.environ[EXPECTED])


@lru_cache(maxsize=1)
def _check(text: str) -> None:
    expected: Mapping[str, Any] = json.loads(text)
    here = code_of(expected["digests"])
    differing = [name for name, wanted in expected["digests"].items() if here["digests"][name] != wanted]
    if differing:
        name = differing[0]
        raise CodeDiffers(
            f"node {here['host']} runs other code than the driver on {expected['host']}: {', '.join(differing)} "
            f"({name} lies at {here['places'][name]} there, at {expected['places'][name]} here; contourney "
            f"{here['version']} there, {expected['version']} here); take the other copy off the nodes' Python path, or "
            "install one version everywhere"
        )


def digest(place: Path) -> str:
    """SHA-256 over names and contents of the Python files of a package's folder, or of one module."""
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    total = hashlib.sha256()
    for file in files:
        name = file.relative_to(place).as_posix() if place.is_dir() else file.name
        content = file.read_bytes()
        total.update(f"{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def _place(name: str) -> Path | None:
    """Folder of a package or file of a module, found without importing it."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:
        # A module that was run as a script has none.
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None


def _is_installed(place: Path) -> bool:
    paths = sysconfig.get_paths()
    installed = {paths["purelib"], paths["platlib"], paths["stdlib"], paths["platstdlib"], site.getusersitepackages()}
    return any(place.is_relative_to(folder) for folder in installed)


def _version() -> str:
    try:
        return importlib.metadata.version("contourney")
    except importlib.metadata.PackageNotFoundError:
        return "that is not installed"
