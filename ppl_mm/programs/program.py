"""Pyro programs whose parameters live in modules."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine.block_messenger import BlockMessenger
from pyro.poutine.runtime import _PYRO_STACK, apply_stack
from pyro.poutine.trace_messenger import TraceMessenger
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.checks import check_encoded, check_features
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import eval_mode, run_network
from ppl_mm.batch.shapes import allowed
from ppl_mm.likelihoods import Likelihood
from ppl_mm.likelihoods.decoder import of_decoder
from ppl_mm.modality import Modality, check_modalities

__all__ = ["Program"]


@typed
class Program(nn.Module):
    """A Pyro model or guide over declared modalities; base of all of ours.

    Its parameters are ordinary module parameters. Where an effect handler asks for parameters
    (stock ``pyro.infer.SVI`` does, by ``poutine.trace(param_only=True)``) each is shown to it
    under a name of this very object; nothing enters Pyro's global store, so two systems in one
    process train side by side.

    Attributes:
        conditions_on: The modalities that a model conditions on and has no density of; none, but
            for conditional models.
    """

    conditions_on: tuple[str, ...] = ()

    def __init__(self, modalities: Sequence[Modality], latent_dim: int) -> None:
        super().__init__()
        self.modalities = check_modalities(modalities)
        self.latent_dim = latent_dim

    @property
    def names(self) -> tuple[str, ...]:
        """The declared modalities' names."""
        return tuple(m.name for m in self.modalities)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program, see ``forward``."""
        tracing = torch._C._get_tracing_state() is not None  # by torch.jit.trace
        if tracing and any(p.requires_grad for p in self.parameters()):
            raise TypeError(
                f"{type(self).__name__}: torch.jit.trace (jit_compile=True of Pyro's MCMC) takes "
                "parameters for constants, and these learn; call requires_grad_(False) first."
            )
        asks = [isinstance(h, TraceMessenger) and h.param_only for h in _PYRO_STACK]
        if any(asks):
            _check_no_jit(asks)
            _show_parameters(self)
        return super().__call__(*args, **kwargs)

    def check_names(self, obs: Observations) -> None:
        """Raise unless ``obs`` is an Observations of declared modalities."""
        if not isinstance(obs, Observations):
            raise TypeError(
                f"{type(self).__name__}: expected Observations, got {type(obs).__name__}; wrap a "
                "dict of tensors as Observations({...})."
            )
        for name in obs.names:
            if name not in self.names:
                raise ValueError(unknown_name("modality in the batch", name, self.names))


def _check_no_jit(asks: Sequence[bool]) -> None:
    """Raise where ``pyro.ops.jit`` asks, by a block and within it a trace of parameters."""
    blocks = (isinstance(h, BlockMessenger) for h in _PYRO_STACK)
    if any(block and asked for block, asked in zip(blocks, asks[1:], strict=False)):
        raise TypeError(
            "Pyro's JIT (JitTrace_ELBO and the like) compiles functions of tensors and of "
            "pyro.params, and these programs are functions of Observations with parameters in "
            "modules. Use Trace_ELBO and the like; fit(...) records steps for speed."
        )


def _show_parameters(program: nn.Module) -> None:
    """Send one ``param`` message a parameter to the handlers."""
    for name, parameter in program.named_parameters():
        value = parameter.detach()
        value.unconstrained = lambda parameter=parameter: parameter  # type: ignore[attr-defined]
        apply_stack(
            {
                "type": "param",
                "name": f"{type(program).__name__}[{id(program):x}].{name}",
                "fn": lambda *_, value=value, **__: value,
                "is_observed": False,
                "args": (),
                "kwargs": {},
                "value": None,
                "scale": 1.0,
                "mask": None,
                "cond_indep_stack": (),
                "done": False,
                "stop": False,
                "continuation": None,
                "infer": {},
            }
        )


def check_is_guide(argument: str, guide: nn.Module) -> None:
    """Raise unless a module is a guide that another can be made of."""
    lacks = [n for n in ("modalities", "latent_dim", "posterior") if not hasattr(guide, n)]
    if lacks:
        raise TypeError(
            f"{argument}: expected a guide such as guides.ProductOfExperts(...), got a "
            f"{type(guide).__name__}, which has no {lacks[0]!r}."
        )


def check_decoder(
    name: str, likelihood: Likelihood, decoder: nn.Module, in_features: int, obs: Observations
) -> None:
    """Raise unless the observed values of one modality fit its likelihood and decoder.

    Raises:
        ValueError: For values outside the support, or an event shape other than the decoder's.
    """
    if name not in obs.names:
        return
    values = obs.values[name][obs.present[name]]
    if len(values) == 0:
        return
    likelihood.check(name, values)
    p = _distribution(name, likelihood, decoder, in_features, values, rows=1)
    several = next(
        n for n in count(2) if n not in values.shape[1:]
    )  # rows are no event's dimension
    _distribution(name, likelihood, decoder, in_features, values, rows=several)
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
    rows: int,
) -> TorchDistribution:
    """p(x_m | z) of some rows of zeros."""
    example = next(decoder.parameters(), torch.zeros(()))
    z = torch.zeros(rows, in_features, dtype=example.dtype, device=example.device)
    note = f"the decoder or likelihood of modality {name!r}, given z"
    with torch.no_grad(), eval_mode(decoder):
        output = run_network(decoder, z, note=note)
        try:
            return of_decoder(likelihood, output, torch.Size([rows]), values.shape[1:], name)
        except RuntimeError as error:  # of a likelihood of the user's own
            raise ValueError(
                f"modality {name!r}: {type(likelihood).__name__} does not take what the decoder "
                f"returns for {rows} rows ({str(error).splitlines()[0]}). "
                f"{allowed(values.shape[1:])}"
            ) from error


def check_trunk(name: str, trunk: Any, obs: Observations) -> None:
    """Raise unless the trunk of one modality makes features of a few observed values.

    Raises:
        ValueError: For features of another shape than (B, ``out_features``).
    """
    values = _few(name, obs, trunk.out_features)
    if values is not None:
        note = f"the features of modality {name!r}, given values"
        with torch.no_grad(), eval_mode(trunk):
            output = run_network(trunk, _beside(trunk, values), note=note)
        check_features(name, output, trunk.out_features, len(values))


def check_encoder(name: str, encoder: nn.Module, latent_dim: int, obs: Observations) -> None:
    """Raise unless the encoder of one modality makes a proper expert of a few observed values.

    Raises:
        TypeError: For anything but a pair (loc, scale).
        ValueError: For other shapes, or a scale that is not above 0.
    """
    values = _few(name, obs, latent_dim)
    if values is not None:
        note = f"the encoder of modality {name!r}, given values"
        with torch.no_grad(), pyro.validation_enabled(True), eval_mode(encoder):
            output = run_network(encoder, _beside(encoder, values), note=note)
            check_encoded(name, output, latent_dim, len(values))


def _few(name: str, obs: Observations, size: int) -> Tensor | None:
    """The first observed values of a modality, other than ``size``; None where there are none.

    As many rows as a network's output has dimensions would hide that it takes them for those.
    """
    if name not in obs.names:
        return None
    values = obs.values[name][obs.present[name]][:8]
    if len(values) == size > 1:
        values = values[:-1]
    return values if len(values) else None


def _beside(network: nn.Module, values: Tensor) -> Tensor:
    """The values on the network's device."""
    return values.to(next(network.parameters(), values).device)
