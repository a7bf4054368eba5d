"""The guide's posterior against a long Markov chain of the model's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from pyro.infer import MCMC, NUTS
from pyro.infer.autoguide.initialization import init_to_sample
from rich.table import Table
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.path import gradients_of
from ppl_mm.likelihood.question import named
from ppl_mm.objectives.weights import absent_names, guide_trace, particles
from ppl_mm.programs.conditioned import check_question, conditioned_on
from ppl_mm.programs.handlers import SkipAbsent
from ppl_mm.results.result import Number, Result, number
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["PosteriorCheck", "posterior_check"]

_MOST_ROWS = 100


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

    def shift(self, site: str) -> Tensor:
        """The guide's mean less the chains', in the chains' standard deviations, (N, D)."""
        mean, deviation = _moments(self.exact[site].flatten(0, 1))
        return (_moments(self.guide[site])[0] - mean) / deviation

    def ratio(self, site: str) -> Tensor:
        """The guide's standard deviation over the chains', (N, D): below 1 it is too narrow."""
        exact = _moments(self.exact[site].flatten(0, 1))
        return _moments(self.guide[site])[1] / exact[1]

    def distance(self, site: str) -> Tensor:
        """How far the guide is off, (N, D).

        The 2-Wasserstein distance of two Normals with the means and standard deviations of the
        draws, in the chains' standard deviations: sqrt( shift^2 + (1 - ratio)^2 ).
        """
        return torch.hypot(self.shift(site), 1.0 - self.ratio(site))

    def r_hat(self, site: str) -> Tensor:
        """Rank-normalised split R-hat of the chains, (N, D): above 1.01 they have not mixed.

        NaN for one chain. Source: Vehtari et al. 2021, arXiv:1903.08008, by arviz.
        """
        import arviz

        return self._diagnosed(arviz.rhat, site)

    def ess(self, site: str) -> Tensor:
        """Bulk effective sample size of the chains, (N, D), by arviz."""
        import arviz

        return self._diagnosed(arviz.ess, site)

    def numbers(self) -> Iterator[Number]:
        """Of every site and row: means over coordinates; of R-hat and ESS the worst coordinate."""
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
        """A line a site and row: how far the guide is off, and how well the chains mixed."""
        title = f"q(z | {', '.join(self.given)}) against NUTS, in standard deviations of the latter"
        table = Table("site", "row", title=title)
        columns: dict[tuple[str, int], list[str]] = {}
        for found in self.numbers():
            columns.setdefault((found["target"], found["row"]), []).append(f"{found['value']:.3g}")
        for heading in ("|shift|", "ratio of sd", "distance", "R-hat", "ESS"):
            table.add_column(heading, justify="right")
        for (site, row), cells in columns.items():
            table.add_row(site, str(row), *cells)
        return table

    def figure(self) -> Figure:
        """Mean and two standard deviations of both, a panel a site and row, see ``plotting``."""
        from ppl_mm import plotting

        return plotting.posterior_intervals(self)

    def to_arviz(self) -> Any:
        """An ``InferenceData``: the chains as group ``posterior``, the guide's as ``guide``.

        Both have the dimensions row and that of the site's coordinates, so arviz's own plots take
        them: ``arviz.plot_trace(found.to_arviz())``.
        """
        import arviz

        dims = {site: ["row", f"{site}_dim"] for site in self.exact}
        groups = {
            group: arviz.convert_to_dataset(
                {site: x.cpu().numpy() for site, x in draws.items()}, dims=dims
            )
            for group, draws in (
                ("posterior", self.exact),
                ("guide", {site: x[None] for site, x in self.guide.items()}),
            )
        }
        data = arviz.InferenceData(posterior=groups["posterior"])
        data.add_groups({"guide": groups["guide"]}, warn_on_custom_groups=False)
        return data

    def _diagnosed(self, measure: Any, site: str) -> Tensor:
        draws = self.exact[site].cpu().numpy()
        found = [
            [float(measure(np.ascontiguousarray(draws[:, :, n, d]))) for d in range(draws.shape[3])]
            for n in range(draws.shape[2])
        ]
        return torch.tensor(found)


@typed
def posterior_check(
    system: System,
    obs: Observations,
    given: str | Sequence[str] | None = None,
    *,
    num_samples: int = 500,
    num_warmup: int = 300,
    num_chains: int = 2,
    seed: int = 0,
) -> PosteriorCheck:
    """Draw p(z | x_given) of a few rows by NUTS, and hold the guide against it.

    A likelihood's proposal, a latent's picture and an imputation are all as good as q(z | x); the
    chains need no guide, and say how good that is. All rows move together in one chain, so take a
    few: time grows with rows, and with how unlike each other their posteriors are.

    Args:
        system: A trained model and guide.
        obs: The rows, at most 100; any modality may be missing.
        given: What is conditioned on; None is all that each row holds.
        num_samples: Draws of each chain, and as many of the guide as of all chains.
        num_warmup: Draws before these, in which step sizes and scales are found.
        num_chains: Chains, one after the other, from draws of the prior; R-hat needs two.
        seed: Of the draws; torch's own generators are left as they were.

    Raises:
        ValueError: For more than 100 rows, numbers below 1, or unknown modalities.

    Source: Hoffman & Gelman 2014, arXiv:1111.4246, by ``pyro.infer.NUTS``.
    """
    system.check(obs)
    for what, value in (
        ("num_samples", num_samples),
        ("num_warmup", num_warmup),
        ("num_chains", num_chains),
    ):
        check_at_least_one(what, value)
    if len(obs) > _MOST_ROWS:
        raise ValueError(
            f"posterior_check: expected at most {_MOST_ROWS} rows, got {len(obs)}; they share one "
            "chain. Take some: obs[:5]."
        )
    names = named("given", obs.names if given is None else given, obs)
    if not names:
        raise ValueError("given: expected at least one modality, got none.")
    fixed = conditioned_on(system.model)
    scored = [n for n in names if n not in fixed]
    check_question(system.model, obs, scored, [n for n in names if n in fixed])
    obs = obs.to(system).scoring(*scored).given(*names)
    absent = SkipAbsent(absent_names(system.model, obs))
    with evaluating(system, seed):
        with particles(num_chains * num_samples):
            q = guide_trace(system.guide, obs)
        with torch.enable_grad(), gradients_of(system.model):
            chains = [
                _chain(absent(system.model), obs, num_samples, num_warmup)
                for _ in range(num_chains)
            ]
    guide = {n: _by_row(q.nodes[n]["value"].squeeze(1), len(obs)) for n in q.stochastic_nodes}
    exact = {n: torch.stack([_by_row(c[n], len(obs)) for c in chains]) for n in chains[0]}
    return PosteriorCheck(exact, guide, names)


def _chain(model: Any, obs: Observations, num_samples: int, num_warmup: int) -> dict[str, Tensor]:
    kernel = NUTS(model, init_strategy=init_to_sample)
    chain = MCMC(kernel, num_samples, warmup_steps=num_warmup, disable_progbar=True)
    chain.run(obs)
    return dict(chain.get_samples())


def _moments(draws: Tensor) -> tuple[Tensor, Tensor]:
    return draws.mean(0), draws.std(0)


def _by_row(draws: Tensor, num_rows: int) -> Tensor:
    """Draws (K, B, *event), or (K, *event) of what all rows share, as (K, B, D)."""
    if draws.dim() > 1 and draws.shape[1] in (1, num_rows):
        draws = draws.reshape(*draws.shape[:2], -1)
    else:
        draws = draws.reshape(len(draws), 1, -1)
    return draws.detach().expand(-1, num_rows, -1)
