"""CMMD's objective: an ELBO given what is observed, part of whose KL is a divergence of pools.

Notation, for B rows: q_i = q(z | x_O, x_M, y) and p_i = p(z | x_O) of row i, eps_i ~ Normal(0, I),

    zq_i = mu_q + sd_q eps_i,      zp_i = mu_p + sd_p eps_i            one noise for both
    R_i  = -sum over m in M of log p(x_m | zq_i, x_O)                  the decoders, the encoder
    KL_i = KL(q_i || p_i), in closed form                              the encoder, the prior
    D    = MMD^2 of the pools { zq_i } and { zp_i }, one number        the encoder, the prior
    C_i  = -log p(y | z_cls),  z_cls = mu_p or zp_i                    the prior, the classifier

The right column names the networks that learn from each.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.plate import Plate
from ppl_mm.batch.terms import Term
from ppl_mm.distributions.kl import diagonal_normal
from ppl_mm.objectives.automatic import set_up
from ppl_mm.objectives.mmd import MMD
from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.options import Kernel, LabelDraw, LabelReduction, MMDEstimator
from ppl_mm.objectives.sites import Site
from ppl_mm.objectives.weights import divergence, particles, trace_pair
from ppl_mm.processes import total
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.programs.asked import label_of, latent_dim_of, names_of
from ppl_mm.programs.conditioning import holds
from ppl_mm.programs.contracts import Guide, Model

__all__ = ["ConditionalMMD", "LossParts"]


class LossParts(NamedTuple):
    """The parts of the loss, in nats, without factors except lambda_m.

    Attributes:
        reconstruction: R_i, (B,).
        kl: KL_i, (B,).
        mmd: D, ().
        label: C_i, (B,); 0 in rows without a label.
    """

    reconstruction: Tensor
    kl: Tensor
    mmd: Tensor
    label: Tensor


@typed
class ConditionalMMD(Objective):
    """The ELBO of log p(x_M, y | x_O), a part of its KL replaced by an MMD.

        loss  =  sum_i [ R_i + omega KL_i + (1 - omega) lambda D + alpha C_i ]

    over the rows that hold x_O; the others contribute 0. It is B times the mean of a batch. A
    modality of M or a label that a row lacks is not scored, and the encoder sees zeros for it.

    Args:
        omega: The share of the KL, in [0, 1]. The objective is J = ELBO + (1 - omega) I, where I is
            the mutual information of (x_M, y) and z given x_O. J has omega KL + (1 - omega) KL of
            the averaged posterior, and D stands for the latter.
        alpha: The factor of the label's cross-entropy.
        mmd_weight: The factor lambda of D.
        kernel, estimator: The kernel and the estimator of D, see :class:`ppl_mm.objectives.MMD`.
            The pools share their noise, which makes D exactly 0 where every q_i is p_i, and for
            which the unbiased estimator leaves out the pairs zq_i, zp_i.
        classify: The source of the predicted label: ``"mean"``, mu_p; ``"draw"``, zp_i;
            ``"posterior"``, zq_i, as in the plain ELBO.
        label_reduction: ``"mean"``: as above, a missing label counts as 0 and the divisor is B.
            ``"sum"``: C is a sum over the batch where the other parts are means, that is alpha
            times B (of all processes).
        num_particles: The number S of draws per row; D is the mean of the MMDs of S pools.
        weights: Modality -> lambda_m, the label's too.
        beta: A further factor of the KL, as annealing is.

    It needs a model that conditions on some modalities, :class:`ppl_mm.models.ConditionalPrior`
    (or :class:`ppl_mm.models.ConditionalDecoder`), and a guide of diagonal Normals. D compares the
    pools of a batch's rows, those of all processes together.

    Raises:
        ValueError: For omega outside [0, 1], negative factors, or unknown choices; when run, for a
            model that conditions on nothing.

    Source: Mancisidor, Kampffmeyer, Aas & Jenssen 2023 (CMMD),
    doi:10.1016/j.neunet.2023.10.048, eq. 5, and its release, which has ``classify="mean"``,
    ``label_reduction="sum"``, and a KL that weighs var_q / var_p twice.

    Example:
        >>> ConditionalMMD(1.0, alpha=1.0, classify="posterior").is_bound
        True
        >>> ConditionalMMD(0.4).is_bound
        False
    """

    def __init__(
        self,
        omega: float,
        *,
        alpha: float = 10.0,
        mmd_weight: float = 1000.0,
        kernel: Kernel | float = "dim2",
        estimator: MMDEstimator = "biased",
        classify: LabelDraw = "mean",
        label_reduction: LabelReduction = "mean",
        num_particles: int = 1,
        weights: Mapping[str, float] | None = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(num_particles=num_particles, weights=weights, beta=beta)
        self.omega, self.alpha, self.mmd_weight = omega, alpha, mmd_weight
        self.mmd = MMD(kernel, estimator)
        self.classify, self.label_reduction = classify, label_reduction

    @property
    def is_bound(self) -> bool:
        """A lower bound on log p(x_M, y | x_O), or on log p(x_M | x_O) + log p(y | x_O).

        It is the first with the label at the posterior's draw, the second at the prior's.
        """
        plain = self.omega == self.alpha == 1.0 and self.label_reduction == "mean"
        return super().is_bound and plain and self.classify != "mean"

    def bound(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
        """Minus the loss of every row, (B,); each has an equal share of D."""
        return torch.stack(list(self.by_term(model, guide, obs).values())).sum(0)

    def by_term(
        self, model: Model, guide: Guide, obs: Observations
    ) -> dict[str, Float[Tensor, " B"]]:
        """Minus the parts of the loss of every row with their factors; those of 0 are absent."""
        parts = self.parts(model, guide, obs)
        rows = holds(obs, conditioned_on(model))
        found = {"reconstruction": -parts.reconstruction}
        for name, factor, part in (
            ("KL", self.omega * self.beta * self.annealing, parts.kl),
            ("MMD", (1.0 - self.omega) * self.mmd_weight, torch.where(rows, parts.mmd, 0.0)),
            ("label", self.alpha * self._label_factor(rows, parts.label.dtype), parts.label),
        ):
            if isinstance(factor, Tensor) or factor:
                found[name] = -factor * part
        return found

    def parts(self, model: Model, guide: Guide, obs: Observations) -> LossParts:
        """R, KL, D and C of one draw (S with ``num_particles``)."""
        scaling = self.scaling(model, obs)
        scaling.beta = 1.0
        terms, noisy = self._terms(model, obs)
        rows = holds(obs, conditioned_on(model))
        noise = _draw_noise(model, guide, obs, self.num_particles)
        set_up(guide, obs)
        with scaling, _SharedNoise(noise, noisy):
            plated = obs.terms(terms, dedupe=False)
            p, q = trace_pair(model, guide, plated, num_particles=self.num_particles)
        _check_latents(p, q)
        p.compute_log_prob(lambda name, site: site["is_observed"])
        shape = (self.num_particles, len(terms), len(obs))
        zero = torch.zeros(len(obs), dtype=noise.dtype, device=noise.device)
        reconstruction, label = zero, zero
        for name in p.observation_nodes:
            log_prob = p.nodes[name]["log_prob"].expand(shape).mean(0)  # (T, B)
            if name == label_of(model):
                label = label - log_prob[-1]
            else:
                reconstruction = reconstruction - log_prob[0]
        kl = divergence(p.nodes["z"], q.nodes["z"]).expand(shape)[0, 0]
        return LossParts(
            reconstruction, kl, self._mmd(p.nodes["z"], q.nodes["z"], noise, rows), label
        )

    def _terms(self, model: Model, obs: Observations) -> tuple[list[Term], list[bool]]:
        """(all : M : prior) and (O : y : prior), and which of them draw with noise."""
        observed, label = conditioned_on(model), label_of(model)
        names = names_of(model, obs)
        if not observed:
            raise ValueError(
                "ConditionalMMD needs a model that conditions on some modalities, and names them "
                f"in conditions_on, as models.ConditionalPrior does; {type(model).__name__} does "
                "not. For the MMD with another objective see WithMMD."
            )
        rest = tuple(n for n in names if n not in (*observed, label))
        if label is None or self.classify == "posterior":
            return [Term(names, rest if label is None else (*rest, label))], [True]
        return [Term(names, rest), Term(observed, (label,))], [True, self.classify == "draw"]

    def _label_factor(self, rows: Tensor, dtype: torch.dtype) -> float | Tensor:
        return 1.0 if self.label_reduction == "mean" else total(rows.sum()).to(dtype)

    def _mmd(self, p_site: Site, q_site: Site, noise: Tensor, rows: Tensor) -> Tensor:
        """D of the rows that hold x_O, from the first term's posterior and the model's prior."""
        shape = (*noise.shape[:1], q_site["value"].shape[-3], *noise.shape[2:])

        def of_first_term(fn: TorchDistribution) -> TorchDistribution:
            loc, scale = (x.expand(shape)[:, 0] for x in (fn.base_dist.loc, fn.base_dist.scale))
            return dist.Normal(loc, scale).to_event(1)

        q, p = of_first_term(q_site["fn"]), of_first_term(p_site["fn"])
        zq = q_site["value"].expand(shape)[:, 0]  # it has the noise
        zp = p.base_dist.loc + p.base_dist.scale * noise[:, 0].to(zq.dtype)
        return self.mmd(q, p, (zq, zp), matched=True, rows=rows)


class _SharedNoise(Messenger):
    """Draw the guide's ``z`` with the same noise in every term, or with none.

    Args:
        noise: (S, 1, B, Z).
        noisy: Whether each term has the noise; a term without it has its mean.
    """

    def __init__(self, noise: Float[Tensor, "S 1 B Z"], noisy: list[bool]) -> None:
        super().__init__()
        still = torch.zeros_like(noise)
        self.noise = torch.cat([noise if own else still for own in noisy], -3)  # (S, T, B, Z)

    def _pyro_sample(self, msg: Message) -> None:
        if msg["name"] == "z" and msg["value"] is None:
            base = diagonal_normal(msg["fn"])
            if base is None:
                raise ValueError(
                    "ConditionalMMD needs a guide of diagonal Normals, such as "
                    f"guides.ConditionalPosterior; its z is a {type(msg['fn']).__name__}."
                )
            msg["value"] = base.loc + base.scale * self.noise.to(base.loc.dtype)
            msg["done"] = True


def _check_latents(p: Trace, q: Trace) -> None:
    """Raise unless the guide draws z alone, and z is a diagonal Normal in model and guide."""
    for name in q.stochastic_nodes:
        if name != "z":
            raise ValueError(
                f"ConditionalMMD knows the latent z alone; the guide draws {name!r} too."
            )
    if diagonal_normal(p.nodes["z"]["fn"]) is None:
        raise ValueError(
            "ConditionalMMD needs a model whose p(z | x_O) is a diagonal Normal; its z is a "
            f"{type(p.nodes['z']['fn']).__name__}."
        )


def _draw_noise(model: Model, guide: Guide, obs: Observations, num_particles: int) -> Tensor:
    """eps, (S, 1, B, Z); a site of its own, so that handlers of noise apply."""
    latent_dim = latent_dim_of(model, guide)
    if latent_dim is None:
        raise ValueError(
            "ConditionalMMD draws the noise of z itself and needs its size: give the model or the "
            "guide an attribute latent_dim."
        )
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    example = next(parameters, torch.zeros(()))
    zero = example.new_zeros(latent_dim)
    with particles(num_particles), Plate("data", len(obs), dim=-1):
        noise: Tensor = pyro.sample("noise", dist.Normal(zero, torch.ones_like(zero)).to_event(1))
    return noise.detach()
