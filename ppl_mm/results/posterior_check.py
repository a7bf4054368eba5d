"""The guide's posterior beside a Markov chain's: numbers and picture."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from rich.table import Table
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.results.arviz_data import arviz_data
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.style import PALE

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

__all__ = ["PosteriorCheck", "posterior_intervals"]

_MOST_ROWS, _MOST_COORDINATES = 6, 12
_SIDES = (("NUTS", "#000000", -0.15), ("guide", "#D55E00", 0.15))


@dataclass(frozen=True)
class PosteriorCheck(Result):
    """Draws of p(z | x) by NUTS and of the guide's q(z | x), for some rows.

    Attributes:
        exact: Site -> draws by NUTS, (chains, draws, N, D).
        guide: Site -> draws of the guide, (draws, N, D); of the sites that it has.
        given: The modalities conditioned on.
    """

    exact: dict[str, Tensor]
    guide: dict[str, Tensor]
    given: tuple[str, ...]

    def shift(self, site: str) -> Float[Tensor, "N D"]:
        """The guide's mean less the chains', in the chains' standard deviations, (N, D)."""
        mean, deviation = _moments(self.exact[site].flatten(0, 1))
        return (_moments(self.guide[site])[0] - mean) / deviation

    def ratio(self, site: str) -> Float[Tensor, "N D"]:
        """The guide's standard deviation over the chains', (N, D): below 1 it is too narrow."""
        exact = _moments(self.exact[site].flatten(0, 1))
        return _moments(self.guide[site])[1] / exact[1]

    def distance(self, site: str) -> Float[Tensor, "N D"]:
        """The guide's error, (N, D).

        The 2-Wasserstein distance of two Normals with the means and standard deviations of the
        draws, in the chains' standard deviations: sqrt( shift^2 + (1 - ratio)^2 ).
        """
        return torch.hypot(self.shift(site), 1.0 - self.ratio(site))

    def r_hat(self, site: str) -> Float[Tensor, "N D"]:
        """Rank-normalised split R-hat of the chains, (N, D): above 1.01 they have not mixed.

        NaN for one chain. Source: Vehtari et al. 2021, arXiv:1903.08008, by arviz.
        """
        import arviz

        return self._diagnosed(arviz.rhat, site)

    def ess(self, site: str) -> Float[Tensor, "N D"]:
        """Bulk effective sample size of the chains, (N, D), by arviz."""
        import arviz

        return self._diagnosed(arviz.ess, site)

    def numbers(self) -> Iterator[Number]:
        """Yield numbers of every site and row: means over coordinates, the worst R-hat and ESS."""
        for site in self.guide:
            columns = {
                "shift": self.shift(site).abs().mean(1),
                "ratio of deviations": self.ratio(site).mean(1),
                "distance": self.distance(site).mean(1),
                "R-hat": self.r_hat(site).amax(1),
                "effective sample size": self.ess(site).amin(1),
            }
            for measure, values in columns.items():
                for row, value in enumerate(values.tolist()):
                    yield number(measure, value, self.given, site, row=row)

    def table(self) -> Table:
        """The guide's errors and the chains' mixing, in a line for each site and row."""
        given = ", ".join(self.given) or "nothing"
        title = f"q(z | {given}) against NUTS, in standard deviations of the latter"
        table = Table("site", "row", title=title)
        columns: dict[tuple[str, int], list[str]] = {}
        for found in self.numbers():
            columns.setdefault((found["target"], found["row"]), []).append(f"{found['value']:.3g}")
        for heading in ("|shift|", "ratio of sd", "distance", "R-hat", "ESS"):
            table.add_column(heading, justify="right")
        for (site, row), cells in columns.items():
            table.add_row(site, str(row), *cells)
        return table

    def figure(self) -> "Figure":
        """Mean and two standard deviations of both, in a panel for each site and row.

        See :func:`ppl_mm.plotting.posterior_intervals`.
        """
        return posterior_intervals(self)

    def to_arviz(self) -> Any:
        """The chains for arviz, as group ``posterior``, and the guide's draws, as ``guide``.

        An ``arviz.InferenceData``, or from arviz 1 on an ``xarray.DataTree``. Both groups have the
        dimensions row and that of the site's coordinates, so arviz's own plots take them:
        ``arviz.plot_trace(found.to_arviz())``.
        """
        guide = {site: x[None] for site, x in self.guide.items()}
        return arviz_data({"posterior": _dataset(self.exact), "guide": _dataset(guide)})

    def _diagnosed(self, measure: Callable[..., Any], site: str) -> Tensor:
        draws = self.exact[site].cpu().numpy()
        found = [
            [float(measure(np.ascontiguousarray(draws[:, :, n, d]))) for d in range(draws.shape[3])]
            for n in range(draws.shape[2])
        ]
        return torch.tensor(found)


def _dataset(draws: Mapping[str, Tensor]) -> "xarray.Dataset":
    """Draws (chain, draw, row, coordinate) of every site, with numbered coordinates."""
    import xarray

    dims = {site: ("chain", "draw", "row", f"{site}_dim") for site in draws}
    columns = {site: (dims[site], x.cpu().numpy()) for site, x in draws.items()}
    data = xarray.Dataset(columns)
    return data.assign_coords({name: np.arange(size) for name, size in data.sizes.items()})


@typed
def posterior_intervals(check: PosteriorCheck) -> "Figure":
    """Mean and two standard deviations of every coordinate: sites downwards, rows across.

    At most six rows and twelve coordinates are shown, the first.

    Args:
        check: See :func:`ppl_mm.evaluation.posterior_check`.
    """
    from ppl_mm.results.picture import Picture

    sites = list(check.guide)
    rows = min(_MOST_ROWS, next(iter(check.guide.values())).shape[1])
    figure = Picture(figsize=(1.9 * rows + 1.2, 1.9 * len(sites) + 0.6), layout="constrained")
    panels = figure.subplots(len(sites), rows, squeeze=False, sharey="row", sharex="row")
    for line, site in zip(panels, sites, strict=True):
        line[0].set_ylabel(site)
        for row, axes in enumerate(line):
            for (label, colour, aside), draws in zip(
                _SIDES, (check.exact[site].flatten(0, 1), check.guide[site]), strict=True
            ):
                own = draws[:, row, :_MOST_COORDINATES].cpu()
                at = torch.arange(own.shape[1]) + aside
                axes.errorbar(at, own.mean(0), 2 * own.std(0), color=colour, fmt=".", label=label)
            axes.grid(color=PALE, axis="y")
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
    for row, axes in enumerate(panels[0]):
        axes.set_title(f"row {row}")
    for axes in panels[-1]:
        axes.set_xlabel("coordinate")
    panels[0][0].legend(frameon=False, fontsize="small")
    return figure


def _moments(draws: Tensor) -> tuple[Tensor, Tensor]:
    return draws.mean(0), draws.std(0)
