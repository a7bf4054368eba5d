"""Variational CCA: the encoder of one view, the one there at test time, explains all views."""

from collections.abc import Sequence
from typing import Unpack

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.distributions.prior import PriorLike
from ppl_mm.guides import SharedPrivate as SharedPrivateGuide
from ppl_mm.guides import SingleExpert
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.models import SharedLatent
from ppl_mm.models import SharedPrivate as SharedPrivateModel
from ppl_mm.objectives import ELBOTerms, Term
from ppl_mm.objectives.options import TermOptions
from ppl_mm.systems.mixtures import PrivateDim
from ppl_mm.systems.recorded import recorded
from ppl_mm.systems.system import System

__all__ = ["vcca", "vcca_private"]


@recorded(ELBOTerms, fixed=("terms",))
def vcca(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    view: str | None = None,
    prior: PriorLike = None,
    **options: Unpack[TermOptions],
) -> System:
    """VCCA: the encoder of the view at test time explains all views.

    Objective, with x_1 the view:

        E_{q(z | x_1)} sum_m lambda_m log p(x_m | z) - beta KL(q(z | x_1) || p(z))

    a bound on log p(x) at lambda = beta = 1, and on that of what a row holds where it lacks other
    views. A row that lacks x_1 contributes nothing in training, and has the posterior p(z): its
    likelihoods are estimated by draws of the prior, right but of a large standard error.

    Args:
        modalities: The views; their ``weight`` is lambda_m in the objective.
        latent_dim: The size Z of the latent.
        view: The view x_1 that there is at test time; the first of the modalities by default.
            The others' encoders are not built.
        prior: p(z), a fixed Normal or Laplace; None for Normal(0, I).
        **options: ``beta``, ``num_particles``.

    Raises:
        ValueError: For an unknown view.

    Source: Wang et al. 2016, arXiv:1610.03454, section 3.1.
    """
    modalities = check_modalities(modalities)
    view = _view(view, modalities)
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        SingleExpert(modalities, latent_dim, prior, of=(view,)),
        _objective(view, modalities, options),
    )


@recorded(ELBOTerms, fixed=("terms",))
def vcca_private(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    private_dim: PrivateDim | None = None,
    view: str | None = None,
    prior: PriorLike = None,
    **options: Unpack[TermOptions],
) -> System:
    """VCCA-private: VCCA with a private latent a view besides, from the view's own encoder.

    Objective, with x_1 the view:

        E_{q(u | x_1) prod_m q(w_m | x_m)} sum_m lambda_m log p(x_m | u, w_m)
            - beta [ KL(q(u | x_1) || p(u)) + sum_m KL(q(w_m | x_m) || p(w_m)) ]

    Rows that lack a view are as in :func:`vcca`, with w_m ~ p(w_m) where they lack x_m. A view is
    generated from others with its private latent drawn from p(w_m).

    Args:
        modalities: The views; their ``weight`` is lambda_m in the objective.
        latent_dim: The size U of the shared latent.
        private_dim: The size of every w_m, or of each by name; U by default.
        view: The view x_1 that there is at test time; the first of the modalities by default.
        prior: p(u), a fixed Normal or Laplace; None for Normal(0, I). The private priors are
            standard ones of its family.
        **options: ``beta``, ``num_particles``.

    Raises:
        ValueError: For an unknown view, or private sizes of unknown modalities.

    Source: Wang et al. 2016, arXiv:1610.03454, section 3.3.
    """
    modalities = check_modalities(modalities)
    view = _view(view, modalities)
    shared = SingleExpert(modalities, latent_dim, prior, of=(view,))
    size = latent_dim if private_dim is None else private_dim
    return System(
        SharedPrivateModel(modalities, latent_dim, size, prior=shared.prior),
        SharedPrivateGuide(shared, size),
        _objective(view, modalities, options),
    )


def _view(view: str | None, modalities: Sequence[Modality]) -> str:
    names = [m.name for m in modalities]
    if view is not None and view not in names:
        raise ValueError(unknown_name("view", view, names))
    return names[0] if view is None else view


def _objective(view: str, modalities: Sequence[Modality], options: TermOptions) -> ELBOTerms:
    every = tuple(m.name for m in modalities)
    return ELBOTerms([Term((view,), every)], **options)
