"""Pyro programs whose parameters live in modules."""

from collections.abc import Sequence
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.runtime import _PYRO_STACK, apply_stack
from torch import Tensor, nn

from ppl_mm.checks import check_encoded, check_features
from ppl_mm.likelihoods import Likelihood
from ppl_mm.modality import Modality, check_modalities, unknown_name
from ppl_mm.observations import Observations
from ppl_mm.rows import eval_mode, run_network
from ppl_mm.typed import typed

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
        if any(
            isinstance(h, poutine.trace_messenger.TraceMessenger) and h.param_only
            for h in _PYRO_STACK
        ):
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
    example = next(decoder.parameters(), torch.zeros(()))
    with torch.no_grad(), eval_mode(decoder):
        z = torch.zeros(1, in_features, dtype=example.dtype, device=example.device)
        try:
            parameters = run_network(decoder, z)
            p = likelihood(parameters, batch_dims=1, event_shape=values.shape[1:])
        except Exception as error:
            error.add_note(
                f"In the decoder or likelihood of modality {name!r}, given z of shape "
                f"(1, {in_features})."
            )
            raise
    _check_event(name, p.event_shape, values)
    support = getattr(p, "support", None)
    if support is not None and likelihood.normalised:
        ok = support.check(values.to(z.device))
        if not bool(ok.all()):
            raise ValueError(
                f"modality {name!r}: expected values in the likelihood's support, {support}, got "
                f"values from {values.min().item()} to {values.max().item()}. Compare the "
                "decoder's number of classes or outputs with the data."
            )


def check_trunk(name: str, trunk: Any, obs: Observations) -> None:
    """Raise unless the trunk of one modality makes features of a few observed values.

    Raises:
        ValueError: For features of another shape than (B, ``out_features``).
    """
    values = _few(name, obs)
    if values is not None:
        with torch.no_grad(), eval_mode(trunk):
            output = _run_noting(f"the features of modality {name!r}", trunk, values)
        check_features(name, output, trunk.out_features, len(values))


def check_encoder(name: str, encoder: nn.Module, latent_dim: int, obs: Observations) -> None:
    """Raise unless the encoder of one modality makes a proper expert of a few observed values.

    Raises:
        TypeError: For anything but a pair (loc, scale).
        ValueError: For other shapes, or a scale that is not above 0.
    """
    values = _few(name, obs)
    if values is not None:
        with torch.no_grad(), pyro.validation_enabled(True), eval_mode(encoder):
            output = _run_noting(f"the encoder of modality {name!r}", encoder, values)
            check_encoded(name, output, latent_dim, len(values))


def _few(name: str, obs: Observations) -> Tensor | None:
    """The first observed values of a modality; None where there are none."""
    if name not in obs.names:
        return None
    values = obs.values[name][obs.present[name]][:8]
    return values if len(values) else None


def _run_noting(what: str, network: nn.Module, values: Tensor) -> Any:
    """Run a network; an error says which it was and what it was given."""
    example = next(network.parameters(), values)
    try:
        return run_network(network, values.to(example.device))
    except Exception as error:
        error.add_note(f"In {what}, given values of shape {tuple(values.shape)}, {values.dtype}.")
        raise


def _check_event(name: str, event_shape: torch.Size, values: Tensor) -> None:
    if event_shape != values.shape[1:]:
        raise ValueError(
            f"modality {name!r}: the decoder's event shape is {tuple(event_shape)}, the data's "
            f"{tuple(values.shape[1:])}. Change the decoder's output or reshape the values."
        )
