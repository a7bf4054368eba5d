"""The names of systems and data sets, read from the package's sources, which needs no torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import ppl_mm
from ppl_mm.arguments.wording import unknown_name

__all__ = ["check_dataset", "check_system", "datasets", "systems"]


def systems() -> dict[str, str]:
    """Return what ``ppl_mm.systems.available()`` returns: name -> the first line about it.

    Example:
        >>> list(systems())[:3]
        ['bivcca', 'cmmd', 'cvae']
    """
    return dict(sorted(_decorated("systems", "recorded")))


def datasets() -> list[str]:
    """Return the names of ``ppl_mm.data.available()``, sorted.

    Example:
        >>> datasets()[:2]
        ['binary_mnist', 'celeba']
    """
    return sorted(name for name, _ in _decorated("data", "register"))


def check_system(name: str) -> None:
    """Raise ValueError for an unknown system, with the nearest known one."""
    if name not in (known := systems()):
        raise ValueError(unknown_name("system", name, known))


def check_dataset(name: str) -> None:
    """Raise ValueError for what is neither a data set nor a file, with the nearest known one."""
    if name not in (known := datasets()) and not (name.endswith(".toml") or Path(name).exists()):
        raise ValueError(unknown_name("data set", name, known))


def _decorated(folder: str, decorator: str) -> Iterator[tuple[str, str]]:
    """Yield the functions of a folder with this decorator, and the first lines about them."""
    for path in Path(ppl_mm.__file__).with_name(folder).glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                used = (ast.unparse(d).partition("(")[0] for d in node.decorator_list)
                if any(name.endswith(decorator) for name in used):
                    yield node.name, (ast.get_docstring(node) or "").partition("\n")[0]
