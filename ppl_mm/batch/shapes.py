"""Rules that read a network's output in the same way for every number of rows.

A network sees B rows and returns tensors for events of shape D. A decoder returns parameters, and D
is the shape of a value. An encoder returns loc and scale, and D = (Z,). Each tensor has one of
these shapes:

    one number for each element    (B, *D)
    fewer numbers for each row     (B, *d), where d broadcasts against D, aligned on the right
    shared by all rows             D itself, a tensor without dimensions, or a number

A tensor of shape D is shared, even if B = D[0]. A tensor (B, *D[1:]), where d = D[1:], would then
have the same shape as a shared one. It is therefore refused for every B, unless D[0] = 1, where
both readings agree; the shape (B, 1, *D[1:]) is allowed. At least one tensor has the shape (B, *D),
or several broadcast to it, as (B, 4, 1) and (B, 1, 5) do; these define D. The rules read shapes
alone, so they never wait for a CUDA device.
"""

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor

__all__ = ["aligned", "allowed", "check_numbers", "loc_scale", "mapped", "shape_of", "spread"]


def mapped(output: object, change: Callable[[Any], Any]) -> Any:
    """Return a network's output with ``change`` applied to each of its leaves.

    The output is a leaf, such as a tensor or a number, or consists of tuples, lists and dicts of
    leaves.
    """
    if isinstance(output, Tensor):  # the most common case
        return change(output)
    if isinstance(output, dict):
        return {k: mapped(v, change) for k, v in output.items()}
    if isinstance(output, tuple | list):
        parts = [mapped(v, change) for v in output]
        return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)
    return change(output)


def shape_of(x: object) -> tuple[int, ...] | str:
    """Return a tensor's shape, or the name of another object's type, for messages."""
    return tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__


def spread(
    x: Shaped[Tensor, "..."], batch: Sequence[int], event: Sequence[int]
) -> Shaped[Tensor, "..."] | None:
    """Return a view (*batch, *event) of a network's tensor, or None if its shape is not allowed.

    Args:
        x: The tensor, which has one of the shapes in this module's docstring.
        batch: The batch shape of the rows, such as (B,).
        event: The event shape D.

    Example:
        >>> spread(torch.ones(3, 1), (3,), (4, 5)).shape  # one number a row
        torch.Size([3, 4, 5])
        >>> spread(torch.ones(4, 5), (3,), (4, 5)).shape  # shared by all rows
        torch.Size([3, 4, 5])
        >>> spread(torch.ones(3, 5), (3,), (4, 5)) is None  # (4, 5) would be shared
        True
    """
    batch, event, own = tuple(batch), tuple(event), tuple(x.shape)
    whole = (*batch, *event)
    if own == whole:
        return x
    if own in ((), event):
        return x.expand(whole)
    lead = len(batch)
    rest = own[lead:]
    missing = len(event) - len(rest)
    if own[:lead] != batch or missing < 0:
        return None
    if any(a not in (1, b) for a, b in zip(rest, event[missing:], strict=True)):
        return None
    if missing == lead and rest == event[lead:] and set(event[:lead]) != {1}:
        return None  # the twin of a tensor that rows share
    return x.reshape(*batch, *[1] * missing, *rest).expand(whole)


def allowed(event: Sequence[int] | None) -> str:
    """Return the sentence on what a decoder may return; ``event`` is None if it is unknown."""
    own = "*event" if event is None else ", ".join(map(str, event))
    whole = f"(B, {own})" if own else "(B,)"
    shared = "the event's shape" if event is None else f"shape {tuple(event)}"
    return (
        f"Expected one parameter at least of shape {whole}; any other may have it too, or be "
        f"smaller for each row, such as (B, 1), or shared by all rows: of {shared}, or a number."
    )


def aligned(
    parameters: Sequence[Any],
    batch: Sequence[int] | int,
    data: Sequence[int] | None = None,
) -> list[Shaped[Tensor, "*batch_D"]]:
    """Return the parameters of independent elements as views of one shape, (*batch, *event).

    The parameters with the most dimensions define the event shape.

    Args:
        parameters: Tensors and numbers, each with a shape that this module's docstring allows.
        batch: The batch shape of the rows, or its number of dimensions.
        data: The data's event shape, for messages.

    Raises:
        TypeError: If a parameter is neither a tensor nor a number.
        ValueError: If the shapes do not follow the rules.

    Example:
        >>> loc, scale = aligned([torch.zeros(3, 2, 4), torch.ones(3, 1)], (3,))
        >>> scale.shape
        torch.Size([3, 2, 4])
    """
    lead = batch if isinstance(batch, int) else len(batch)
    shapes = [tuple(x.shape) if isinstance(x, Tensor) else None for x in parameters]
    whole = shapes[0] if len(set(shapes)) == 1 else None
    if whole is not None and len(whole) >= lead and (lead == batch or whole[:lead] == batch):
        return list(parameters)  # the most common case costs nothing
    check_numbers(parameters)
    tensors = [x for x in parameters if isinstance(x, Tensor)]
    if not tensors:
        raise ValueError(f"the decoder returned no tensor. {allowed(data)}")
    most = max(x.dim() for x in tensors)
    full = [x for x in tensors if x.dim() == most]
    rows = tuple(full[0].shape[:batch] if isinstance(batch, int) else batch)
    event = _event([s for s in shapes if s is not None and len(s) == most], rows)
    if event is not None and most >= lead:
        views = [
            spread(x if isinstance(x, Tensor) else full[0].new_full((), float(x)), rows, event)
            for x in parameters
        ]
        found = [view for view in views if view is not None]
        if len(found) == len(views):
            return found
    found_shapes = ", ".join(str(shape_of(x)) for x in parameters)
    number = f" for B = {rows[0]}" if len(rows) == 1 else ""
    raise ValueError(
        f"the decoder's parameters have the shapes {found_shapes}{number}. {allowed(data)}"
    )


def check_numbers(parameters: Sequence[Any]) -> None:
    """Raise TypeError unless a decoder's parameters are tensors and numbers."""
    for x in parameters:
        if not isinstance(x, (Tensor, Real)):
            raise TypeError(
                f"expected the decoder to return tensors or numbers, got {type(x).__name__}."
            )


def loc_scale(
    name: str, output: object, latent_dim: int, rows: int
) -> tuple[Float[Tensor, "{rows} {latent_dim}"], Float[Tensor, "{rows} {latent_dim}"]]:
    """Return an encoder's pair (loc, scale) for one modality, as views (rows, latent_dim).

    Raises:
        TypeError: If the output is not a pair of tensors and numbers.
        ValueError: If neither of the two has this shape, or one cannot be expanded to it.
    """
    if not (isinstance(output, tuple | list) and len(output) == 2):
        raise TypeError(
            f"modality {name!r}: expected the encoder to return a pair (loc, scale), got "
            f"{type(output).__name__}."
        )
    whole = (rows, latent_dim)
    full = next((x for x in output if isinstance(x, Tensor) and tuple(x.shape) == whole), None)
    pair = []
    for part, x in zip(("loc", "scale"), output, strict=True):
        if not isinstance(x, Tensor | Real):
            raise TypeError(
                f"modality {name!r}: expected the encoder's {part} as a tensor (B, latent_dim), "
                f"got {type(x).__name__}."
            )
        if full is not None and not isinstance(x, Tensor):
            x = full.new_full((), float(x))
        view = spread(x, whole[:1], whole[1:]) if full is not None else None
        if view is None:
            raise ValueError(
                f"modality {name!r}: expected the encoder's {part} of shape (B, latent_dim) = "
                f"{whole}, got {shape_of(x)}. Build the encoder with the latent size that it is "
                "called with. Beside a loc or scale of that shape, the other may be (B, 1), or "
                "shared by all rows: (latent_dim,) or a number."
            )
        pair.append(view)
    return pair[0], pair[1]


def _event(shapes: Sequence[tuple[int, ...]], rows: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the event shape that shapes (*rows, *d) broadcast to, or None if they do not."""
    if any(shape[: len(rows)] != rows for shape in shapes):
        return None
    sizes = [set(dim) - {1} for dim in zip(*(s[len(rows) :] for s in shapes), strict=True)]
    return None if any(len(s) > 1 for s in sizes) else tuple(next(iter(s), 1) for s in sizes)
