"""The operations of a recorded step that may write their result where an argument lay.

Most of the time of a step with small networks is that of elementwise operations on large tensors,
and most of theirs is that of new memory. The recording shows which tensors nobody reads again. The
numbers are the same to the last bit.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

__all__ = ["written_over"]

_aten = torch.ops.aten
_COPIES = (  # Not elementwise, but a copy of their first argument that is then changed.
    *(_aten.index_add.default, _aten.index_copy.default),
    *(_aten.scatter.src, _aten.scatter.value, _aten.scatter_add.default),
)
_EITHER_WAY = (_aten.add.Tensor, _aten.mul.Tensor)


def written_over(graph: fx.Graph) -> dict[fx.Node, tuple[OpOverload, tuple[Any, ...]]]:
    """The operations that may be done in place, each with the operation in place and its arguments.

    The first argument must be a tensor of the result's layout, made by an earlier operation, whose
    memory no later operation reads.

    Args:
        graph: The graph of :func:`ppl_mm.training.tape.record`, whose nodes know the layout of
            their tensor (``"lies"``) and the node that made its memory (``"memory"``).
    """
    found: dict[fx.Node, tuple[OpOverload, tuple[Any, ...]]] = {}
    place = {node: i for i, node in enumerate(graph.nodes)}
    memory: dict[fx.Node, fx.Node] = {
        n: n.meta["memory"] for n in graph.nodes if "memory" in n.meta
    }
    last: dict[fx.Node, int] = {}  # of a memory: the place of the last operation that reads it
    for node in graph.nodes:
        for x in node.all_input_nodes:
            if x in memory:
                last[memory[x]] = place[node]
    moved: dict[fx.Node, fx.Node] = {}  # a memory that is a part of an earlier one now

    def owner(x: fx.Node) -> fx.Node:
        kept = memory[x]
        while kept in moved:
            kept = moved[kept]
        return kept

    for node in graph.nodes:
        for target, args in _orders(node):
            over, others = args[0], node.all_input_nodes
            if over not in memory or node not in memory or memory[node] is not node:
                continue
            kept = owner(over)
            alone = all(x is over or x not in memory or owner(x) is not kept for x in others)
            own = kept in place and kept.op == "call_function"  # a constant made once has no place
            own = own and over.meta["lies"] == node.meta["lies"]
            if own and alone and last[kept] == place[node]:
                found[node] = target, args
                moved[node] = kept
                last[kept] = last.get(node, place[node])
                break
    return found


def _orders(node: fx.Node) -> Iterator[tuple[OpOverload, tuple[Any, ...]]]:
    """The form in place of an operation, with its arguments in the orders that may be taken."""
    target = node.target
    if not isinstance(target, OpOverload) or not node.args:
        return
    in_place = _in_place(target)
    if in_place is not None and (torch.Tag.pointwise in target.tags or target in _COPIES):
        yield in_place, node.args
        if target in _EITHER_WAY and not node.kwargs and isinstance(node.args[1], fx.Node):
            yield in_place, node.args[::-1]


def _in_place(target: OpOverload) -> OpOverload | None:
    space, name = target._schema.name.split("::")
    packet = getattr(getattr(torch.ops, space), f"{name}_", None)
    return getattr(packet, target._overloadname, None)
