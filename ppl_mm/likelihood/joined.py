"""One result from those of several processes, each of which has its share of the rows."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from ppl_mm.likelihood.sampling import WEIGHTS_KEPT
from ppl_mm.modality import Modality
from ppl_mm.processes import gathered
from ppl_mm.results.log_likelihood import COLUMNS, LogLikelihood

__all__ = ["joined"]


def joined(
    own: LogLikelihood, which: Int[Tensor, " n"], modalities: Sequence[Modality]
) -> LogLikelihood:
    """The result of all rows, in every process. All processes must take part.

    Args:
        own: The result for this process's rows.
        which: The indices of these rows.
        modalities: The modalities that the system declares.
    """
    device, fields = own.value.device, (*COLUMNS, "shared_error")
    weights = None if own.log_weights is None else own.log_weights.cpu()
    parts = gathered(({field: getattr(own, field).cpu() for field in fields}, weights, which))
    rows = [each for *_, each in parts]
    back = torch.cat(rows).argsort()
    whole = {f: torch.cat([c[f] for c, *_ in parts])[back].to(device) for f in fields}
    columns = {field: whole[field] for field in COLUMNS}
    names = own.num_samples, own.target, own.given, own.proposal
    found = replace(
        LogLikelihood.of(columns, *names, modalities),
        shared_error=whole["shared_error"],
        log_weights=_log_weights([weights for _, weights, _ in parts], rows, device),
    )
    shared = bool(found.shared_error.any())  # by latents that all rows have in common
    return found.sharing(torch.zeros_like(found.draws)) if shared else found


def _log_weights(
    parts: Sequence[Tensor | None], rows: Sequence[Tensor], device: torch.device
) -> Tensor | None:
    """The log-weights of all rows, (draws, N); None where they are too many to keep."""
    kept = [part for part in parts if part is not None]
    most, num_rows = max(map(len, kept), default=0), sum(map(len, rows))
    if len(kept) < len(parts) or most * num_rows > WEIGHTS_KEPT:
        return None
    out = kept[0].new_full((most, num_rows), math.nan)
    for weights, own in zip(kept, rows, strict=True):
        out[: len(weights), own] = weights
    return out.to(device)
