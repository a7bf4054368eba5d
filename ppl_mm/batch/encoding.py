"""Networks that run once for each set of rows, however many terms, strata and guides ask.

A network of a modality sees the rows that it may look at and no others. Its outputs are kept in a
memo, which the terms and the strata of one batch share.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from ppl_mm.batch.checks import check_encoded, check_features
from ppl_mm.batch.covariates import covariates_for
from ppl_mm.batch.host_masks import unread
from ppl_mm.batch.network_contracts import reads_elements, width_of
from ppl_mm.batch.rows import dtype_of, indices, put_rows, run_network
from ppl_mm.batch.unread import runs

if TYPE_CHECKING:
    from ppl_mm.batch.batch import Batch

__all__ = ["Memo", "encode", "featurise", "inputs"]

Outputs = tuple[Tensor, ...]

Memo = dict[tuple[str, nn.Module], list[tuple[Tensor | None, Outputs]]]
"""The outputs of a network of some modalities, for each mask (B,) of the rows that it saw.

None stands for all rows, where the values of masks are unread.
"""


def encode(
    batch: "Batch",
    names: Sequence[str],
    held: Bool[Tensor, " B"],
    network: nn.Module,
    latent_dim: int,
) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B Z"]]:
    """``(loc, scale)`` of an encoder, (B, Z) each; loc 0 and scale 1 where ``held`` is False.

    Args:
        batch: The rows.
        names: The modalities whose values are the network's arguments.
        held: The rows that the network sees, (B,).
        network: The encoder.
        latent_dim: Z.

    Raises:
        TypeError: For an output that is not a pair of tensors and numbers.
        ValueError: For an output of another shape, or a scale that is not above 0.
    """
    what = " and ".join(names)

    def check(output: object, count: int) -> Outputs:
        return check_encoded(what, output, latent_dim, count)

    values = inputs(batch, names, network)
    loc, scale = _once(batch, what, held, values, network, latent_dim, (0.0, 1.0), check)
    return loc, scale


def featurise(
    batch: "Batch", name: str, held: Bool[Tensor, " B"], trunk: nn.Module
) -> Float[Tensor, "B F"]:
    """The features (B, F) of a modality's trunk, zeros where ``held`` is False.

    Raises:
        ValueError: For features of another shape.
    """
    size = width_of(trunk)

    def check(output: object, count: int) -> Outputs:
        return (check_features(name, output, size, count),)

    values = inputs(batch, [name], trunk)
    return _once(batch, name, held, values, trunk, size, (0.0,), check)[0]


def inputs(
    batch: "Batch", names: Sequence[str], network: nn.Module
) -> list[Shaped[Tensor, "B ..."]]:
    """The arguments of a network for all rows: values, zero where missing, and masks of elements.

    The masks, (B, *D_m) each, True where observed, follow the values where some element is missing
    and the network has an attribute ``reads_elements`` that is True.
    """
    values = [batch.values[n] for n in names]
    if not reads_elements(network):
        return values
    masks = [batch.elements.get(n) for n in names]
    if all(mask is None for mask in masks):
        return values
    whole = [torch.ones_like(x, dtype=torch.bool) for x in values]
    return values + [w if m is None else m for m, w in zip(masks, whole, strict=True)]


def _once(
    batch: "Batch",
    what: str,
    held: Tensor,
    values: Sequence[Tensor],
    network: nn.Module,
    size: int,
    fills: Sequence[float],
    check: Callable[[object, int], Outputs],
) -> Outputs:
    """A network's outputs, (B, size) each, with ``fills`` where ``held`` is False."""
    seen_before = [] if batch.memo is None else batch.memo.setdefault((what, network), [])

    def run(rows: Tensor | None, held: Tensor | None = None) -> Outputs:
        seen = values if rows is None else [x.index_select(0, rows) for x in values]
        read = covariates_for(network, batch.covariates)
        if rows is not None:
            read = {n: x.index_select(0, rows) for n, x in read.items()}
        note = f"the network of modality {what!r}, given values"
        output = run_network(network, *seen, note=note, covariates=read, held=held)
        return check(output, len(batch) if rows is None else len(rows))

    if unread(held):
        whole = next((outputs for before, outputs in seen_before if before is None), None)
        if whole is None:
            whole = run(None, held)
            seen_before.append((None, whole))
        else:
            runs((network,), held)
        return tuple(
            torch.where(held[:, None], part, fill) for part, fill in zip(whole, fills, strict=True)
        )
    for before, outputs in seen_before:
        if before is not None and (before is held or torch.equal(before, held)):
            return outputs
    rows, total = indices(held), len(batch)
    if rows is not None and len(rows) == 0:
        dtype = torch.promote_types(dtype_of(network) or batch.dtype, torch.float32)
        shape, device = (total, size), batch.device
        outputs = tuple(torch.full(shape, fill, dtype=dtype, device=device) for fill in fills)
    else:
        outputs = tuple(
            put_rows(rows, part, total, fill, dim=0)
            for part, fill in zip(run(rows), fills, strict=True)
        )
    seen_before.append((held, outputs))
    return outputs
