"""Systems whose model conditions on some of the modalities."""

from collections.abc import Sequence
from typing import Any

from ppl_mm.guides import ConditionalNetwork
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.models import ConditionalDecoder
from ppl_mm.networks.layers import Activation, ScaleMap
from ppl_mm.objectives import ELBOTerms, Term
from ppl_mm.systems.recorded import lambdas, recorded
from ppl_mm.systems.system import System

__all__ = ["cvae"]


@recorded
def cvae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    given: Sequence[str] = ("label",),
    hidden: Sequence[int] = (512, 512),
    activation: Activation = "silu",
    scale: ScaleMap = "exp",
    prior: Any = None,
    **options: Any,
) -> System:
    """CVAE: decoders and a joint network that see what is given, of which there is no density.

    Objective, on complete rows:

        E_{q(z | x_targets, x_given)} sum_t lambda_t log p(x_t | z, x_given) - beta KL(q || p(z))

    a bound on log p(x_targets | x_given) at lambda = beta = 1. A row that lacks a modality
    contributes nothing in training. Likelihoods, generation and predictions need rows that hold
    all that is given, and say so by an error; a row that lacks a target has the posterior p(z).

    Args:
        modalities: Targets and given ones. A target's ``weight`` is lambda_t, and its decoder takes
            Z + F features, F those of the given ones; a given modality's networks are not used,
            but for its ``features``, one trunk for the model and one for the guide.
        latent_dim: Z.
        given: What is conditioned on.
        hidden: Sizes of the layers that join the features of all modalities in the guide, see
            :class:`ppl_mm.guides.ConditionalNetwork`.
        activation: What follows these layers.
        scale: The map of the guide's head to a positive scale.
        prior: p(z), a fixed Normal, which does not depend on x_given; None for Normal(0, I).
        **options: ``beta``, ``num_particles``.

    Raises:
        ValueError: For nothing given, unknown names, or no target left.

    Sources: Sohn, Lee & Yan 2015; Wu & Goodman 2018, arXiv:1802.05335, tables 1 and 2.
    """
    modalities = check_modalities(modalities, latent_dim)
    model = ConditionalDecoder(modalities, latent_dim, given, prior=prior)
    guide = ConditionalNetwork(
        modalities, latent_dim, given, hidden, prior=prior, activation=activation, scale=scale
    )
    term = Term(model.names, tuple(model.decoders))
    objective = ELBOTerms([term], rows="require", weights=lambdas(modalities), **options)
    return System(model, guide, objective)
