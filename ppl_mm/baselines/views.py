"""Two views of the same rows, and projections of one of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.modality import Modality, check_modalities
from ppl_mm.networks.layers import Activation, dense
from ppl_mm.programs.features import value_features

__all__ = ["Projection", "Views", "held_by", "perceptron", "require"]


class Projection(nn.Module):
    """Features of each of two views, k of them.

    Attributes:
        names: The views; the first is the one at test time.
        networks: View -> module from its values (N, *D_m) to features (N, k).

    A call returns the features of one view, (N, k), without gradients and in evaluation mode:

        projection = baselines.cca(train, modalities, latent_dim=10)
        projection(test)                    # of the first view
        projection(test, view="noisy")

    Raises:
        ValueError: For another view, or rows that lack it.
    """

    def __init__(self, names: Sequence[str], networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.networks = nn.ModuleDict(dict(zip(names, networks, strict=True)))
        self.eval()

    def forward(self, obs: Observations, view: str | None = None) -> Float[Tensor, "N k"]:
        """The features (N, k) of the first view, or of the one that is named."""
        view = self.names[0] if view is None else view
        if view not in self.names:
            raise ValueError(unknown_name("view", view, self.names))
        require(obs, view)
        network = self.networks[view]
        device = next((p.device for p in network.parameters()), obs.device)
        with torch.no_grad():
            parts = [network(x.to(device)) for x in obs[view].split(1000)]
        return torch.cat(parts)


class Views:
    """Two views, the first two modalities by default, in the rows that hold both.

    Attributes:
        names: The names of the views.
        flat: Modules from a view's values to numbers (N, D_v): flattened, classes and symbols
            one-hot.
        numbers: The numbers of the rows, (N, D_v) for each view.
    """

    def __init__(
        self,
        train: Observations,
        modalities: Sequence[Modality],
        views: Sequence[str] | None,
        device: str = "cpu",
    ) -> None:
        if isinstance(views, str):
            raise TypeError(f"views: expected a tuple of two names, got the string {views!r}.")
        declared = {m.name: m for m in check_modalities(modalities)}
        self.names = list(declared)[:2] if views is None else list(views)
        for name in self.names:
            if name not in declared:
                raise ValueError(unknown_name("view", name, declared))
        if len(self.names) != 2 or len(set(self.names)) != 2:
            raise ValueError(f"views: expected two different modalities, got {self.names}.")
        rows = held_by(train, self.names)
        self.flat: list[Any] = [
            value_features(replace(declared[n], features=None), 1) for n in self.names
        ]
        self.numbers = [
            part(train[n][rows].to(device)) for part, n in zip(self.flat, self.names, strict=True)
        ]

    def projection(self, networks: Sequence[nn.Module]) -> Projection:
        """A projection from values to features, made of networks of the numbers."""
        pairs = zip(self.flat, networks, strict=True)
        return Projection(self.names, [nn.Sequential(*pair) for pair in pairs])


def held_by(obs: Observations, names: Sequence[str]) -> Int[Tensor, " n"]:
    """The rows that hold all of these modalities, as indices.

    Raises:
        ValueError: If fewer than two do.
    """
    none = torch.zeros(len(obs), dtype=torch.bool, device=obs.device)
    held = [obs.held_whole(n) if n in obs.names else none for n in names]
    rows = torch.stack(held).all(0).nonzero().squeeze(-1)
    if len(rows) < 2:
        raise ValueError(
            f"expected at least two rows that hold {' and '.join(names)}, got {len(rows)} of "
            f"{len(obs)}."
        )
    return rows


def require(obs: Observations, name: str) -> None:
    """Raise unless every row holds the modality."""
    lacking = len(obs) if name not in obs.names else int((~obs.held_whole(name)).sum())
    if lacking:
        raise ValueError(
            f"modality {name!r}: {lacking} of {len(obs)} rows lack it, or elements of it; take "
            f"obs[obs.held_whole({name!r})]."
        )


def perceptron(sizes: Sequence[int], activation: Activation) -> nn.Sequential:
    """Linear layers between these sizes, with an activation between them."""
    return nn.Sequential(dense(sizes[:-1], activation=activation), nn.Linear(sizes[-2], sizes[-1]))
