"""MEME: the modalities' encoders are each other's priors."""

from collections.abc import Sequence
from typing import Unpack

import torch
from pyro import poutine

from ppl_mm.batch.covariates import blank_covariates
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import eval_mode
from ppl_mm.distributions import PseudoInputPrior
from ppl_mm.guides import MixtureOfExperts
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.models import SharedLatent
from ppl_mm.objectives import MutualSupervisionELBO
from ppl_mm.objectives.options import MutualSupervisionOptions, Preset
from ppl_mm.systems.recorded import recorded
from ppl_mm.systems.system import System

__all__ = ["meme"]


@recorded(MutualSupervisionELBO)
def meme(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    preset: Preset = "bound",
    num_pseudo_inputs: int = 128,
    pseudo_inputs: Observations | None = None,
    **options: Unpack[MutualSupervisionOptions],
) -> System:
    """MEME: each modality's encoder is the prior of another's, in all directions at once.

    No prior is Normal(0, I). In the priors, learned pseudo-inputs u replace what a row lacks, and
    p(z), the prior of a row with nothing, is the average of all their encodings,

        p(z)  =  1/R sum_m (1/N) sum_i e_m(z | u_i).

    Args:
        modalities: Two at least, with Normal experts; their ``weight`` is lambda_m in the
            objective.
        latent_dim: The size Z of the latent.
        preset: ``"bound"``, ``"paper"`` or ``"code"``, see
            :meth:`ppl_mm.objectives.MutualSupervisionELBO.preset`.
        num_pseudo_inputs: The number N of pseudo-inputs of every modality.
        pseudo_inputs: The training rows. The pseudo-inputs begin as N of them, chosen at random;
            by default they begin as draws of the untrained decoders. Integer values (classes,
            symbols) are not learned, so give rows for these.
        **options: ``num_particles`` (M), ``alpha``, ``kl``, ``estimator``, ``stop_gradient``,
            ``combine``, ``conditional_prior``, ``beta``, in place of the preset's.

    :func:`ppl_mm.log_likelihood` and :func:`ppl_mm.evaluation.elbo` use the likelihoods of the
    directions. ``System(system.model, system.guide, IWAE())`` has those of the one joint density
    with p(z).

    Raises:
        ValueError: For fewer than two modalities, or too few rows.

    Source: Joy et al. 2022, arXiv:2106.12570. Differs: the average over pseudo-inputs of all
    modalities as p(z), where the paper has p(z) for one missing modality only.

    Example:
        >>> from ppl_mm import data, fit
        >>> digits = data.load("digits")
        >>> system = meme(digits.modalities, 8, num_pseudo_inputs=20, pseudo_inputs=digits.train)
        >>> result = fit(system, digits.train[:100], epochs=1, progress=False)
        >>> "bound" in result.history[0]
        True
    """
    modalities = check_modalities(modalities)
    if len(modalities) < 2:
        raise ValueError(f"meme needs at least two modalities, got {len(modalities)}.")
    if pseudo_inputs is None:
        pseudo_inputs = _drawn(modalities, latent_dim, num_pseudo_inputs)
    prior = PseudoInputPrior(modalities, latent_dim, pseudo_inputs, num_pseudo_inputs)
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        MixtureOfExperts(modalities, latent_dim, prior=prior),
        MutualSupervisionELBO.preset(preset, **options),
    )


def _drawn(modalities: Sequence[Modality], latent_dim: int, number: int) -> Observations:
    """Valid values of every modality: draws of untrained decoders at z ~ Normal(0, I)."""
    model = SharedLatent(modalities, latent_dim)
    with torch.no_grad(), eval_mode(model):
        with torch.random.fork_rng(devices=[]):
            networks = [*model.decoders.values(), *(m.encoder(latent_dim) for m in modalities)]
        read = blank_covariates(networks, number)
        blank = Observations.blank(number).with_covariates(read)
        trace = poutine.trace(model).get_trace(blank)
    values = {m.name: trace.nodes[m.name]["value"] for m in modalities}
    return Observations(values, covariates=read)
