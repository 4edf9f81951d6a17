"""The study files that are shipped, and how the FILE of a command is found."""

import os
from importlib import resources
from pathlib import Path

from studies.files.problems import StudyFileError, did_you_mean


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted."""
    entries = resources.files("studies.recipes").iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """The text of a recipe; raises `StudyFileError` for an unknown name."""
    if name not in recipe_names():
        raise StudyFileError(f"no recipe `{name}`{did_you_mean(name, recipe_names())} recipes: {_list()}")
    return resources.files("studies.recipes").joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def recipe_summary(name: str) -> str:
    """The first line of the recipe's header."""
    return recipe_text(name).partition("\n")[0].removeprefix("#").strip()


def resolve(file: str | Path) -> tuple[str, str]:
    """The text of FILE, a path or a recipe's name, and the words for it in messages.

    A file in the current folder goes before a recipe of the same name. Raises `StudyFileError` where neither is there
    or the file cannot be read as UTF-8 text.
    """
    name = str(file)
    # os.path answers False where pathlib raises, such as for a name that is too long.
    if not os.path.isfile(file):
        if name in recipe_names():
            return recipe_text(name), f"recipe {name}"
        what = "a folder, not a study file" if os.path.isdir(file) else "no such file and no recipe of that name"
        raise StudyFileError(f"{file}: {what}{did_you_mean(name, recipe_names()) or ';'} recipes: {_list()}")
    try:
        return Path(file).read_text(encoding="utf-8-sig"), str(file)
    except UnicodeDecodeError as error:
        raise StudyFileError(f"{file}: expected text in UTF-8, byte {error.start} is none") from error
    except OSError as error:
        raise StudyFileError(f"{file}: cannot be read: {error.strerror}") from error


def _list() -> str:
    return ", ".join(recipe_names())
