"""A system with networks of the user's own, which convert nothing, and rows for it."""

import pyro
import torch
from torch import Tensor, nn

from ppl_mm import Modality, Observations, System, likelihoods, systems

QUIET = {"progress": False, "device": "cpu"}


class Encoder(nn.Module):
    """The user's own: it converts nothing, and makes tensors of torch's default dtype."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2 * latent_dim)
        self.norm = nn.BatchNorm1d(2 * latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc, raw = self.norm(self.linear(x)).chunk(2, -1)
        return loc @ torch.eye(2), raw.exp()


class Classifier(nn.Embedding):
    def __init__(self, latent_dim: int) -> None:
        super().__init__(3, 2 * latent_dim)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        loc, raw = super().forward(y).chunk(2, -1)
        return loc, raw.exp()


def own(**options: object) -> System:
    """Numbers and a class, with networks of the user's own."""
    torch.manual_seed(1)
    return systems.mvae(
        [
            Modality("x", likelihoods.Normal(0.5), Encoder, lambda size: nn.Linear(size, 3)),
            Modality("y", likelihoods.Categorical(), Classifier, lambda size: nn.Linear(size, 3)),
        ],
        2,
        **options,
    )


def rows(dtype: torch.dtype = torch.float32) -> Observations:
    torch.manual_seed(2)
    present = {"x": torch.arange(12) % 4 > 0, "y": torch.arange(12) % 3 > 0}
    return Observations({"x": torch.randn(12, 3).to(dtype), "y": torch.randint(3, (12,))}, present)


def dtypes(system: nn.Module) -> set[torch.dtype]:
    tensors = (*system.parameters(), *system.buffers())
    return {x.dtype for x in tensors if x.is_floating_point()}


def state_of(system: System) -> dict[str, Tensor]:
    return {name: x.detach().clone() for name, x in system.state_dict().items()}


def assert_untouched(system: System, before: dict[str, Tensor], generator: Tensor) -> None:
    after = system.state_dict()
    assert after.keys() == before.keys()
    for name, x in before.items():
        assert after[name].dtype == x.dtype
        assert torch.equal(after[name], x), name
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.get_default_dtype() == torch.float32
    assert not pyro.get_param_store().keys()
    assert system.training
