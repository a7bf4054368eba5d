"""Impartial optimisation: the modalities' gradients are combined where they meet at the latent.

One z feeds the decoders of M modalities. With g_m = dL/dz through the decoder of m (all rows, draws
and terms of a batch as one vector), the encoders get, in place of sum_m g_m,

    s sum_m w_m g_m,      s = || sum_m g_m || / || sum_m w_m g_m ||

where a rule finds the weights w from the products g_m . g_n. Every decoder keeps its own gradient,
and so does any other term that depends on z, such as a divergence.

Source: Javaloy, Meghdadi & Valera 2022, "Mitigating modality collapse in multimodal VAEs via
impartial optimization", arXiv:2206.04496.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from torch import Tensor

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.distributions import Decoded
from ppl_mm.programs.asked import latent_dim_of
from ppl_mm.systems import System

__all__ = ["Rule", "impartially"]

Rule = Callable[[Tensor], Tensor]
"""A function from the products g_m . g_n, (M, M), to the weights, (M,); it may be random."""

_RULES = {"pcgrad": "PCGradWeighting", "imtl_g": "IMTLGWeighting", "mgda": "MGDAWeighting"}


@contextmanager
def impartially(system: System, rule: str | Rule | None) -> Iterator[None]:
    """Inside, gradients that pass a latent on their way to the encoders are combined by ``rule``.

    Args:
        system: A system whose model gives its modalities' sites ``distributions.Decoded``.
        rule: ``"pcgrad"`` (Yu et al. 2020), ``"imtl_g"`` (Liu et al. 2021) or ``"mgda"`` (Sener
            & Koltun 2018), by TorchJD; or a function from products to weights, such as another
            weighting of TorchJD. The products come divided by their mean diagonal, without the
            modalities whose gradient is zero. None does nothing.

    Raises:
        ModuleNotFoundError: If a rule is named and TorchJD is not installed.
        ValueError: If the rule is unknown; in training, if it does not give one weight per
            modality.
        TypeError: If the argument is no rule; in a run of the model, if the decoder of a modality
            is not found.

    Example:
        >>> from functools import partial
        >>> from ppl_mm import Modality, Observations, likelihoods, networks, systems
        >>> x, y = (
        ...     Modality(
        ...         name, likelihoods.Normal(scale=1.0),
        ...         encoder=partial(networks.MLPEncoder, event_shape=(4,)),
        ...         decoder=partial(networks.MLPDecoder, event_shape=(4,)),
        ...     )
        ...     for name in "xy"
        ... )
        >>> system = systems.mvae([x, y], latent_dim=2)
        >>> with impartially(system, lambda products: 1.0 / products.diagonal().sqrt()):
        ...     system(Observations({"x": torch.randn(3, 4), "y": torch.randn(3, 4)})).backward()
    """
    if rule is None:
        yield
        return
    meeting = _Meeting(system, _as_rule(rule))
    handles = (
        system.model.register_forward_pre_hook(lambda *_: meeting.enter()),
        system.model.register_forward_hook(lambda *_: meeting.leave(), always_call=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _as_rule(rule: object) -> Rule:
    if isinstance(rule, str):
        return _named(rule)
    if not callable(rule):
        raise TypeError(
            f"impartial: expected one of {', '.join(map(repr, _RULES))}, or a function from "
            f"products of gradients (M, M) to weights (M,), got {rule!r}."
        )
    found: Rule = rule
    return found


def _named(name: str) -> Rule:
    if name not in _RULES:
        raise ValueError(unknown_name("rule of impartial", name, _RULES))
    try:
        from torchjd import aggregation
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"impartial={name!r} needs TorchJD: pip install 'ppl-mm[impartial]'. A function from "
            "products of gradients to weights needs nothing."
        ) from error
    rule: Rule = getattr(aggregation, _RULES[name])()
    return rule


class _Meeting(Messenger):
    """Joins the decoders of one run of a model at their latent, at the end of the run."""

    def __init__(self, system: System, rule: Rule) -> None:
        super().__init__()
        self.names = {m.name for m in system.modalities}
        self.latent_dim = latent_dim_of(system.model, system.guide)
        self.rule = rule
        self.decoded: list[Decoded] = []

    def enter(self) -> None:
        self.decoded.clear()
        self.__enter__()

    def leave(self) -> None:
        self.__exit__(None, None, None)
        joined = [p for p in self.decoded if p.z.requires_grad]
        if torch.is_grad_enabled() and len(joined) > 1:
            latents = _Join.apply(self.rule, self.latent_dim, *(p.z for p in joined))
            for p, z in zip(joined, latents, strict=True):
                p.z = z  # This happens before the density is evaluated.

    def _pyro_post_sample(self, msg: Message) -> None:
        if msg["name"] not in self.names or not msg["is_observed"]:
            return
        if not isinstance(msg["fn"], Decoded):
            raise TypeError(
                f"impartial: modality {msg['name']!r} is scored by a {type(msg['fn']).__name__}, "
                "whose decoder cannot be told apart; sample it from distributions.Decoded(...), "
                "as models.SharedLatent does."
            )
        self.decoded.append(msg["fn"])


class _Join(torch.autograd.Function):
    """The identity; its backward pass combines the gradients at the shared coordinates."""

    @staticmethod
    def forward(
        ctx: Any, rule: Rule, latent_dim: int, *latents: Float[Tensor, "*batch _"]
    ) -> tuple[Float[Tensor, "*batch _"], ...]:
        ctx.rule, ctx.latent_dim = rule, latent_dim
        ctx.set_materialize_grads(False)
        return tuple(z.view_as(z) for z in latents)

    @staticmethod
    def backward(ctx: Any, *gradients: Float[Tensor, "*batch _"] | None) -> tuple[Any, ...]:
        shared = [None if g is None else g[..., : ctx.latent_dim] for g in gradients]
        held = [m for m, g in enumerate(shared) if g is not None and bool(g.any())]
        if len(held) < 2:
            return None, None, *gradients
        combined = _combined([shared[m] for m in held], ctx.rule)
        out: list[Tensor | None] = list(gradients)
        for m in held:  # The first carries the whole gradient, because the latent is the same.
            g = gradients[m]
            assert g is not None
            own = combined if m == held[0] else torch.zeros_like(combined)
            out[m] = torch.cat([own, g[..., ctx.latent_dim :]], -1)
        return None, None, *out


def _combined(gradients: Sequence[Any], rule: Rule) -> Tensor:
    """The weighted sum of M >= 2 gradients of one shape, scaled to the norm of their sum."""
    stacked: Tensor = torch.stack(list(gradients))
    flat = stacked.flatten(1)
    flat = flat if flat.dtype == torch.float64 else flat.float()
    products = flat @ flat.T
    with torch.random.fork_rng(devices=[]):  # The rule must not change the noise of training.
        weights = rule(products / products.diagonal().mean())
    if not isinstance(weights, Tensor) or weights.shape != (len(flat),):
        found = tuple(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
        raise ValueError(
            f"impartial: expected the rule to give a tensor of one weight a modality, (M,) = "
            f"({len(flat)},), got {found}."
        )
    weights = weights.to(products)
    before, after = products.sum(), weights @ products @ weights
    scale = torch.where(after > 0, (before / after).clamp(min=0).sqrt(), 0.0)
    return torch.tensordot((scale * weights).to(stacked), stacked, 1)
