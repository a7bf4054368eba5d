"""Systems whose joint encoder is a product (or quotient) of experts."""

from collections.abc import Sequence
from typing import Unpack

from ppl_mm.distributions.prior import PriorLike
from ppl_mm.guides import ProductOfExperts, QuotientOfExperts
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.models import SharedLatent
from ppl_mm.objectives import ELBOTerms, Term, subset_terms
from ppl_mm.objectives.elbo_terms import TermList
from ppl_mm.objectives.options import TermOptions, UnscaledTermOptions
from ppl_mm.systems.recorded import recorded
from ppl_mm.systems.system import System

__all__ = ["mvae", "mvae_q", "mvtcae", "vae"]


@recorded(ELBOTerms, fixed=("terms",))
def vae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    prior: PriorLike = None,
    **options: Unpack[TermOptions],
) -> System:
    """The variational autoencoder of one modality.

    Objective: E_{q(z|x)} log p(x|z) - beta KL(q(z|x) || p(z)).

    Args:
        modalities: The one modality.
        latent_dim: The size Z of the latent.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: ``beta``, ``num_particles`` as for :func:`mvae`.

    Raises:
        ValueError: For several modalities.

    Source: Kingma & Welling 2014, arXiv:1312.6114; without a prior expert, as in the tables of
    Wu & Goodman 2018.
    """
    modalities = check_modalities(modalities)
    if len(modalities) != 1:
        raise ValueError(
            f"vae: expected one modality, got {len(modalities)}: "
            f"{', '.join(m.name for m in modalities)}. For several, use mvae."
        )
    name = modalities[0].name
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        ProductOfExperts(modalities, latent_dim, prior_expert=False, prior=prior),
        ELBOTerms([Term((name,), (name,))], **options),
    )


@recorded(ELBOTerms)
def mvae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    terms: TermList | None = None,
    prior_expert: bool = True,
    prior: PriorLike = None,
    **options: Unpack[TermOptions],
) -> System:
    """MVAE: a product of experts with the prior, trained on subsets of the modalities.

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        terms: The objective's terms, see :class:`ppl_mm.objectives.ELBOTerms`; the default is
            ``subset_terms()``: the full set and each modality alone.
        prior_expert: Whether p(z) is a factor of every product.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: Further options of ``ELBOTerms``: ``beta``, ``num_particles``, ``dedupe``,
            ``shared_noise``.

    Source: Wu & Goodman 2018, arXiv:1802.05335.
    """
    terms = subset_terms() if terms is None else terms
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        ProductOfExperts(modalities, latent_dim, prior_expert=prior_expert, prior=prior),
        ELBOTerms(terms, **options),
    )


@recorded(ELBOTerms)
def mvae_q(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    terms: TermList | None = None,
    prior: PriorLike = None,
    **options: Unpack[TermOptions],
) -> System:
    """MVAE-Q: every expert is a full posterior, and surplus priors are divided out.

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        terms: The objective's terms, see :func:`mvae`.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: The options of :func:`mvae`.

    Source: Wu & Goodman 2018, arXiv:1802.05335, appendix C.
    """
    terms = subset_terms() if terms is None else terms
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        QuotientOfExperts(modalities, latent_dim, prior=prior),
        ELBOTerms(terms, **options),
    )


@recorded(ELBOTerms, fixed=("terms",))
def mvtcae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    alpha: float = 5 / 6,
    beta: float = 2.5,
    prior: PriorLike = None,
    **options: Unpack[UnscaledTermOptions],
) -> System:
    """MVTCAE: a product of experts without the prior, held close to every expert.

    Objective, with q the product of the experts q_m that a row has:

        (M - alpha) / M  sum_m lambda_m E_q log p(x_m | z)
        - beta { (1 - alpha) KL(q || p) + alpha / M  sum_m KL(q || q_m) }

    A missing modality leaves out its reconstruction and its KL; M stays.

    Args:
        modalities: The modalities; their ``weight`` is lambda_m.
        latent_dim: The size Z of the latent.
        alpha: The share of the experts' KLs, in [0, 1].
        beta: The factor of all KLs.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: ``num_particles``.

    Raises:
        ValueError: For alpha outside [0, 1].

    Source: Hwang et al. 2021, "Multi-view representation learning via total correlation
    objective", eq. 7.
    """
    modalities = check_modalities(modalities)
    if not 0 <= alpha <= 1:
        raise ValueError(f"mvtcae: expected alpha in [0, 1], got {alpha!r}.")
    names = tuple(m.name for m in modalities)
    share = alpha / len(names)
    terms = [Term(names, names, names, weight=1 - share), Term(names, (), (), weight=1 - alpha)]
    terms += [Term(names, (), (name,), weight=share, requires=(name,)) for name in names]
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        ProductOfExperts(modalities, latent_dim, prior_expert=False, prior=prior),
        ELBOTerms(terms, beta=beta, **options),
    )
