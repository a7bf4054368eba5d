"""Systems with a joint network, and those of one encoder at a time."""

from collections.abc import Mapping, Sequence
from typing import Literal, Unpack

from ppl_mm.distributions.prior import PriorLike
from ppl_mm.guides import JointNetwork, ProductOfExperts, ZeroFilledNetwork
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.models import SharedLatent
from ppl_mm.networks.layers import Activation
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.objectives import ELBOTerms, Objective, Stages, Term
from ppl_mm.objectives.objective import check_weights
from ppl_mm.objectives.options import RequiredTermOptions, TermOptions
from ppl_mm.systems.recorded import recorded
from ppl_mm.systems.system import System

__all__ = ["bivcca", "jmvae", "jmvae_zero", "telbo"]


@recorded(ELBOTerms, fixed=("terms", "rows"))
def jmvae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    alpha: float = 1.0,
    hidden: int | None = 512,
    activation: Activation = "relu",
    scale: ScaleMap = "exp",
    prior: PriorLike = None,
    **options: Unpack[RequiredTermOptions],
) -> System:
    """JMVAE-kl: a joint network, and single encoders that learn from it.

    Objective, on complete rows:

        E_q sum_m lambda_m log p(x_m | z) - beta { KL(q || p) + alpha sum_m KL(q || q_m) }

    with q = q(z | x_1, ..., x_M) the joint network. A row that lacks a modality contributes
    nothing in training; asked for its posterior, it gets its encoder's, or the product of several.

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        alpha: The factor of the encoders' KLs. Small: a better joint ELBO; large: better
            generation of one modality from another; 0 leaves the encoders untrained.
        hidden: The width of the layer that joins the trunks, see
            :class:`ppl_mm.guides.JointNetwork`; None: no such layer.
        activation: The activation after that layer.
        scale: The map of a joint network's head to a positive scale.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: ``beta``, ``num_particles``.

    Raises:
        ValueError: For alpha below 0.

    Source: Suzuki, Nakayama & Matsuo 2016, arXiv:1611.01891, eq. 5. Differs: beta, which the paper
    does not have, is a factor of every KL.
    """
    modalities = check_modalities(modalities)
    names = tuple(m.name for m in modalities)
    terms = [Term(names, names), *(Term(names, (), (n,), weight=alpha) for n in names)]
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        JointNetwork(
            modalities,
            latent_dim,
            hidden=hidden,
            prior=prior,
            activation=activation,
            scale=scale,
        ),
        ELBOTerms(terms, rows="require", **options),
    )


@recorded(ELBOTerms, fixed=("terms", "rows"))
def jmvae_zero(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    hidden: int | None = 512,
    activation: Activation = "relu",
    scale: ScaleMap = "exp",
    prior: PriorLike = None,
    **options: Unpack[RequiredTermOptions],
) -> System:
    """JMVAE-zero: one joint network, which is fed zeros for what is missing.

    Objective, on complete rows: E_q sum_m lambda_m log p(x_m | z) - beta KL(q || p), with
    q = q(z | x_1, ..., x_M). A row that lacks a modality contributes nothing in training; asked for
    its posterior, it gets the network's on zeros in place of what it lacks, which the network was
    not trained on (features of zeros for classes and symbols, see
    :class:`ppl_mm.guides.ZeroFilledNetwork`).

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        hidden: The width of the layer that joins the trunks, see
            :class:`ppl_mm.guides.JointNetwork`; None: no such layer.
        activation: The activation after that layer.
        scale: The map of the network's head to a positive scale.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: ``beta``, ``num_particles``.

    Source: Suzuki, Nakayama & Matsuo 2016, arXiv:1611.01891, section 3.2.
    """
    modalities = check_modalities(modalities)
    names = tuple(m.name for m in modalities)
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        ZeroFilledNetwork(
            modalities,
            latent_dim,
            hidden=hidden,
            prior=prior,
            activation=activation,
            scale=scale,
        ),
        ELBOTerms([Term(names, names)], rows="require", **options),
    )


@recorded(ELBOTerms, fixed=("terms", "rows"))
def telbo(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    gammas: float | Mapping[str, float] = 1.0,
    decoders: Literal["joint", "all"] = "joint",
    first_stage: int | None = None,
    hidden: int | None = 512,
    activation: Activation = "relu",
    scale: ScaleMap = "exp",
    prior: PriorLike = None,
    **options: Unpack[RequiredTermOptions],
) -> System:
    """TELBO: a joint network and single encoders, each with an ELBO of its own.

    Objective, the first term on complete rows, the others on rows that hold x_m:

        E_q sum_m lambda_m log p(x_m | z) - beta KL(q || p)
        + sum_m { gamma_m E_{q_m} log p(x_m | z) - beta KL(q_m || p) }

    with q = q(z | x_1, ..., x_M) the joint network. No term ties q_m to q but the decoders, which
    should therefore be those of the joint ELBO. Asked for its posterior, a row that lacks a
    modality gets its encoder's, or the product of several.

    Args:
        modalities: Two or more; their ``weight`` is lambda_m in the joint term.
        latent_dim: The size Z of the latent.
        gammas: gamma_m, one number or one a modality (1 where not named).
        decoders: The terms that the decoders learn from: ``"joint"``, the joint term alone, the
            model a constant in the others; or ``"all"`` terms.
        first_stage: The number of epochs of the first of two stages, which has the joint term
            alone, then the single terms alone, with model and joint network fixed. None: all at
            once.
        hidden: The width of the layer that joins the trunks, see
            :class:`ppl_mm.guides.JointNetwork`; None: no such layer.
        activation: The activation after that layer.
        scale: The map of a joint network's head to a positive scale.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: ``beta``, ``num_particles``; ``mean="terms"`` averages the terms that a row
            has, as the release does.

    Raises:
        ValueError: For one modality, gammas of unknown modalities or below 0, unknown
            ``decoders``, or decoders that learn from all terms in two stages.

    Source: Vedantam, Fischer, Huang & Murphy 2018, arXiv:1705.10762, eq. 3 and its release.
    Differs: their product of several single encoders has p(z) as a factor.
    """
    modalities = check_modalities(modalities)
    names = tuple(m.name for m in modalities)
    if len(names) < 2:
        raise ValueError("telbo: expected two modalities or more, got one; for one, use vae.")
    if decoders == "all" and first_stage is not None:
        raise ValueError("telbo: in two stages the decoders learn from the joint term alone.")
    given = gammas if isinstance(gammas, Mapping) else dict.fromkeys(names, gammas)
    check_weights(given, 1.0, names)
    fixed = decoders == "joint"
    joint = [Term(names, names)]
    single = [Term((n,), (n,), lambdas={n: given.get(n, 1.0)}, fixed_model=fixed) for n in names]

    def terms(chosen: list[Term]) -> Objective:
        return ELBOTerms(chosen, rows="require", **options)

    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        JointNetwork(
            modalities,
            latent_dim,
            hidden=hidden,
            prior=prior,
            activation=activation,
            scale=scale,
        ),
        terms(joint + single)
        if first_stage is None
        else Stages([terms(joint), terms(single)], epochs=[first_stage]),
    )


@recorded(ELBOTerms, fixed=("terms",))
def bivcca(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    shares: Mapping[str, float] | None = None,
    prior: PriorLike = None,
    **options: Unpack[TermOptions],
) -> System:
    """BiVCCA: every encoder alone explains all modalities, in a weighted sum.

    Objective: sum_m share_m { E_{q_m} sum_n lambda_n log p(x_n | z) - beta KL(q_m || p) }. Each
    term is a lower bound on log p(x). A row that lacks x_m leaves out the term of q_m.

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        shares: The weight of each modality's term, 0 where not named; equal ones, 1 / M, by
            default.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: ``beta``, ``num_particles``.

    Several modalities to condition on have the product of their experts, which no term trains.

    Raises:
        ValueError: For shares of unknown modalities, below 0 or not finite, or all 0.

    Source: Wang et al. 2016, arXiv:1610.03454, section 3.2.
    """
    modalities = check_modalities(modalities)
    names = tuple(m.name for m in modalities)
    given = dict.fromkeys(names, 1.0 / len(names)) if shares is None else dict(shares)
    check_weights(given, 1.0, names)
    if not any(given.values()):
        raise ValueError(f"bivcca: expected shares of which one at least is above 0, got {given}.")
    terms = [Term((n,), names, weight=given[n]) for n in names if given.get(n)]
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        ProductOfExperts(modalities, latent_dim, prior_expert=False, prior=prior),
        ELBOTerms(terms, **options),
    )
