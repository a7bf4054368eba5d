"""The MMD between a posterior and a prior, beside any objective."""

import torch
from jaxtyping import Float
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.plate import of_rows
from ppl_mm.objectives.mmd import MMD
from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.options import Kernel, MMDEstimator
from ppl_mm.objectives.sites import Site
from ppl_mm.objectives.stages import Stages
from ppl_mm.objectives.weights import absent_names, guide_trace, model_trace, particles
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.programs.conditioning import holds
from ppl_mm.programs.contracts import Guide, Model

__all__ = ["WithMMD"]


@typed
class WithMMD(Objective):
    """An objective with a penalty on the average posterior of a batch.

        loss  =  sum_i loss_i  +  sum_i  lambda sum over latent sites of MMD^2( { zq_i }, { zp_i } )

    where zq_i is a draw of q(z | all that row i has), and zp_i one of the prior. The pools hold the
    rows that hold anything (and all that the model conditions on); the other rows get no penalty. A
    latent that all rows share has no pool. With an ELBO whose KL has the factor beta this is
    InfoVAE: in that paper's symbols beta = 1 - alpha, and lambda here is alpha + lambda - 1.

    Args:
        objective: An objective of this library, for any guide and model. :class:`Stages` are
            refused: give a stage its own penalty.
        mmd_weight: The factor lambda. An MMD^2 is far below 1, so lambda is usually far above.
        kernel, estimator: See :class:`ppl_mm.objectives.MMD`. Posteriors and priors have noise of
            their own, which gives the biased estimator a bias of order 1 / B.

    The guide runs once more, without decoders. The pools hold a batch's rows of all processes.

    Raises:
        TypeError: For an objective that is not of this library, or stages.
        ValueError: For a negative weight, or an unknown kernel or estimator.

    Source: Zhao, Song & Ermon 2019, arXiv:1706.02262 (InfoVAE).

    Example:
        >>> from ppl_mm.objectives import ELBOTerms, subset_terms
        >>> info = WithMMD(ELBOTerms(subset_terms(), beta=0.1), mmd_weight=500.0, kernel="dim")
        >>> info.is_bound
        False
    """

    def __init__(
        self,
        objective: Objective,
        *,
        mmd_weight: float,
        kernel: Kernel | float = "dim",
        estimator: MMDEstimator = "unbiased",
    ) -> None:
        if isinstance(objective, Stages):
            raise TypeError(
                "WithMMD: expected an objective of ppl_mm.objectives (of Stages, each stage by "
                f"itself), got {type(objective).__name__}."
            )
        super().__init__(
            num_particles=objective.num_particles, weights=objective.weights, beta=objective.beta
        )
        self.objective, self.mmd_weight = objective, mmd_weight
        self.mmd = MMD(kernel, estimator)
        if hasattr(objective, "alternatives"):
            self.alternatives = objective.alternatives

    def declare(self, model: Model) -> None:
        """The objective takes the weights that the model's modalities declare."""
        self.objective.declare(model)

    @property
    def is_bound(self) -> bool:
        """Whether there is no penalty and the objective's value is a bound."""
        return self.mmd_weight == 0.0 and self.objective.is_bound

    def bound(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
        """The objective's value of every row, less the penalty, shared out equally, (B,)."""
        self.objective.annealing = self.annealing
        value = self.objective.bound(model, guide, obs)
        return value if self.mmd_weight == 0.0 else value + self._shared(model, guide, obs)

    def by_term(
        self, model: Model, guide: Guide, obs: Observations
    ) -> dict[str, Float[Tensor, " B"]]:
        """The objective's terms, and the MMD."""
        self.objective.annealing = self.annealing
        terms = self.objective.by_term(model, guide, obs)
        return {**terms, "MMD": self._shared(model, guide, obs)}

    def _shared(self, model: Model, guide: Guide, obs: Observations) -> Tensor:
        """Minus the penalty in every row, (B,)."""
        rows = obs.any_data & holds(obs, conditioned_on(model))
        return -self.mmd_weight * torch.where(rows, self.penalty(model, guide, obs), 0.0)

    def penalty(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, ""]:
        """The sum over latent sites of MMD^2, ()."""
        rows = obs.any_data & holds(obs, conditioned_on(model))
        obs = obs.scoring()
        with particles(self.num_particles):
            q = guide_trace(guide, obs)
            p = model_trace(model, obs, absent_names(model, obs))
        shape = (self.num_particles, 1, len(obs))
        total = torch.zeros((), device=obs.device)
        for name in q.stochastic_nodes:
            q_site, p_site = q.nodes[name], p.nodes.get(name)
            if p_site is None or not of_rows(q_site):  # auxiliary, or no pool of rows
                continue
            zq, zp = (_flat(site, shape) for site in (q_site, p_site))
            total = total + self.mmd(q_site["fn"], p_site["fn"], (zq, zp), matched=False, rows=rows)
        return total


def _flat(site: Site, shape: tuple[int, ...]) -> Tensor:
    """A site's draws (K, B, D), from (K, 1, B, *event) or what broadcasts to it."""
    value: Tensor = site["value"].expand(*shape, *site["fn"].event_shape)
    return value.reshape(shape[0], shape[2], -1)
