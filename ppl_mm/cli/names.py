"""The names of systems and data sets, read from the package's sources, which needs no torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import ppl_mm
from ppl_mm.arguments.wording import unknown_name

__all__ = ["check_dataset", "check_system", "datasets", "decorated", "parsed", "systems"]


def systems() -> dict[str, str]:
    """Return what ``ppl_mm.systems.available()`` returns: name -> the first line about it.

    Example:
        >>> list(systems())[:3]
        ['bivcca', 'cmmd', 'cvae']
    """
    found = (node for tree in parsed("systems") for node, _ in decorated(tree, "recorded"))
    lines = {node.name: (ast.get_docstring(node) or "").partition("\n")[0] for node in found}
    return dict(sorted(lines.items()))


def datasets() -> list[str]:
    """Return the names of ``ppl_mm.data.available()``, sorted.

    Example:
        >>> datasets()[:2]
        ['binary_mnist', 'celeba']
    """
    return sorted(node.name for tree in parsed("data") for node, _ in decorated(tree, "register"))


def check_system(name: str) -> None:
    """Raise ValueError for an unknown system, with the nearest known one."""
    if name not in (known := systems()):
        raise ValueError(unknown_name("system", name, known))


def check_dataset(name: str) -> None:
    """Raise ValueError for what is neither a data set nor a file, with the nearest known one."""
    if name not in (known := datasets()) and not (name.endswith(".toml") or Path(name).exists()):
        raise ValueError(unknown_name("data set", name, known))


def parsed(folder: str) -> Iterator[ast.Module]:
    """Yield the syntax trees of the files in a folder of the package."""
    for path in Path(ppl_mm.__file__).with_name(folder).glob("*.py"):
        yield ast.parse(path.read_text(), str(path))


def decorated(tree: ast.Module, decorator: str) -> Iterator[tuple[ast.FunctionDef, ast.expr]]:
    """Yield the functions of a file that have a decorator with this end, and the decorators."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for used in node.decorator_list:
                if ast.unparse(used).partition("(")[0].endswith(decorator):
                    yield node, used
