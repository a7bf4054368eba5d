"""Decoders whose parameters are smaller than the event or shared by all rows, and likelihoods."""

from math import prod

import pyro.distributions as dist
import torch
from torch import nn

from ppl_mm import Modality, likelihoods, networks


class StudentT(likelihoods.Likelihood):
    """A likelihood of the user's own, of three parameters."""

    elementwise = True

    def __call__(self, parameters, batch_dims=1, event_shape=None):
        loc, scale, df = parameters
        return dist.StudentT(df, loc, scale).to_event(loc.dim() - batch_dims)


class ByName(StudentT):
    """The same from a dict."""

    def __call__(self, parameters, batch_dims=1, event_shape=None):
        parts = (parameters[k] for k in ("loc", "scale", "df"))
        return super().__call__(tuple(parts), batch_dims, event_shape)


class Mixture(likelihoods.Likelihood):
    """Parameters with shapes of their own: logits (B, K), locs (B, K, *D), one scale."""

    def __call__(self, parameters, batch_dims=1, event_shape=None):
        each = dist.Normal(parameters.locs, parameters.scale)
        each = each.to_event(parameters.locs.dim() - batch_dims - 1)
        return dist.MixtureSameFamily(dist.Categorical(logits=parameters.logits), each)


PARTS = {"loc": 3, "scale": 2, "df": 1}


class Decoder(nn.Module):
    """A decoder whose parameters are of the shapes asked for, or of those spread by hand.

    A shape has rows, ("rows", 1), or is shared, (4,); a number is itself.
    """

    def __init__(self, in_features, event, shapes, by_hand=False, as_dict=False, swap=False):
        super().__init__()
        self.event, self.shapes, self.by_hand = event, shapes, by_hand
        self.as_dict, self.swap = as_dict, swap
        self.parts = nn.ModuleDict()
        self.shared = nn.ParameterDict()
        generator = torch.Generator().manual_seed(0)
        for name, shape in shapes.items():
            if isinstance(shape, float):
                continue
            if shape[:1] == ("rows",):
                self.parts[name] = nn.Linear(in_features, prod(shape[1:]))
                for p in self.parts[name].parameters():
                    p.data = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            else:
                self.shared[name] = nn.Parameter(torch.randn(shape, generator=generator))

    def forward(self, z):
        found = {name: self.one(name, z) for name in self.shapes}
        if self.as_dict:
            return found
        return tuple(found.values())[:: -1 if self.swap else 1]

    def one(self, name, z):
        shape = self.shapes[name]
        if isinstance(shape, float):
            return torch.full((len(z), *self.event), shape) if self.by_hand else shape
        if name in self.shared:
            x = self.shared[name]
            x = x.expand(len(z), *self.event) if self.by_hand else x
        else:
            x = self.parts[name](z).reshape(len(z), *shape[1:])
            if self.by_hand:
                ones = [1] * (len(self.event) + 1 - x.dim())
                x = x.reshape(len(z), *ones, *shape[1:]).expand(len(z), *self.event)
        return x if name == "loc" else nn.functional.softplus(x) + 0.1


def whole(event):
    return ("rows", *event)


class From(nn.Module):
    """A decoder that returns what a function of z does."""

    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, z):
        return self.of(z)


def modality(name, event, decoder, likelihood=likelihoods.Normal(None)):  # noqa: B008
    """A modality with that decoder."""
    return Modality(
        name,
        likelihood,
        encoder=lambda d: networks.MLPEncoder(d, event_shape=event, hidden=(4,)),
        decoder=decoder,
    )
