"""Systems with a mixture posterior, and those with shared and private latents.

What keeps their training finite. Where experts overlap little, a draw of one has a log-density of
-1e4 and less under another, and Laplace scales under a softmax share a budget, so that some fall
to their floor; the MMVAE+ paper reports runs that diverge. Here densities and log-sum-exps are in
float32 at least, whatever the networks' precision; scales have a floor (``min_scale`` of encoders,
1e-6; raise it to 1e-3 first); ``fit(clip_norm=...)`` bounds a step; and a loss or a parameter that
is not finite stops ``fit`` with the state of the last good epoch. The tests train every one of
these systems from five seeds at 30 times the usual learning rate.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Unpack

from ppl_mm.distributions import LearnedScale
from ppl_mm.distributions.prior import PriorLike, PriorScale, as_prior
from ppl_mm.guides import Mixture, MixtureOfExperts, MixtureOfProducts, ProductOfExperts
from ppl_mm.guides import SharedPrivate as SharedPrivateGuide
from ppl_mm.guides.experts import Experts
from ppl_mm.guides.product_of_experts import PriorExpert
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.models import SharedLatent
from ppl_mm.models import SharedPrivate as SharedPrivateModel
from ppl_mm.objectives import IWAE, DReG, ELBOTerms, MixtureELBO, Term
from ppl_mm.objectives.options import (
    Divergence,
    ImportanceOptions,
    MixtureOptions,
    PrivateImportanceOptions,
    PrivateSource,
    TermOptions,
)
from ppl_mm.programs.contracts import Family
from ppl_mm.programs.program import Program
from ppl_mm.systems.recorded import recorded
from ppl_mm.systems.system import System

__all__ = ["dmvae", "mmjsd", "mmvae", "mmvae_plus", "mopoe"]

Importance = Literal["dreg", "iwae", "elbo"]
PrivateDim = int | Mapping[str, int]


@recorded(IWAE)
def mmvae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    objective: Importance = "dreg",
    num_particles: int | None = None,
    family: Family = "laplace",
    prior: PriorLike = None,
    **options: Unpack[ImportanceOptions],
) -> System:
    """MMVAE: a mixture of the modalities' experts, under importance-weighted bounds.

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        objective: ``"dreg"``, ``"iwae"`` or ``"elbo"`` (K = 1), over strata, see
            :class:`ppl_mm.objectives.IWAE`.
        num_particles: The number K of draws from each expert; 10 by default.
        family: ``"laplace"`` or ``"normal"``, of prior and experts. Laplace experts want encoders
            with ``scale="softmax"``.
        prior: p(z), such as ``"laplace"`` for a fixed one; None for one of the family whose scale
            is learned. See :class:`ppl_mm.guides.Experts`.
        **options: ``form``, ``beta``.

    Raises:
        ValueError: For an unknown objective or family, or several particles of ``"elbo"``.

    Source: Shi et al. 2019, arXiv:1911.03393.
    """
    prior = as_prior(LearnedScale(latent_dim, family) if prior is None else prior, latent_dim)
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        MixtureOfExperts(modalities, latent_dim, prior=prior),
        _importance(objective, num_particles, modalities, options),
    )


@recorded(MixtureELBO)
def mopoe(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    private_dim: PrivateDim | None = None,
    divergence: Divergence = "components",
    prior_expert: PriorExpert = False,
    subsets: Sequence[Sequence[str]] | None = None,
    prior: PriorLike = None,
    **options: Unpack[MixtureOptions],
) -> System:
    """MoPoE: a mixture of products of experts over all subsets of the modalities.

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: The size of z, or of u.
        private_dim: The size of private latents besides, of all or by name; None for none.
        divergence: ``"components"`` as in the release, or ``"mixture"``, the tighter bound, see
            :class:`ppl_mm.objectives.MixtureELBO`.
        prior_expert: See :class:`ppl_mm.guides.MixtureOfProducts`; ``"full"`` as in the release.
        subsets: Those of the mixture, in place of all 2^M - 1: with many modalities, such as each
            alone, all together, and some between.
        prior: p(z) or p(u), a fixed Normal; None for Normal(0, I).
        **options: ``beta``, ``num_particles``; ``strata``: of how many subsets, random ones, each
            row draws, see :class:`ppl_mm.objectives.MixtureELBO`.

    Every step has the posteriors of all subsets, and decodes the draws of all, or of ``strata``.
    With five modalities take ``strata=1``, as the release does: on PolyMNIST a step takes a
    fourteenth of the time, and a given bound is reached in a twelfth.

    Raises:
        ValueError: For more than eight modalities without ``subsets``.

    Source: Sutter et al. 2021, arXiv:2105.02470.
    """
    guide = (
        MixtureOfProducts(modalities, latent_dim, prior_expert, prior)
        if subsets is None
        else Mixture(ProductOfExperts(modalities, latent_dim, prior_expert, prior), subsets)
    )
    return System(
        *_programs(guide, private_dim),
        MixtureELBO(divergence, **options),
    )


@recorded(IWAE)
def mmvae_plus(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    private_dim: PrivateDim | None = None,
    objective: Importance = "dreg",
    num_particles: int | None = None,
    family: Family = "laplace",
    scale_map: PriorScale | None = None,
    private: PrivateSource = "auxiliary",
    prior: PriorLike = None,
    **options: Unpack[PrivateImportanceOptions],
) -> System:
    """MMVAE+: a mixture of experts for a shared latent, private latents with auxiliary priors.

    The stratum of expert m draws u and w_m from q_m, explains x_m with them, and every other x_n
    with u and a w_n from the auxiliary prior r_n, whose scale is learned.

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: The size of u.
        private_dim: The size of every w_m, or of each by name; U by default.
        objective: ``"dreg"``, ``"iwae"`` or ``"elbo"`` (K = 1), over strata.
        num_particles: The number K of draws from each expert; 10 by default.
        family: ``"laplace"`` or ``"normal"``, of priors and experts; see :func:`mmvae`.
        scale_map: The parameterisation of the auxiliary priors' scales, see
            :class:`ppl_mm.distributions.LearnedScale`; by default the family's.
        private: ``"auxiliary"``; ``"prior"`` for w_n from p(w_n), a lower bound on log p(x);
            ``"posterior"`` for w_n from its own encoder in every stratum: a bound too, and near
            the paper's "factorised" ablation, which leaves out those w_n's densities.
        prior: p(u), in place of a standard one of the family.
        **options: ``form``, ``strata``, ``beta``, see :class:`ppl_mm.objectives.IWAE`.

    Raises:
        ValueError: For an unknown objective, family or ``private``, several particles of
            ``"elbo"``, or private sizes of unknown modalities.

    Source: Palumbo, Daunhawer & Vogt 2023, "MMVAE+: Enhancing the generative quality of
    multimodal VAEs without compromises".
    """
    guide = MixtureOfExperts(modalities, latent_dim, family if prior is None else prior)
    auxiliary: PriorScale = scale_map or ("softmax" if family == "laplace" else "softplus")
    return System(
        *_programs(guide, latent_dim if private_dim is None else private_dim, auxiliary),
        _importance(objective, num_particles, modalities, {**options, "private": private}),
    )


@recorded(MixtureELBO, fixed=("divergence",))
def mmjsd(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    private_dim: PrivateDim | None = None,
    prior: PriorLike = None,
    **options: Unpack[MixtureOptions],
) -> System:
    """mmJSD: a mixture of experts held together by a Jensen-Shannon divergence.

    Objective: sum_m lambda_m E log p(x_m | u, w_m) - beta [ JS(p, q_1, ..., q_M)
    + sum_m KL(q_m(w_m) || p) ], see :class:`ppl_mm.objectives.MixtureELBO`.

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: The size of z, or of u.
        private_dim: The size of private latents, of all or by name; None for none.
        prior: p(z) or p(u), a fixed Normal; None for Normal(0, I).
        **options: ``beta``, ``num_particles``, and ``weights``, of which ``{"w_m": 2.0}`` doubles
            KL(q_m(w_m) || p).

    Source: Sutter et al. 2020, arXiv:2006.08242.
    """
    guide = MixtureOfExperts(modalities, latent_dim, prior)
    return System(
        *_programs(guide, private_dim),
        MixtureELBO("jensen_shannon", **options),
    )


@recorded(ELBOTerms, fixed=("terms",))
def dmvae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    private_dim: PrivateDim | None = None,
    shared_kl: Literal["once", "per_target"] = "once",
    prior: PriorLike = None,
    **options: Unpack[TermOptions],
) -> System:
    """DMVAE: shared and private latents; every modality explained from every shared source.

    Objective, with the shared source r the product of all experts (and the prior) or one expert:

        sum_r { sum_m lambda_m E_{r(u) q_m(w_m)} log p(x_m | u, w_m)
                - beta [ KL(r(u) || p) + sum_m KL(q_m(w_m) || p) ] }

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: The size U of the shared latent.
        private_dim: The size of every w_m, or of each by name; U by default.
        shared_kl: ``"once"``: as above. ``"per_target"``: KL(r(u) || p) once for every m that is
            explained (the paper read literally).
        prior: p(u), a fixed Normal; None for Normal(0, I).
        **options: ``beta``, ``num_particles``.

    A missing modality leaves out its expert, its source and its reconstruction, and as a target of
    ``"per_target"`` its KL.

    Raises:
        ValueError: For an unknown ``shared_kl``, or private sizes of unknown modalities.

    Source: Lee & Pavlovic 2021, "Private-shared disentangled multimodal VAE for learning of
    latent representations".
    """
    modalities = check_modalities(modalities)
    names = tuple(m.name for m in modalities)
    sources = [names, *((name,) for name in names)]
    if shared_kl == "once":
        terms = [Term(source, names) for source in sources]
    else:  # a target that a row lacks costs it nothing
        terms = [Term(source, (n,), requires=(n,)) for source in sources for n in names]
    guide = ProductOfExperts(modalities, latent_dim, prior_expert="several", prior=prior)
    return System(
        *_programs(guide, latent_dim if private_dim is None else private_dim),
        ELBOTerms(terms, **options),
    )


def _programs(
    guide: Experts | Mixture, private_dim: PrivateDim | None, auxiliary: PriorScale | None = None
) -> tuple[Program, Program]:
    """The model and the guide, with private latents where a size is given."""
    modalities, latent_dim = guide.modalities, guide.latent_dim
    prior = guide.prior
    if private_dim is None:
        return SharedLatent(modalities, latent_dim, prior=prior), guide
    model = SharedPrivateModel(modalities, latent_dim, private_dim, prior=prior)
    return model, SharedPrivateGuide(guide, private_dim, auxiliary=auxiliary)


def _importance(
    objective: Importance,
    num_particles: int | None,
    modalities: Sequence[Modality],
    options: ImportanceOptions,
) -> IWAE | DReG:
    classes = {"dreg": DReG, "iwae": IWAE, "elbo": IWAE}
    if objective == "elbo" and num_particles not in (None, 1):
        raise ValueError(
            f"objective='elbo' draws one particle, got num_particles={num_particles}; use 'iwae' "
            "or 'dreg'."
        )
    number = 1 if objective == "elbo" else 10 if num_particles is None else num_particles
    return classes[objective](number, **options)
