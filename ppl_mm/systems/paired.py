"""SVAE, VAEVAE and their variants: joint posteriors held close to those of fewer modalities."""

from collections.abc import Sequence
from typing import Unpack, cast

from ppl_mm.distributions.prior import PriorLike
from ppl_mm.guides import JointNetwork, ProductOfExperts, ReplacementExperts
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.models import SharedLatent
from ppl_mm.networks.layers import Activation
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.objectives import ELBOTerms, paired_terms
from ppl_mm.objectives.options import FixedTermOptions, PairedTermOptions
from ppl_mm.programs.program import Program
from ppl_mm.systems.recorded import recorded
from ppl_mm.systems.system import System

__all__ = ["STREAMED", "svae", "svae_star", "vaevae", "vaevae_a", "vaevae_star"]

STREAMED = ("svae", "svae_star", "vaevae", "vaevae_a", "vaevae_star")
"""The systems here: below full supervision their papers train on paired rows and, besides, on a
stream of each modality (:func:`ppl_mm.data.streams`, with the option ``unpaired="disjoint"``)."""


_recorded = recorded(
    paired_terms,
    ELBOTerms,
    fixed=("names", "unimodal_on_complete_rows", "suppliers", "terms", "rows", "mean"),
)


@_recorded
def svae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    prior_expert: bool = False,
    prior: PriorLike = None,
    **options: Unpack[PairedTermOptions],
) -> System:
    """SVAE: a product of experts with stand-ins for what is missing.

    Objective: see :func:`ppl_mm.objectives.paired_terms`; single modalities' bounds count on
    complete rows too. Each term is a mean over the rows that it concerns.

    Args:
        modalities: Two or more; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        prior_expert: Whether p(z) is a factor of every product. The paper's equations have none;
            its released experiments had one, and variances in place of scales at the encoders'
            heads (``scale="softplus_variance"`` of the networks here).
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: ``unpaired`` of ``paired_terms``; ``beta``, ``num_particles``.

    Raises:
        ValueError: For one modality, or more than eight; for unknown options of the terms.

    Source: Kutuzova et al. 2021, eq. 3 to 10 and appendix D.
    """
    guide = ReplacementExperts(modalities, latent_dim, prior_expert=prior_expert, prior=prior)
    return _paired(guide, True, prior, options)


@_recorded
def svae_star(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    prior_expert: bool = False,
    prior: PriorLike = None,
    **options: Unpack[PairedTermOptions],
) -> System:
    """SVAE*: SVAE's encoders under VAEVAE's objective; otherwise as SVAE.

    Args:
        modalities: Two or more; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        prior_expert: Whether p(z) is a factor of every product, see :func:`svae`.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: The options of :func:`svae`.

    Raises:
        ValueError: For one modality, or more than eight; for unknown options of the terms.

    Source: Kutuzova et al. 2021, section 4.
    """
    guide = ReplacementExperts(modalities, latent_dim, prior_expert=prior_expert, prior=prior)
    return _paired(guide, False, prior, options)


@_recorded
def vaevae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    hidden: int | None = 512,
    activation: Activation = "relu",
    scale: ScaleMap = "exp",
    prior: PriorLike = None,
    **options: Unpack[PairedTermOptions],
) -> System:
    """VAEVAE: a joint network for every subset of the modalities.

    Objective: see :func:`ppl_mm.objectives.paired_terms`; a complete row has the joint terms alone.

    Args:
        modalities: Two or more; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        hidden: The width of the layer that joins the trunks, see
            :class:`ppl_mm.guides.JointNetwork`; None: no such layer.
        activation: The activation after that layer.
        scale: The map of a joint network's head to a positive scale.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: ``unpaired`` of ``paired_terms``; ``beta``, ``num_particles``.

    Raises:
        ValueError: For one modality, or more than eight; for unknown options of the terms.

    Source: Wu & Goodman 2019, arXiv:1912.05075; VAEVAE (b) of Kutuzova et al. 2021.
    """
    guide = JointNetwork(
        modalities,
        latent_dim,
        "all",
        hidden=hidden,
        prior=prior,
        activation=activation,
        scale=scale,
    )
    return _paired(guide, False, prior, options)


@_recorded
def vaevae_star(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    hidden: int | None = 512,
    activation: Activation = "relu",
    scale: ScaleMap = "exp",
    prior: PriorLike = None,
    **options: Unpack[PairedTermOptions],
) -> System:
    """VAEVAE*: VAEVAE's encoders under SVAE's objective; otherwise as VAEVAE.

    Args:
        modalities: Two or more; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        hidden: The width of the layer that joins the trunks, see
            :class:`ppl_mm.guides.JointNetwork`; None: no such layer.
        activation: The activation after that layer.
        scale: The map of a joint network's head to a positive scale.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: The options of :func:`vaevae`.

    Raises:
        ValueError: For one modality, or more than eight; for unknown options of the terms.

    Source: Kutuzova et al. 2021, section 4.
    """
    guide = JointNetwork(
        modalities,
        latent_dim,
        "all",
        hidden=hidden,
        prior=prior,
        activation=activation,
        scale=scale,
    )
    return _paired(guide, True, prior, options)


@_recorded
def vaevae_a(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    prior: PriorLike = None,
    **options: Unpack[PairedTermOptions],
) -> System:
    """VAEVAE (a): products of the single encoders, without the prior; otherwise as VAEVAE.

    Args:
        modalities: Two or more; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: The options of :func:`vaevae`.

    The product of good single posteriors is too narrow, as it counts the prior once for each.

    Raises:
        ValueError: For one modality, or more than eight; for unknown options of the terms.

    Source: Wu & Goodman 2019, arXiv:1912.05075; Kutuzova et al. 2021, section 3.
    """
    guide = ProductOfExperts(modalities, latent_dim, prior_expert=False, prior=prior)
    return _paired(guide, False, prior, options)


def _paired(
    guide: Program,
    unimodal_on_complete_rows: bool,
    prior: PriorLike,
    options: PairedTermOptions,
) -> System:
    modalities = check_modalities(guide.modalities)
    if len(modalities) < 2:
        raise ValueError("expected two modalities or more, got one; for one, use vae.")
    terms = paired_terms(
        guide.names,
        unimodal_on_complete_rows=unimodal_on_complete_rows,
        suppliers=isinstance(guide, ReplacementExperts),
        unpaired=options.get("unpaired", "all"),
    )
    own = {name: value for name, value in options.items() if name != "unpaired"}
    return System(
        SharedLatent(modalities, guide.latent_dim, prior=prior),
        guide,
        ELBOTerms(terms, rows="require", mean="rows", **cast(FixedTermOptions, own)),
    )
