"""Pyro programs whose parameters live in modules."""

from collections.abc import Sequence
from typing import Any

import torch
from pyro.poutine.block_messenger import BlockMessenger
from pyro.poutine.runtime import _PYRO_STACK, apply_stack
from pyro.poutine.trace_messenger import TraceMessenger
from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.modality import Modality, check_modalities

__all__ = ["Program"]


@typed
class Program(nn.Module):
    """A Pyro model or guide over declared modalities; the base of all of ours.

    Its parameters are ordinary module parameters. Where an effect handler asks for parameters
    (stock ``pyro.infer.SVI`` does, by ``poutine.trace(param_only=True)``) each is shown to it
    under a name of this very object; nothing enters Pyro's global store, so two systems in one
    process train side by side. What else a program may offer is written in
    :mod:`ppl_mm.programs.contracts`.

    Args:
        modalities: The modalities, whose names differ.
        latent_dim: Z, the size of the latent.

    Attributes:
        modalities: The declared modalities.
        latent_dim: Z.
        conditions_on: The modalities that a model conditions on and has no density of. A model
            that conditions on nothing leaves it empty.
        site: The latent site that a guide's ``posterior`` is the distribution of.

    Raises:
        ValueError: For no modalities, two of the same name, or a latent size below 1.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from ppl_mm import data
        >>> class Standard(Program):
        ...     def forward(self, obs):
        ...         with obs.plates():
        ...             zero = torch.zeros(self.latent_dim)
        ...             pyro.sample("z", dist.Normal(zero, 1.0).to_event(1))
        >>> digits = data.load("digits")
        >>> Standard(digits.modalities, latent_dim=2).names
        ('top', 'bottom', 'label')
    """

    conditions_on: tuple[str, ...] = ()
    site: str = "z"

    def __init__(self, modalities: Sequence[Modality], latent_dim: int) -> None:
        super().__init__()
        self.modalities = check_modalities(modalities)
        self.latent_dim = latent_dim

    @property
    def names(self) -> tuple[str, ...]:
        """The declared modalities' names."""
        return tuple(m.name for m in self.modalities)

    def __call__(self, *args: object, **kwargs: object) -> Any:
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

    def check(self, obs: Observations) -> None:
        """Raise unless the observed values lie in their likelihoods' supports.

        It is called once, before training or evaluation; a run of the program does not repeat it.
        """
        self.check_names(obs)
        for modality in self.modalities:
            if modality.name in obs.names:
                rows = obs.values[modality.name][obs.present[modality.name]]
                modality.likelihood.check(modality.name, rows)

    def check_names(self, obs: Observations) -> None:
        """Raise unless ``obs`` is an Observations of declared modalities."""
        if not isinstance(obs, Observations):
            raise TypeError(
                f"{type(self).__name__}: expected Observations, got {type(obs).__name__}; wrap a "
                "dict of tensors as Observations({...})."
            )
        known = self.names
        for name in obs.names:
            if name not in known:
                raise ValueError(unknown_name("modality in the batch", name, known))


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
