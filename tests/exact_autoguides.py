"""Pyro's autoguides at the exact posterior, of a linear-Gaussian model with one number a row."""

from collections.abc import Callable
from typing import Any

import pyro
import torch
from linear_gaussian import LinearGaussian
from pyro.infer import autoguide
from torch import Tensor, nn

from ppl_mm import Observations

__all__ = ["AUTOGUIDES", "exact_autoguide"]


def _set(parameter: Any, value: Tensor) -> None:
    parameter.data = value.clone()


def _list(model: nn.Module) -> Any:
    guide = autoguide.AutoGuideList(model)
    guide.append(autoguide.AutoNormal(pyro.poutine.block(model, expose=["z"])))
    return guide


def _normal(guide: Any, loc: Tensor, scale: Tensor) -> None:
    guide.locs.z, guide.scales.z = loc[:, None], scale[:, None]


def _first(guide: Any, loc: Tensor, scale: Tensor) -> None:
    _normal(guide[0], loc, scale)


def _vector(guide: Any, loc: Tensor, scale: Tensor) -> None:
    _set(guide.loc, loc)
    guide.scale = scale


def _low_rank(guide: Any, loc: Tensor, scale: Tensor) -> None:
    _set(guide.loc, loc)
    guide.cov_factor = nn.Parameter(torch.zeros_like(guide.cov_factor))
    guide.scale = scale  # covariance: scale^2 (I + factor factor^T)


def _structured(guide: Any, loc: Tensor, scale: Tensor) -> None:
    guide.locs.z, guide.scales.z = loc.reshape(-1), scale.reshape(-1)


def _at_loc(guide: Any, loc: Tensor, scale: Tensor) -> None:
    _set(guide.loc, loc)


def _delta(guide: Any, loc: Tensor, scale: Tensor) -> None:
    guide.z = loc[:, None]


def _inexact(guide: Any, loc: Tensor, scale: Tensor) -> None:
    """As it comes."""


AUTOGUIDES: dict[str, tuple[Callable[[nn.Module], Any], Callable[..., None]]] = {
    "AutoNormal": (autoguide.AutoNormal, _normal),
    "AutoNormalMessenger": (autoguide.AutoNormalMessenger, _normal),
    "AutoHierarchicalNormalMessenger": (autoguide.AutoHierarchicalNormalMessenger, _inexact),
    "AutoRegressiveMessenger": (autoguide.AutoRegressiveMessenger, _inexact),
    "AutoGuideList": (_list, _first),
    "AutoDelta": (autoguide.AutoDelta, _delta),
    "AutoDiagonalNormal": (autoguide.AutoDiagonalNormal, _vector),
    "AutoMultivariateNormal": (autoguide.AutoMultivariateNormal, _vector),
    "AutoLowRankMultivariateNormal": (autoguide.AutoLowRankMultivariateNormal, _low_rank),
    "AutoLaplaceApproximation": (autoguide.AutoLaplaceApproximation, _at_loc),
    "AutoIAFNormal": (autoguide.AutoIAFNormal, _inexact),
    "AutoStructured": (autoguide.AutoStructured, _inexact),
    "AutoGaussian": (autoguide.AutoGaussian, _inexact),
}


def exact_autoguide(name: str, toy: LinearGaussian, model: nn.Module, obs: Observations) -> Any:
    """An autoguide that is set up on the rows, and has their exact posterior where it can."""
    make, at_posterior = AUTOGUIDES[name]
    guide = make(model)
    guide(obs)
    posterior = toy.exact_guide().posterior(obs)
    at_posterior(guide, posterior.mean[:, 0], posterior.stddev[:, 0])
    return guide
