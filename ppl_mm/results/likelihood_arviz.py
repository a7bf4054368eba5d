"""The groups of a log-likelihood result for arviz."""

import math
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from ppl_mm.results.arviz_data import arviz_data

if TYPE_CHECKING:
    from ppl_mm.results.log_likelihood import LogLikelihood

__all__ = ["likelihood_data"]

_NEGLIGIBLE = 100.0  # nats below a row's largest: no weight at all


def likelihood_data(result: "LogLikelihood", columns: tuple[str, ...]) -> Any:
    """See :meth:`ppl_mm.evaluation.LogLikelihood.to_arviz`."""
    import xarray

    fields: dict[str, Any] = {f: ("row", getattr(result, f).cpu().numpy()) for f in columns}
    attributes = {"quantity": result.quantity, "num_samples": result.num_samples}
    groups = {"estimates": xarray.Dataset(fields, attrs=attributes)}
    if result.log_weights is not None:
        log_w = result.log_weights.double()
        for group, name, values in (
            ("posterior", "log_weight", log_w),
            ("log_likelihood", "log_p", _around(result.value.double(), log_w)),
        ):
            dims = ("chain", "draw", "row")
            groups[group] = xarray.Dataset({name: (dims, values[None].cpu().numpy())})
    return arviz_data(groups)


def _around(value: Float[Tensor, " N"], log_w: Float[Tensor, "K N"]) -> Float[Tensor, "K N"]:
    """log p less the log of the draws' weights over their mean, (K, N).

    A row with fewer draws than another has them again, in turn.
    """
    number = (~log_w.isnan()).sum(0).clamp(min=1)
    again = torch.arange(len(log_w), device=log_w.device)[:, None] % number
    log_w = log_w.gather(0, again)
    log_w = torch.maximum(log_w, log_w.amax(0) - _NEGLIGIBLE)
    return value - (log_w - log_w.logsumexp(0) + math.log(len(log_w)))
