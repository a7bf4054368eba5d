"""The networks of a modality: built, and tried on a few values before work that takes long."""

from itertools import count

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from ppl_mm.arguments.wording import first_line
from ppl_mm.batch.checks import check_encoded, check_features
from ppl_mm.batch.covariates import Covariates, check_read
from ppl_mm.batch.encoding import inputs
from ppl_mm.batch.holes import observed_values
from ppl_mm.batch.network_contracts import width_of
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.observed_elements import elements_of, refuse_holes
from ppl_mm.batch.rows import eval_mode, run_network
from ppl_mm.batch.shapes import allowed
from ppl_mm.likelihoods import Likelihood
from ppl_mm.likelihoods.decoder import check_factorises, of_decoder
from ppl_mm.modality import Modality

__all__ = ["check_decoder", "check_encoder", "check_trunk", "decoder_of", "encoder_of"]


def encoder_of(modality: Modality, latent_dim: int) -> nn.Module:
    """The module ``encoder(latent_dim)`` of a modality.

    Raises:
        TypeError: If it is no module.
    """
    return _module(modality, "encoder", modality.encoder(latent_dim))


def decoder_of(modality: Modality, in_features: int) -> nn.Module:
    """The module ``decoder(in_features)`` of a modality.

    Raises:
        TypeError: If it is no module.
    """
    return _module(modality, "decoder", modality.decoder(in_features))


def _module(modality: Modality, what: str, network: object) -> nn.Module:
    if isinstance(network, nn.Module):
        return network
    raise TypeError(
        f"modality {modality.name!r}: expected {what}(size) to return a torch.nn.Module, got "
        f"{type(network).__name__}; write a function as the forward method of one."
    )


def check_decoder(
    name: str, likelihood: Likelihood, decoder: nn.Module, in_features: int, obs: Observations
) -> None:
    """Raise unless the observed values of one modality fit its likelihood and decoder.

    Raises:
        ValueError: For values outside the support, an event shape other than the decoder's, or
            missing elements where elements are not independent given z.
    """
    if name not in obs.names:
        return
    if name in obs.elements:
        check_factorises(name, likelihood, decoder)
    check_read(decoder, obs.covariates)
    values = observed_values(obs, name)
    if len(values) == 0:
        return
    likelihood.check(name, values)
    read = obs.covariates
    p = _distribution(name, likelihood, decoder, in_features, values, read, rows=1)
    several = next(
        n for n in count(2) if n not in values.shape[1:]
    )  # rows are no event's dimension
    _distribution(name, likelihood, decoder, in_features, values, read, rows=several)
    if name in obs.elements and elements_of(p) is None:
        raise refuse_holes(name, f"the likelihood {type(likelihood).__name__}")
    support = getattr(p, "support", None)
    if support is not None and likelihood.normalised:
        ok = support.check(_beside(decoder, values))
        if not bool(ok.all()):
            raise ValueError(
                f"modality {name!r}: expected values in the likelihood's support, {support}, got "
                f"values from {values.min().item()} to {values.max().item()}. Compare the "
                "decoder's number of classes or outputs with the data."
            )


def _distribution(
    name: str,
    likelihood: Likelihood,
    decoder: nn.Module,
    in_features: int,
    values: Tensor,
    read: Covariates,
    rows: int,
) -> TorchDistribution:
    """p(x_m | z) of some rows of zeros."""
    example = next(decoder.parameters(), torch.zeros(()))
    z = torch.zeros(rows, in_features, dtype=example.dtype, device=example.device)
    note = f"the decoder or likelihood of modality {name!r}, given z"
    with torch.no_grad(), eval_mode(decoder):
        like = {n: x[:1].expand(rows, *x.shape[1:]) for n, x in read.items()}
        like = {n: x.to(z.device) for n, x in like.items()}
        output = run_network(decoder, z, note=note, covariates=like)
        try:
            return of_decoder(likelihood, output, torch.Size([rows]), values.shape[1:], name)
        except RuntimeError as error:  # of a likelihood of the user's own
            raise ValueError(
                f"modality {name!r}: {type(likelihood).__name__} does not take what the decoder "
                f"returns for {rows} rows ({first_line(error)}). "
                f"{allowed(values.shape[1:])}"
            ) from error


def check_trunk(name: str, trunk: nn.Module, obs: Observations) -> None:
    """Raise unless the trunk of one modality makes features of a few observed values.

    Raises:
        ValueError: For features of another shape than (B, ``out_features``).
    """
    size = width_of(trunk)
    values, read = _few(name, obs, size, trunk)
    if values:
        note = f"the features of modality {name!r}, given values"
        with torch.no_grad(), eval_mode(trunk):
            output = run_network(trunk, *values, note=note, covariates=read)
        check_features(name, output, size, len(values[0]))


def check_encoder(name: str, encoder: nn.Module, latent_dim: int, obs: Observations) -> None:
    """Raise unless the encoder of one modality makes a proper expert of a few observed values.

    Raises:
        TypeError: For anything but a pair (loc, scale).
        ValueError: For other shapes, or a scale that is not above 0.
    """
    values, read = _few(name, obs, latent_dim, encoder)
    if values:
        note = f"the encoder of modality {name!r}, given values"
        with torch.no_grad(), pyro.validation_enabled(True), eval_mode(encoder):
            output = run_network(encoder, *values, note=note, covariates=read)
            check_encoded(name, output, latent_dim, len(values[0]))


def _few(
    name: str, obs: Observations, size: int, network: nn.Module
) -> tuple[list[Tensor], Covariates]:
    """The arguments of a network for the first rows that hold a modality; none if no row does.

    As many rows as a network's output has dimensions would hide that it takes them for those.
    """
    if name not in obs.names:
        return [], {}
    check_read(network, obs.covariates)
    rows = obs.present[name].nonzero()[:8, 0]
    rows = rows[:-1] if len(rows) == size > 1 else rows
    given = [x[rows] for x in inputs(obs, [name], network)]
    read = {n: _beside(network, x[rows]) for n, x in obs.covariates.items()}
    return ([_beside(network, x) for x in given] if len(rows) else []), read


def _beside(network: nn.Module, values: Tensor) -> Tensor:
    """The values on the network's device."""
    return values.to(next(network.parameters(), values).device)
