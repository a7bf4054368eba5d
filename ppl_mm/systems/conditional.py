"""Systems whose model conditions on some of the modalities."""

from collections.abc import Sequence
from typing import Any, Unpack

from ppl_mm.distributions import ObservedPrior
from ppl_mm.distributions.prior import PriorLike
from ppl_mm.guides import ConditionalNetwork, ConditionalPosterior
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.models import ConditionalDecoder, ConditionalPrior
from ppl_mm.networks.layers import Activation, draw_normal
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.objectives import ConditionalMMD, ELBOTerms, Term
from ppl_mm.objectives.options import ConditionalMMDOptions, RequiredTermOptions
from ppl_mm.systems.recorded import recorded
from ppl_mm.systems.system import System

__all__ = ["cmmd", "cvae"]


@recorded(ELBOTerms, fixed=("terms", "rows"))
def cvae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    given: Sequence[str] = ("label",),
    hidden: Sequence[int] = (512, 512),
    activation: Activation = "silu",
    scale: ScaleMap = "exp",
    prior: PriorLike = None,
    **options: Unpack[RequiredTermOptions],
) -> System:
    """CVAE: decoders and a joint network that see what is given, of which there is no density.

    Objective, on complete rows:

        E_{q(z | x_targets, x_given)} sum_t lambda_t log p(x_t | z, x_given) - beta KL(q || p(z))

    a bound on log p(x_targets | x_given) at lambda = beta = 1. A row that lacks a modality
    contributes nothing in training. Likelihoods, generation and predictions need rows that hold
    all that is given, and say so by an error; a row that lacks a target has the posterior p(z).

    Args:
        modalities: Targets and given ones. A target's ``weight`` is lambda_t, and its decoder takes
            Z + F features, F those of the given ones; a given modality's networks are not used
            except its ``features``: one trunk for the model and one for the guide.
        latent_dim: The size Z of the latent.
        given: The modalities conditioned on.
        hidden: The sizes of the layers that join the features of all modalities in the guide, see
            :class:`ppl_mm.guides.ConditionalNetwork`.
        activation: The activation after these layers.
        scale: The map of the guide's head to a positive scale.
        prior: p(z), a fixed Normal, which does not depend on x_given; None for Normal(0, I).
        **options: ``beta``, ``num_particles``.

    Raises:
        ValueError: For nothing given, unknown names, or no target left.

    Sources: Sohn, Lee & Yan 2015; Wu & Goodman 2018, arXiv:1802.05335, tables 1 and 2.
    """
    modalities = check_modalities(modalities)
    model = ConditionalDecoder(modalities, latent_dim, given, prior=prior)
    guide = ConditionalNetwork(
        modalities, latent_dim, given, hidden, prior=prior, activation=activation, scale=scale
    )
    term = Term(model.names, tuple(model.decoders))
    objective = ELBOTerms([term], rows="require", **options)
    return System(model, guide, objective)


@recorded(ConditionalMMD)
def cmmd(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    observed: Sequence[str],
    label: str | None = None,
    omega: float = 0.5,
    hidden: Sequence[int] = (512, 512),
    prior_hidden: Sequence[int] = (512, 512),
    activation: Activation = "silu",
    dropout: float = 0.0,
    scale: ScaleMap = "exp",
    init_scale: float | None = None,
    vectorised: bool = False,
    condition_decoder_on_observed: bool = True,
    **options: Unpack[ConditionalMMDOptions],
) -> System:
    """CMMD: a prior that sees what is always observed, and a label and the rest from its latent.

    Objective: :class:`ppl_mm.objectives.ConditionalMMD`, the ELBO of log p(x_M, y | x_O) in which
    1 - omega of the KL is an MMD, the label predicted from the prior. A row that lacks an observed
    modality contributes nothing.

    In use x_O suffices: ``accuracy(system, obs, label, given=observed)`` and ``generate(...,
    given=observed)`` take z from p(z | x_O). Give no more to predict the label: its decoder learns
    from that prior alone, and the guide of rows that hold more, but no label, only from such rows.
    For log p(label | x_O) take ``proposal="defensive"`` or ``"prior"`` for the same reason.

    Args:
        modalities: The observed ones, the others, and the label. Their ``weight`` is lambda_m. An
            observed modality's decoder is not used, and no encoder is; its ``features`` are: one
            trunk for the prior, one for the guide, and one for the decoders.
        latent_dim: The size Z of the latent.
        observed: The names of the modalities O.
        label: The name of y; None, without labels, for a first stage, from which
            :meth:`System.start_from` goes on.
        omega: The share of the KL, in [0, 1]; choose it by validation.
        hidden: The sizes of the layers that join the features of all modalities in the guide.
        prior_hidden: The sizes of the hidden layers of the prior.
        activation: The activation after these layers.
        dropout: The probability of dropout after each of them.
        scale: The map of the guide's and the prior's head to a positive scale.
        init_scale: The standard deviation of the Normal that the weights of all networks start
            at, with biases of 0; None for torch's own start.
        vectorised: Whether the guide sees flattened values in place of ``features``.
        condition_decoder_on_observed: Whether the decoders but the label's see x_O besides z.
        **options: ``alpha``, ``mmd_weight`` (lambda), ``kernel``, ``estimator``, ``classify``,
            ``label_reduction``, ``num_particles``, ``beta``.

    The paper's networks of appendix C: ``hidden=(2500,) * 3, prior_hidden=(1024,) * 3,
    activation="softplus", dropout=0.2, init_scale=1e-3`` (two views of MNIST); those of appendix H:
    ``hidden=(2500,) * 3, prior_hidden=(), vectorised=True, condition_decoder_on_observed=False``
    and ``features`` of the modalities. Its release has ``label_reduction="sum"``. At learning rates
    above its 1e-4 the scales, exponentials without a bound, may run away in one step, and Adam
    remembers the gradients of that step for thousands: the latent then stays collapsed. Bound the
    gradient, ``fit(clip_norm=...)`` at some times its usual norm, or take ``scale="softplus"``.

    Raises:
        ValueError: For nothing observed, all modalities observed, unknown names, or a label that
            is observed.

    Source: Mancisidor, Kampffmeyer, Aas & Jenssen 2023, doi:10.1016/j.neunet.2023.10.048.

    Example:
        >>> from ppl_mm import data, fit
        >>> digits = data.load("digits")
        >>> system = cmmd(digits.modalities, 8, observed=("top",), label="label")
        >>> result = fit(system, digits.train[:100], epochs=1, progress=False)
        >>> "surrogate" in result.history[0]
        True
    """
    modalities = check_modalities(modalities)
    shared: dict[str, Any] = {"activation": activation, "dropout": dropout, "scale": scale}
    prior = ObservedPrior(modalities, latent_dim, observed, prior_hidden, **shared)
    model = ConditionalPrior(
        modalities,
        latent_dim,
        observed,
        label,
        prior=prior,
        condition_decoder_on_observed=condition_decoder_on_observed,
    )
    guide = ConditionalPosterior(
        modalities,
        latent_dim,
        prior,
        label,
        hidden,
        in_features=model.in_features,
        vectorised=vectorised,
        **shared,
    )
    objective = ConditionalMMD(omega, **options)
    system = System(model, guide, objective)
    if init_scale is not None:
        draw_normal(system, init_scale)
    return system
