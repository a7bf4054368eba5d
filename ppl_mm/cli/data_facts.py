"""The facts of the data sets, read from the package's sources, which needs no torch.

A file's facts are the arguments of its ``@register(...)``. They are worked out with the names that
the file assigns, and with those that it imports from ``ppl_mm.published``. If they need another
name, such as a function of the file itself, the file is imported, which takes longer.
"""

import ast
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from ppl_mm.cli.names import decorated, parsed
from ppl_mm.published.facts import Facts

__all__ = ["facts"]


def facts() -> Iterator[Facts]:
    """Yield the facts of every data set of ``ppl_mm.data``.

    Example:
        >>> next(one for one in facts() if one.name == "digits").modalities
        ('top', 'bottom', 'label')
    """
    for tree in parsed("data"):
        names = _names(_FactsOnly().visit(tree))
        for function, decorator in decorated(tree, "register"):
            try:
                arguments = eval(compile(ast.Expression(decorator), function.name, "eval"), names)
            except NameError:
                from ppl_mm.data import entry

                yield entry(function.name)
            else:
                yield Facts(name=function.name, **arguments)


class _FactsOnly(ast.NodeTransformer):
    """Drops the arguments of ``register`` that are no facts, since they need torch."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        node.keywords = [word for word in node.keywords if word.arg not in ("defaults", "tiles")]
        return node


def _names(tree: ast.Module) -> dict[str, Any]:
    """Return what a file assigns and imports without torch; ``register`` returns its arguments."""
    names: dict[str, Any] = {"register": dict, "partial": partial}
    for node in tree.body:
        source = node.module if isinstance(node, ast.ImportFrom) else None
        assigned = isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
        if assigned or (source or "").startswith("ppl_mm.published"):
            with suppress(NameError):  # of what needs torch
                exec(compile(ast.Module([node], []), "names", "exec"), names)
    return names
