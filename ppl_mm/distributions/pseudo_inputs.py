"""Priors made of encoders: the average posterior of pseudo-inputs.

    p_m(z)  =  (1/N) sum_i e_m(z | u_i)        u_1, ..., u_N: pseudo-inputs of modality m
    p(z)    =  (1/R) sum over the R modalities of p_m(z)

Sources: Tomczak & Welling 2018, arXiv:1705.07120 (VampPrior); Joy et al. 2022, arXiv:2106.12570,
eq. 4 (MEME), whose lambda_m is {u_1, ..., u_N}.
"""

import functools
from collections.abc import Callable, Sequence
from typing import ClassVar, cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.checks import check_at_least_one, check_encoded
from ppl_mm.batch.covariates import Covariates, columns_for
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import dtype_of, run_network, running_statistics
from ppl_mm.distributions.mixture import RandomMixture
from ppl_mm.distributions.normal_mixture import normal_mixture
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.programs.networks import check_encoder, encoder_of

__all__ = ["EncodedMixture", "PseudoInputPrior"]


class EncodedMixture(TorchDistribution):
    """The uniform mixture of N diagonal Normals, encoded when they are first needed.

        log p(z)  =  logsumexp_i log Normal(z; loc_i, scale_i^2)  -  log N

    Args:
        encode: A function that returns loc and scale, (N, Z) each; it is called at most once.
        latent_dim: Z, the size of the latent.
        batch_shape: The batch shape; every entry has the same mixture.

    The density is that of :func:`ppl_mm.distributions.normal_mixture.normal_mixture`.

    Example:
        >>> loc = torch.tensor([[0.0], [2.0]])
        >>> p = EncodedMixture(lambda: (loc, torch.ones(2, 1)), 1)
        >>> p.mean, p.variance, p.log_prob(torch.tensor([1.0]))
        (tensor([1.]), tensor([2.]), tensor(-1.4189))
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        encode: Callable[[], tuple[Float[Tensor, "N Z"], Float[Tensor, "N Z"]]],
        latent_dim: int,
        batch_shape: torch.Size = torch.Size(),  # noqa: B008
    ) -> None:
        self.encoded: Callable[[], tuple[Tensor, Tensor]] = functools.cache(encode)
        super().__init__(batch_shape, torch.Size([latent_dim]), validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "EncodedMixture":
        """The same components under other batch dimensions."""
        return EncodedMixture(self.encoded, self.event_shape[0], torch.Size(batch_shape))

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Float[Tensor, "*batch Z"]:
        """Draws of components at random; their probabilities are constants."""
        loc, scale = self.encoded()
        shape = torch.Size(sample_shape) + self.batch_shape
        index = torch.randint(len(loc), shape, device=loc.device)
        return loc[index] + scale[index] * torch.randn_like(loc[index])

    def log_prob(self, value: Float[Tensor, "*B Z"]) -> Float[Tensor, "*B"]:
        """Log-density in nats."""
        return self.log_prob_in(value, None)

    def log_prob_in(
        self, value: Float[Tensor, "*B Z"], rows: Bool[Tensor, " N"] | Int[Tensor, " R"] | None
    ) -> Float[Tensor, "*B"]:
        """Log-density in the rows of a flat mask, or at flat positions, and 0 elsewhere."""
        loc, scale = self.encoded()
        flat = value.reshape(-1, loc.shape[1])
        return normal_mixture(flat, loc, scale, rows).reshape(value.shape[:-1])

    @property
    def mean(self) -> Float[Tensor, "*batch Z"]:
        """The average of the components' means, (*batch, Z)."""
        return self.encoded()[0].mean(0).expand(self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Float[Tensor, "*batch Z"]:
        """The mixture's variance: within components and between them."""
        loc, scale = self.encoded()
        variance = (scale**2).mean(0) + loc.var(0, correction=0)
        return variance.expand(self.batch_shape + self.event_shape)


@typed
class PseudoInputPrior(nn.Module):
    """p(z), the average over modalities of (1/N) sum_i e_m(z | u_i); its call returns it.

    It owns the encoders e_m; a guide of single experts that is given it as its prior has the same
    ones. Pseudo-inputs are unconstrained parameters where a modality's values are floating-point
    numbers. Integers (classes, symbols) have no gradient and stay the rows that they were, and so
    do the covariates of these rows. As pseudo-inputs are not data, batch normalisation uses its
    running statistics for them.

    Args:
        modalities: The modalities, each with its encoder.
        latent_dim: Z, the size of the latent.
        pseudo_inputs: The rows to begin with, see :meth:`initialise`.
        num_pseudo_inputs: N, the number of pseudo-inputs of every modality.

    Example:
        >>> from functools import partial
        >>> from ppl_mm import likelihoods, networks
        >>> image = Modality(
        ...     "image", likelihoods.Bernoulli(),
        ...     encoder=partial(networks.MLPEncoder, event_shape=(4,)),
        ...     decoder=partial(networks.MLPDecoder, event_shape=(4,)),
        ... )
        >>> prior = PseudoInputPrior([image], 2, Observations({"image": torch.rand(30, 4)}), 10)
        >>> prior().sample((5,)).shape, prior.pseudo_inputs("image").shape
        (torch.Size([5, 2]), torch.Size([10, 4]))
    """

    family = "normal"

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        pseudo_inputs: Observations,
        num_pseudo_inputs: int,
    ) -> None:
        super().__init__()
        modalities = check_modalities(modalities)
        self.latent_dim = latent_dim
        self.encoders = nn.ModuleDict({m.name: encoder_of(m, latent_dim) for m in modalities})
        self.inputs = nn.ModuleDict()
        self.initialise(pseudo_inputs, num_pseudo_inputs)

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, in the order of the mixture's components."""
        return tuple(self.encoders)

    def pseudo_inputs(self, name: str) -> Shaped[Tensor, "N *D"]:
        """u of one modality, (N, *D_m)."""
        return cast(_Rows, self.inputs[name]).values

    def initialise(self, obs: Observations, num_pseudo_inputs: int | None = None) -> None:
        """Begin with N rows of these for every modality, whole ones, drawn without replacement.

        Do it before an optimiser is made: it replaces the parameters. With another N, such as
        1000, on a copy of a trained system, p(z) is the posterior averaged over training rows
        instead of learned pseudo-inputs, which complete rows do not train.

        Raises:
            ValueError: If fewer rows than N hold some modality, or they do not fit its encoder.
        """
        if num_pseudo_inputs is not None:
            check_at_least_one("num_pseudo_inputs", num_pseudo_inputs)
            self.num_pseudo_inputs = num_pseudo_inputs
        for name, encoder in self.encoders.items():
            if name not in obs.names:
                raise ValueError(f"pseudo-inputs: the rows hold no modality {name!r}.")
            held = obs.held_whole(name).nonzero().squeeze(-1)
            if len(held) < self.num_pseudo_inputs:
                raise ValueError(
                    f"pseudo-inputs of modality {name!r}: expected at least "
                    f"{self.num_pseudo_inputs} rows that hold it whole, got {len(held)}; give "
                    "more rows or a smaller num_pseudo_inputs."
                )
            check_encoder(name, encoder, self.latent_dim, obs)
            chosen = held[torch.randperm(len(held))[: self.num_pseudo_inputs].to(held.device)]
            rows = obs[chosen].to(encoder)
            self.inputs[name] = _Rows(rows[name], columns_for(encoder, rows.covariates))

    def forward(self) -> RandomMixture:
        """The distribution; component k is that of the k-th of ``names``."""
        encode = [functools.partial(self._encode, name) for name in self.names]
        parts = [EncodedMixture(one, self.latent_dim) for one in encode]
        device = self.pseudo_inputs(self.names[0]).device
        evenly = torch.zeros(len(parts), dtype=dtype_of(self), device=device).log_softmax(0)
        return RandomMixture(parts, evenly)

    def _encode(self, name: str) -> tuple[Tensor, Tensor]:
        encoder, rows = self.encoders[name], self.pseudo_inputs(name)
        with running_statistics(encoder):
            note = f"the encoder of modality {name!r}, given its pseudo-inputs"
            read = cast(_Rows, self.inputs[name]).covariates
            output = run_network(encoder, rows, note=note, covariates=read)
        return check_encoded(name, output, self.latent_dim, len(rows))


class _Rows(nn.Module):
    """Values that are learned where they are floating-point numbers, and their covariates."""

    values: Tensor

    def __init__(self, values: Shaped[Tensor, "N ..."], covariates: Covariates) -> None:
        super().__init__()
        self.names = tuple(covariates)
        for name, x in covariates.items():
            self.register_buffer(f"covariate_{name}", x)
        if values.is_floating_point():
            self.values = nn.Parameter(values)
        else:
            self.register_buffer("values", values)

    @property
    def covariates(self) -> dict[str, Shaped[Tensor, "N ..."]]:
        """Name -> (N, C)."""
        return {name: self.get_buffer(f"covariate_{name}") for name in self.names}
