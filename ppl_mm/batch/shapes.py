"""What a network returns for some rows, read so that the number of rows does not matter.

A network sees B rows and returns tensors about events of shape D: a decoder's parameters, where D
is the shape of a value; an encoder's loc and scale, D = (Z,). Each of them is one of

    one number an element          (B, *D)
    fewer, for each row            (B, *d), where d broadcasts against D, aligned on the right
    shared by all rows             D itself, a tensor without dimensions, or a number

A tensor of shape D is shared, also where B = D[0]. Its twin, d = D[1:], has the very shape
(B, *D[1:]) of a shared tensor when B = D[0], and is therefore refused for every B, unless D[0] = 1,
where the two mean the same. Written as (B, 1, *D[1:]) it is allowed. One tensor at least has the
shape (B, *D), or several have it together, as (B, 4, 1) and (B, 1, 5) do: they say what D is. Only
shapes are looked at, so a CUDA device is never waited for.
"""

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from torch import Tensor

__all__ = ["aligned", "allowed", "check_numbers", "loc_scale", "mapped", "shape_of", "spread"]


def mapped(output: object, change: Callable[[Any], Any]) -> Any:
    """A network's output, a tensor or tuples and dicts of them, with every tensor changed."""
    if isinstance(output, Tensor):  # most often
        return change(output)
    if isinstance(output, dict):
        return {k: mapped(v, change) for k, v in output.items()}
    if isinstance(output, tuple | list):
        parts = [mapped(v, change) for v in output]
        return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)
    return change(output)


def shape_of(x: object) -> tuple[int, ...] | str:
    """A tensor's shape, for messages; of what is none, what it is."""
    return tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__


def spread(x: Tensor, batch: Sequence[int], event: Sequence[int]) -> Tensor | None:
    """A view (*batch, *event) of a tensor about rows of that batch shape; None if it has none.

    Args:
        x: One number an element, fewer for each row, or shared by all rows, as above.
        batch: The rows' shape, such as (B,).
        event: D.

    Example:
        >>> spread(torch.ones(3, 1), (3,), (4, 5)).shape  # one number a row
        torch.Size([3, 4, 5])
        >>> spread(torch.ones(4, 5), (3,), (4, 5)).shape  # one an element, for all rows
        torch.Size([3, 4, 5])
        >>> spread(torch.ones(3, 5), (3,), (4, 5)) is None  # with 4 rows it would be the latter
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
    """What a decoder may return, for messages; None where the event's shape is not known."""
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
) -> list[Tensor]:
    """Parameters of independent elements as views of one shape, (*batch, *event).

    The event is what those with the most dimensions say: the rows' and all of its own.

    Args:
        parameters: Tensors and numbers, each as this module's beginning says.
        batch: The rows' shape, or the number of its dimensions.
        data: The data's event shape, for messages.

    Raises:
        TypeError: For parameters that are neither.
        ValueError: If they do not go together so.

    Example:
        >>> loc, scale = aligned([torch.zeros(3, 2, 4), torch.ones(3, 1)], (3,))
        >>> scale.shape
        torch.Size([3, 2, 4])
    """
    lead = batch if isinstance(batch, int) else len(batch)
    shapes = [tuple(x.shape) if isinstance(x, Tensor) else None for x in parameters]
    whole = shapes[0] if len(set(shapes)) == 1 else None
    if whole is not None and len(whole) >= lead and (lead == batch or whole[:lead] == batch):
        return list(parameters)  # the usual case, at no cost
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


def loc_scale(name: str, output: object, latent_dim: int, rows: int) -> tuple[Tensor, Tensor]:
    """An encoder's pair (loc, scale) of one modality, as views (rows, latent_dim).

    Raises:
        TypeError: For anything but a pair of tensors and numbers.
        ValueError: If neither has that shape, or one cannot be spread over it.
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
    """The event's shape by those of equally many dimensions, (*rows, *d); None if they differ."""
    if any(shape[: len(rows)] != rows for shape in shapes):
        return None
    sizes = [set(dim) - {1} for dim in zip(*(s[len(rows) :] for s in shapes), strict=True)]
    return None if any(len(s) > 1 for s in sizes) else tuple(next(iter(s), 1) for s in sizes)
