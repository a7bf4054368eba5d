"""The facts of the data sets, read from the package's sources, which needs no torch.

A file's facts are the arguments of its ``@register(...)``. They are worked out with the names that
the file assigns and those that it imports from ``ppl_mm.published``; everything else is unknown. If
a fact is unknown, such as a function of the file itself, the registry is asked, which imports all
data sets and takes longer.
"""

import ast
import builtins
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from inspect import isfunction
from typing import Any

from ppl_mm.cli.names import decorated, parsed
from ppl_mm.published.facts import Facts

__all__ = ["facts"]

_FACTS = {field.name for field in fields(Facts)} - {"name"}
_OTHERS = {"defaults", "tiles"}  # arguments that no list shows


def facts() -> Iterator[Facts]:
    """Yield the facts of every data set of ``ppl_mm.data``.

    Example:
        >>> next(one for one in facts() if one.name == "digits").modalities
        ('top', 'bottom', 'label')
    """
    for tree in parsed("data"):
        names = _Names(register=dict, partial=partial)
        registered = dict(decorated(tree, "register"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node in registered:
                yield _of(node.name, registered[node], names)
            else:
                names.run(node)


def _of(name: str, decorator: ast.expr, names: "_Names") -> Facts:
    """Return the facts of a decorator, or those of the registry where one of them is unknown."""
    try:
        found = eval(compile(ast.Expression(decorator), name, "eval"), {}, names)
        if found.keys() <= _FACTS | _OTHERS and all(_known(found.get(fact)) for fact in _FACTS):
            return Facts(name=name, **{fact: found[fact] for fact in _FACTS & found.keys()})
    except Exception:  # The registry answers, or says what is wrong.
        pass
    from ppl_mm.data import entry

    return entry(name)


class _Unknown:
    """What is not known without torch: a name, and what it gives when it is called."""

    def __call__(self, *args: Any, **options: Any) -> "_Unknown":
        return self

    def __getattr__(self, name: str) -> "_Unknown":
        return self

    def __str__(self) -> str:
        raise ValueError("unknown")


def _known(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_known, value))
    published = not isfunction(value) or value.__module__.startswith("ppl_mm.published")
    return published and not isinstance(value, _Unknown)


class _Names(dict[str, Any]):
    """The names of a file: what it assigns and imports without torch; all others are unknown."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, _Unknown())

    def run(self, node: ast.stmt) -> None:
        """Take what a statement of the file defines."""
        source = node.module if isinstance(node, ast.ImportFrom) else None
        plain = isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
        try:
            if not plain and not (source or "").startswith("ppl_mm.published"):
                raise ValueError("not run")
            exec(compile(ast.Module([node], []), "names", "exec"), {}, self)
        except Exception:
            self.update(dict.fromkeys(_mentioned(node), _Unknown()))


def _mentioned(node: ast.stmt) -> set[str]:
    """Return the names that a statement that is not run may change."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names} - {"register", "partial"}
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
