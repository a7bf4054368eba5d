"""A latent with a network of the observed modalities as its prior; it generates the rest.

    z   ~ p(z | x_O) = Normal( loc(x_O), scale(x_O) )     z: (Z,)
    y   ~ p(y | z)                                        the label, if there is one
    x_m ~ p_m(x_m | z, x_O), or p_m(x_m | z)              m in M, what is missing in use

The observed modalities O are conditioned on and have no density. M is all the rest
without the label, and may be empty. The generative side of CMMD (Mancisidor, Kampffmeyer, Aas &
Jenssen 2023, doi:10.1016/j.neunet.2023.10.048, eq. 1).
Sites: ``z``, and one observed site for the label and for each modality of M. Plate: ``data`` at
dim -1. A row that lacks the label or a modality of M, or in which it is not scored, adds exactly 0
for it. A row that lacks an observed modality adds 0 altogether, as the model then says nothing.
"""

from collections.abc import Sequence

import pyro
from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import Decoded, ObservedPrior
from ppl_mm.modality import Modality
from ppl_mm.programs.conditioning import (
    Context,
    check_label,
    holds,
    joined,
    nan_unless_held,
    undrawable,
)
from ppl_mm.programs.networks import check_decoder, decoder_of
from ppl_mm.programs.program import Program

__all__ = ["ConditionalPrior"]


@typed
class ConditionalPrior(Program):
    """p(z | x_O) p(y | z) prod over m in M of p_m(x_m | z, x_O), a Pyro program of Observations.

    Args:
        modalities: The observed modalities, the others, and the label, which is a modality like any
            other, with any likelihood (Categorical, Bernoulli, MultiLabel).
        latent_dim: Z, the size of the latent.
        observed: The names of the observed modalities O.
        label: The name of y, whose decoder sees z alone; None for no label.
        prior: p(z | x_O), an :class:`ppl_mm.distributions.ObservedPrior` of these modalities; None
            for a new one.
        condition_decoder_on_observed: Whether the decoders of M take Z + F features, z first, then
            those of the observed modalities in the order of their names (``features()`` of the
            modality, a trunk of the model's own; by default its flattened values, classes and
            symbols one-hot). If not, they take z.

    A modality that the observations lack altogether is drawn, and then every row must hold what is
    observed. Where Pyro's validation is off and the likelihood can draw NaN, the other rows get
    NaN.

    Raises:
        ValueError: For nothing observed, all modalities observed, unknown names, a label that is
            observed, or a prior of others; when run, for a draw of a row that lacks what is
            observed.
        TypeError: For an observed modality whose features must be declared.

    Example:
        >>> from pyro.infer import Predictive
        >>> from ppl_mm import data
        >>> digits = data.load("digits")
        >>> model = ConditionalPrior(digits.modalities, 8, observed=("top",), label="label")
        >>> model.conditions_on, list(model.decoders)
        (('top',), ['bottom', 'label'])
        >>> Predictive(model, num_samples=5)(digits.test[:3].drop("bottom"))["bottom"].shape
        torch.Size([5, 3, 4, 8])
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        observed: Sequence[str],
        label: str | None = None,
        *,
        prior: ObservedPrior | None = None,
        condition_decoder_on_observed: bool = True,
    ) -> None:
        super().__init__(modalities, latent_dim)
        if prior is None:
            prior = ObservedPrior(self.modalities, latent_dim, observed)
        elif set(prior.names) != set(observed):
            raise ValueError(
                f"the prior looks at {', '.join(prior.names)}, and observed are "
                f"{', '.join(observed)}; build it with the same."
            )
        self.prior, self.conditions_on = prior, prior.names
        self.label = check_label(label, self.names, prior.names)
        targets = [m for m in self.modalities if m.name not in self.conditions_on]
        self.context: Context | None = None
        if condition_decoder_on_observed and any(m.name != label for m in targets):
            self.context = Context(self.modalities, latent_dim, prior.names)
        seen = latent_dim + (0 if self.context is None else self.context.out_features)
        self.in_features = {m.name: latent_dim if m.name == label else seen for m in targets}
        self.likelihoods = {m.name: m.likelihood for m in targets}
        self.decoders = nn.ModuleDict(
            {m.name: decoder_of(m, self.in_features[m.name]) for m in targets}
        )

    def forward(self, obs: Observations) -> None:
        """Run the generative story; the plates are those of ``obs``."""
        self.check_names(obs)
        held = holds(obs, self.conditions_on)  # (B,)
        with obs.plates():
            z = pyro.sample("z", self.prior(obs))  # (K?, S?, B, Z)
            z = nan_unless_held(held, z)
            seen = z if self.context is None else joined(z, self.context(obs)[0])  # (..., Z + F)
            for name, decoder in self.decoders.items():
                x, scored = obs.filled(name)  # (B, *D_m), (S?, B)
                where, event_shape = (True, None) if x is None else (scored & held, x.shape[1:])
                inputs = z if name == self.label else seen
                p = Decoded(
                    self.likelihoods[name],
                    decoder,
                    inputs,
                    where,
                    event_shape,
                    name=name,
                    undrawable=undrawable(name, obs, self.conditions_on),
                    covariates=obs.covariates,
                )
                pyro.sample(name, p, obs=x)

    def check(self, obs: Observations) -> None:
        """Raise unless the observed values fit the decoders, the likelihoods and the features."""
        self.check_names(obs)
        self.prior.check(obs)
        if self.context is not None:
            self.context.check(obs)
        for name, decoder in self.decoders.items():
            check_decoder(name, self.likelihoods[name], decoder, self.in_features[name], obs)
