"""One row's posterior in two latent coordinates, with the guide and the Laplace approximation."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined import Refined, check_refinable
from ppl_mm.likelihood.refined.draws import resampled
from ppl_mm.likelihood.refined.laplace import WIDER
from ppl_mm.likelihood.row_noise import row_keys
from ppl_mm.likelihood.targets import named
from ppl_mm.programs.answerable import check_answerable, conditioned_on
from ppl_mm.results.log_likelihood import STAGES
from ppl_mm.results.style import BLUE, COLOURS, ORANGE
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["posterior"]

_DRAWS, _SHOWN, _GRID = 2000, 150, 120
_OF_GUIDE = 500
_MASSES = (0.9, 0.5)  # within the contours
_GREEN = COLOURS[2]


class _Found(NamedTuple):
    """A row's draws of p(z | x) and of the guide, (K, D), its Laplace approximation, and names."""

    draws: Tensor
    guide: Tensor
    mode: Tensor
    covariance: Tensor
    names: tuple[str, ...]
    stage: str
    path: Path


@typed
def posterior(
    system: System,
    obs: Observations,
    row: int = 0,
    *,
    given: str | Sequence[str] | None = None,
    coordinates: tuple[int, int] | None = None,
    seed: int = 0,
) -> "Figure":
    """Draw p(z | x) of one row with its approximations, in two latent coordinates.

    Blue: p(z | x), as contours around 50 and 90 % of its mass. With two coordinates in all they are
    those of p(x, z) on a grid; with more, of the draws' kernel density. Dots: draws, by a proposal
    refined for the row and resampled by weight, as behind refined log-likelihoods. Orange: the
    guide. Green: the Laplace approximation, around the posterior's mode.

    Args:
        system: The system, a model and a guide.
        obs: The rows.
        row: The number of the row, from 0.
        given: The modalities that the posterior conditions on; None is all that the row holds.
        coordinates: The numbers of two coordinates, counted over all latent sites side by side;
            None is the two that the row says most of, with the smallest posterior standard
            deviation over the prior's. Those with a bounded support are shown in unconstrained
            coordinates.
        seed: The seed of the draws.

    Raises:
        ValueError: For a row that is not there, coordinates that are not there or equal, unknown
            modalities, fewer than two latent coordinates, or a latent that is discrete.

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, latent_dim=2)
        >>> figure = posterior(system, digits.test, row=3, given="label")
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('z[0]', 'z[1]')
    """
    from matplotlib.lines import Line2D

    from ppl_mm.results.picture import Picture

    if not 0 <= row < len(obs):
        raise ValueError(f"row: expected one from 0 to {len(obs) - 1}, got {row}.")
    names = named("given", obs.names if given is None else given, obs)
    with evaluating(system, seed):
        found = _found(system, obs[[row]], names, seed)
        a, b = _chosen(coordinates, found, system, seed)
        grid = _grid(found, a, b)
        contours = _posterior_density(found, a, b, grid)
    figure = Picture(figsize=(5.4, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.contourf(*grid, contours, _levels(contours), colors=[BLUE], alpha=0.25, extend="max")
    axes.contour(*grid, contours, _levels(contours), colors=[BLUE], linewidths=1.0)
    guide = _kernel(found.guide[:, [a, b]], grid)
    axes.contour(*grid, guide, _levels(guide), colors=[ORANGE], linestyles="--")
    for mass in _MASSES:
        axes.plot(*_ellipse(found, a, b, mass), color=_GREEN, linestyle=":", linewidth=1.8)
    axes.plot(*found.mode[[a, b]].cpu().numpy(), "x", color=_GREEN)
    shown = found.draws[:_SHOWN, [a, b]].cpu().numpy()
    axes.plot(*shown.T, ".", color="black", markersize=2.5, alpha=0.6)
    axes.set(xlabel=found.names[a], ylabel=found.names[b])
    axes.set_title(
        f"row {row}, p(z | {', '.join(names)}), 50 and 90 % of the mass\n"
        f"draws by the stage {found.stage!r}",
        fontsize="medium",
    )
    handles = [
        Line2D([], [], color=BLUE, label="posterior"),
        Line2D([], [], color=ORANGE, linestyle="--", label="guide"),
        Line2D([], [], color=_GREEN, linestyle=":", label="Laplace approximation"),
        Line2D([], [], color="black", marker=".", linestyle="", label="draws"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _found(system: System, obs: Observations, names: tuple[str, ...], seed: int) -> _Found:
    chunk = check_and_size(system, obs, None)
    fixed = conditioned_on(system.model)
    scored = [n for n in names if n not in fixed]
    check_answerable(system.model, obs, scored or names, [n for n in names if n in fixed])
    obs = obs.to(system).scoring(*scored).given(*names)
    path, keys = Path(system.model, system.guide, obs, chunk), row_keys(obs)
    check_refinable(path)
    refined = Refined(path, keys, seed)
    laplace = refined.laplace
    labels = [
        f"{name}[{i}]" + (", unconstrained" if name in path.bent else "")
        for name, shape in path.shapes.items()
        for i in range(shape.numel())
    ]
    if len(labels) < 2:
        raise ValueError(f"posterior: expected two latent coordinates, the model has {labels}.")
    return _Found(
        resampled(path, refined, _DRAWS, seed)[:, 0],
        path.draw(_OF_GUIDE).position[:, 0],
        laplace.loc[0],
        laplace.tril[0] @ laplace.tril[0].mT / WIDER**2,
        tuple(labels),
        STAGES[int(refined.stage[0])],
        path,
    )


def _chosen(
    asked: tuple[int, int] | None, found: _Found, system: System, seed: int
) -> tuple[int, int]:
    """The two coordinates to show."""
    size = len(found.names)
    if asked is None:
        prior = Path(system.model, None, found.path.obs, found.path.chunk).draw(_OF_GUIDE)
        told = found.draws.std(0) / prior.position[:, 0].std(0)
        a, b = sorted(told.argsort()[:2].tolist())
        return a, b
    a, b = asked
    if a == b or not (0 <= a < size and 0 <= b < size):
        raise ValueError(f"coordinates: expected two from 0 to {size - 1}, got {asked}.")
    return a, b


def _grid(found: _Found, a: int, b: int) -> tuple[Any, Any]:
    """The grid of the densities, around the draws, the guide and the ellipses."""
    sides = []
    for i in (a, b):
        reach = 2.3 * found.covariance[i, i].sqrt()
        parts = [x[:, i].quantile(x.new_tensor([0.002, 0.998])) for x in (found.draws, found.guide)]
        ends = torch.cat([*parts, (found.mode[i] + torch.stack([-reach, reach]))])
        low, high = ends.min().item(), ends.max().item()
        margin = 0.06 * (high - low)
        sides.append(np.linspace(low - margin, high + margin, _GRID))
    x, y = np.meshgrid(*sides)
    return x, y


def _posterior_density(found: _Found, a: int, b: int, grid: tuple[Any, Any]) -> Any:
    """p(x, z) on the grid where z has two coordinates, else the kernel density of the draws."""
    if len(found.names) > 2:
        return _kernel(found.draws[:, [a, b]], grid)
    flat = torch.from_numpy(np.stack([side.ravel() for side in grid], -1)).to(found.draws)
    position = torch.zeros_like(flat)
    position[:, [a, b]] = flat
    joint = found.path.joint(position[:, None])
    density = (joint[:, 0] - joint.max()).double().exp().cpu().numpy()
    return density.reshape(grid[0].shape)


def _kernel(draws: Tensor, grid: tuple[Any, Any]) -> Any:
    """The kernel density of draws (K, 2) on the grid."""
    from scipy.stats import gaussian_kde

    draws = draws + 1e-4 * draws.std(0) * torch.randn_like(draws)  # where few are distinct
    estimate = gaussian_kde(draws.double().cpu().numpy().T)
    return estimate(np.stack([side.ravel() for side in grid])).reshape(grid[0].shape)


def _levels(density: np.ndarray) -> list[float]:
    """The heights above which the grid holds each of the masses, rising."""
    heights = np.sort(density.ravel())[::-1]
    held = np.cumsum(heights) / heights.sum()
    levels = [float(heights[np.searchsorted(held, mass)]) for mass in _MASSES]
    return [levels[0], max(levels[1], np.nextafter(levels[0], np.inf))]


def _ellipse(found: _Found, a: int, b: int, mass: float) -> Any:
    """The ellipse of the Laplace approximation that holds a mass, (2, points)."""
    which = torch.tensor([a, b])
    covariance = found.covariance.cpu().double()[which][:, which]
    angle = torch.linspace(0.0, 2.0 * math.pi, 200, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()])
    radius = math.sqrt(-2.0 * math.log1p(-mass))
    root = torch.linalg.cholesky(covariance)
    return (found.mode.cpu().double()[which][:, None] + radius * root @ circle).numpy()
