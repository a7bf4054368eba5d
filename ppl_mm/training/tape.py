"""The recording of a step's tensor operations as a program that runs without Pyro's Python.

While a step is recorded, every operation on tensors runs as usual and is written down. The program
repeats the operations in their order, with the next numbers of torch's generator. It has no
handlers, plates, masks or checks, whose decisions are the same in every step of one shape.
"""

import operator
import traceback
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from ppl_mm.batch.host_masks import recording
from ppl_mm.training.reused import written_over

__all__ = ["Unrecordable", "program", "record"]

_aten = torch.ops.aten
_OF_NUMBERS = (  # They make tensors without reading any.
    *(_aten.scalar_tensor.default, _aten.zeros.default, _aten.ones.default),
    *(_aten.full.default, _aten.arange.default, _aten.arange.start, _aten.eye.default),
)
_Views = dict[tuple[Any, ...], fx.Node]  # The views of one memory, by their layout in it.


class Unrecordable(RuntimeError):
    """A step reads values of tensors, so that Python may decide otherwise in the next step."""


def record(
    step: Callable[[], Sequence[Shaped[Tensor, "..."] | None]],
    inputs: Sequence[Shaped[Tensor, "..."]],
) -> tuple[fx.Graph, dict[str, Shaped[Tensor, "..."]]]:
    """Run a step once and return its operations as a graph from ``inputs`` to its results.

    Args:
        step: The function to record; it uses the tensors of ``inputs`` and may change them in
            place.
        inputs: All tensors that differ from step to step: parameters, buffers and values.

    Returns:
        The graph, and the other tensors that it reads, by the names of their nodes.

    Raises:
        Unrecordable: If the step reads a value that depends on the inputs or on noise.
    """
    tape = _Tape(inputs)
    with recording(), _Reads(tape), tape:
        outputs = step()
    tape.graph.output([None if x is None else tape.node(x) for x in outputs])
    _drop_unused(tape.graph)
    tape.constants |= _made_once(tape.graph)
    return tape.graph, tape.constants


def program(
    graph: fx.Graph, constants: dict[str, Shaped[Tensor, "..."]]
) -> Callable[..., list[Shaped[Tensor, "..."] | None]]:
    """Compile the graph to a Python function of its inputs, with one line per operation."""
    known: dict[str, Any] = dict(constants)
    over = written_over(graph)
    last = {x: node for node in graph.nodes for x in node.all_input_nodes}
    inputs = [node.name for node in graph.nodes if node.op == "placeholder"]
    lines = [f"def run({', '.join(inputs)}):"]
    for i, node in enumerate(graph.nodes):
        if node.op == "output":
            lines.append(f"    return {_written(node.args[0], known)}")
        elif node.op == "call_function":
            target, args = over.get(node, (node.target, node.args))
            known[f"op{i}"] = getattr(target, "_op", target)
            given = [_written(x, known) for x in args]
            given += [f"{name}={_written(x, known)}" for name, x in node.kwargs.items()]
            done = [x.name for x in node.all_input_nodes if last[x] is node and x.op != "get_attr"]
            free = f"; {' = '.join(done)} = None" if done else ""
            lines.append(f"    {node.name} = op{i}({', '.join(given)}){free}")
    exec("\n".join(lines), known)
    run: Callable[..., list[Tensor | None]] = known["run"]
    return run


class _Tape(TorchDispatchMode):
    """Writes operations down as nodes; equal views of the same memory share one node."""

    def __init__(self, inputs: Sequence[Shaped[Tensor, "..."]]) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.constants: dict[str, Tensor] = {}
        # Tensor -> its node, and the views of its memory.
        self.made: MutableMapping[Tensor, tuple[fx.Node, _Views]] = WeakTensorKeyDictionary()
        for i, x in enumerate(inputs):
            self._know(x, self.graph.placeholder(f"x{i}"), {})

    def node(self, x: Shaped[Tensor, "..."]) -> fx.Node:
        """Return the node of a tensor; a tensor that no recorded operation made is a constant."""
        if x not in self.made:
            name = f"constant{len(self.constants)}"
            self.constants[name] = x.detach()
            node = self.graph.create_node("get_attr", name, name=name)
            self._know(x, node, {})
        found: fx.Node = self.made[x][0]
        return found

    def _know(self, x: Tensor, node: fx.Node, views: _Views, args: Sequence[Any] = ()) -> None:
        of = (self.node(a) for a in args if _is_tensor(a) and _same_memory(a, x))
        node.meta["memory"] = next((source.meta["memory"] for source in of), node)
        self.made[x] = node, views
        views[_lies(x)] = node
        node.meta["lies"] = _lies(x)

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is _aten.lift_fresh.default:  # A Python number becomes a new tensor in every step.
            func = _aten.clone.default
        if _looks(func, args) and any(x in self.made for x in tree_leaves(args) if _is_tensor(x)):
            raise Unrecordable(f"a step reads values at {_place()}")
        out = func(*args, **kwargs)
        views: _Views = {}
        if _is_view(func) and _is_tensor(out):
            self.node(args[0])
            views = self.made[args[0]][1]
            if _lies(out) in views:
                self.made[out] = views[_lies(out)], views
                return out
        if not any(_is_tensor(x) for x in tree_leaves(out)):
            return out
        called = self.graph.call_function(func, *tree_map_only(Tensor, self.node, (args, kwargs)))
        given = tree_leaves((args, kwargs))
        if _is_tensor(out):
            self._know(out, called, views, given)
        else:
            for i, x in enumerate(out):
                if _is_tensor(x):
                    part = self.graph.call_function(operator.getitem, (called, i))
                    self._know(x, part, {}, given)
        return out


class _Reads(TorchFunctionMode):
    """Raises if values are read past the dispatcher."""

    def __init__(self, tape: _Tape) -> None:
        super().__init__()
        self.tape = tape

    def __torch_function__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("tolist", "numpy", "__array__") and args[0] in self.tape.made:
            raise Unrecordable(f"a step reads values at {_place()}")
        return func(*args, **(kwargs or {}))


def _is_tensor(x: object) -> bool:
    return isinstance(x, Tensor)


def _looks(func: OpOverload, args: Sequence[Any]) -> bool:
    """Whether an operation turns values into a Python number or a shape."""
    if func is _aten.index.Tensor:
        return any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1])
    return bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & {*func.tags})


def _is_view(func: OpOverload) -> bool:
    returned = func._schema.returns
    info = returned[0].alias_info if len(returned) == 1 else None
    return info is not None and not info.is_write


def _same_memory(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def _lies(x: Tensor) -> tuple[Any, ...]:
    return x.storage_offset(), tuple(x.shape), x.stride(), x.dtype


def _place() -> str:
    """Return the file and line of the innermost caller outside torch and this file."""
    inside = (str(Path(torch.__file__).parent), __file__)
    frames = [f for f in traceback.extract_stack() if not f.filename.startswith(inside)]
    return f"{frames[-1].filename}:{frames[-1].lineno}"


def _drop_unused(graph: fx.Graph) -> None:
    """Remove operations whose results are unused, except draws and changes in place."""
    for node in reversed(graph.nodes):
        if node.op != "call_function" or node.users:
            continue
        schema, tags = getattr(node.target, "_schema", None), getattr(node.target, "tags", ())
        mutable = schema is not None and schema.is_mutable
        if not mutable and torch.Tag.nondeterministic_seeded not in tags:
            graph.erase_node(node)


def _made_once(graph: fx.Graph) -> dict[str, Tensor]:
    """Make tensors of numbers alone once, if nothing changes them; return them by name."""
    kept = [n for n in graph.nodes if n.op == "call_function" and n.target in _OF_NUMBERS]
    made: dict[str, Tensor] = {}
    for node in kept:
        if not _may_change(node):
            name = f"number{len(made)}"
            made[name] = node.target(*node.args, **node.kwargs)
            with graph.inserting_before(node):
                constant = graph.create_node("get_attr", name, name=name)
            node.replace_all_uses_with(constant)
            graph.erase_node(node)
    return made


def _may_change(node: fx.Node) -> bool:
    """Whether a tensor or a view of it is a result, or is changed in place."""
    for user in node.users:
        if user.op == "output" or not isinstance(user.target, OpOverload):
            return True
        if user.target._schema.is_mutable:
            return True
        if _is_view(user.target) and _may_change(user):
            return True
    return False


def _written(x: object, known: dict[str, Any]) -> str:
    """Write an argument as source; anything but a plain value gets a name."""
    if isinstance(x, fx.Node):
        return x.name
    if isinstance(x, list | tuple) and any(isinstance(i, fx.Node) for i in x):
        return f"[{', '.join(_written(i, known) for i in x)}]"
    if x is None or isinstance(x, bool | int | str):
        return repr(x)
    name = f"given{len(known)}"
    known[name] = list(x) if isinstance(x, list | tuple) else x
    return name
