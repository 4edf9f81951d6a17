"""Parts of a user's own, named in settings by import path: `package.module:name`.

Modules are found where Python finds them: installed packages, then the folder in which the command is run.
"""

import importlib
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class PartError(ValueError):
    """A part that a setting names by import path cannot be used; begins with the setting's dotted path."""


def is_own(name: str) -> bool:
    """Whether a name in settings is an import path rather than one of ours."""
    return ":" in name


def load_part(path: str, setting: str, arguments: Sequence[str]) -> Callable[..., Any]:
    """The function or class that `package.module:name` names, which takes `arguments` by position.

    Raises PartError.
    """
    part = find_part(path, setting)
    signature = signature_of(part)
    if signature is None:
        return part
    try:
        signature.bind(*arguments)
    except TypeError as error:
        wanted = f"({', '.join(arguments)})"
        raise PartError(f"{setting}: {path!r} must take {wanted}, but its signature is {signature}: {error}") from error
    return part


def find_part(path: str, setting: str) -> Callable[..., Any]:
    """The function or class that `package.module:name` names, whatever it takes; raises PartError."""
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise PartError(
            f"{setting}: got {path!r}, expected package.module:name, such as my_package.parts:{name or 'X'}"
        )
    with reported(setting, f"{module_name} cannot be imported"):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            # A module that itself imports what is missing is a fault of another kind.
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise PartError(
                f"{setting}: {path!r} cannot be imported: there is no module {error.name}; install its package, or run "
                f"the command in the folder that holds it (now {os.getcwd()})"
            ) from error
    part = getattr(module, name, None)
    if not callable(part):
        what = "has no" if part is None else "holds no function or class"
        raise PartError(f"{setting}: {path!r}: {module_name} {what} {name}{_others(module, module_name)}")
    return part  # type: ignore[no-any-return]  # whatever a module holds


def signature_of(part: Callable[..., Any]) -> inspect.Signature | None:
    """What a part takes; None where it does not say, as some functions of compiled modules."""
    try:
        return inspect.signature(part)
    except ValueError:
        return None


@contextmanager
def reported(setting: str, what: str) -> Iterator[None]:
    """Raise PartError, on one line, for whatever a user's own code raises while it is checked."""
    try:
        yield
    # A script that was not meant to be imported ends the process.
    except (Exception, SystemExit) as error:
        if isinstance(error, ValueError) and type(error).__module__.startswith("trainables."):
            # Worded by us already.
            raise
        raise PartError(f"{setting}: {what}: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _others(module: object, module_name: str) -> str:
    """What else could have been meant: the module's own functions and classes."""
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module_name
    ]
    return f"; it has {', '.join(own[:8])}" if own else ""
