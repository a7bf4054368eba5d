"""The same systems in the PyPI package ``multivae`` (the extra ``benchmarks``), with our networks.

Two things differ there. The DReG gradient of MMVAE and MMVAE+ is that of one component, without the
mixture's correction. MoPoE decodes one component for each row, so its time stands in the row of our
MoPoE with ``strata=1``.
"""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from declared import CLASSES, declared, latents
from torch import Tensor

__all__ = ["SCORED", "available", "joint_log_likelihood", "loss"]

_KNOWN = {
    "mvae": "MVAE",
    "jmvae": "JMVAE",
    "mopoe strata=1": "MoPoE",
    "mmvae iwae": "MMVAE",
    "mmvae dreg": "MMVAE",
    "mmvae_plus iwae": "MMVAEPlus",
    "mmvae_plus dreg": "MMVAEPlus",
}

SCORED: dict[str, tuple[str, dict[str, Any]]] = {
    "mvae": ("MVAE", {"warmup": 1}),
    "mopoe": ("MoPoE", {}),
    "mvtcae": ("MVTCAE", {}),
    "jmvae": ("JMVAE", {"warmup": 1}),
    "mmvae": ("MMVAE", {}),
    "mmvae_plus": ("MMVAEPlus", {}),
}
"""The systems whose joint likelihood it estimates with our networks, and their options."""

_TORCHVISION = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""Operators that torchvision, which it imports, misses beside a CPU torch; nobody calls them."""


def available(system: str) -> bool:
    """Return whether the package is installed and has the system."""
    return system in _KNOWN and _imported()


@cache
def _imported() -> bool:
    if find_spec("multivae") is None:
        return False
    if not hasattr(torch.ops.torchvision, "nms"):
        declared_ones = torch.library.Library("torchvision", "DEF")
        for operator in _TORCHVISION:
            declared_ones.define(operator)
        _libraries.append(declared_ones)  # keeps the operator alive
    import multivae.models  # noqa: F401

    return True


_libraries: list[torch.library.Library] = []


def loss(
    system: str,
    xs: dict[str, Tensor],
    hidden: tuple[int, ...],
    latent_dim: int,
    held: dict[str, Tensor] | None = None,
) -> tuple[Any, Callable[[], Tensor]]:
    """Return the model and the loss of one batch, a mean over rows.

    Args:
        system: The system.
        xs: The values of all rows.
        hidden: The sizes of the hidden layers.
        latent_dim: The number of latents, Z.
        held: Masks of the rows that hold a modality; None if all do.
    """
    from multivae import models
    from multivae.data.datasets import DatasetOutput, IncompleteDataset
    from multivae.models.base import BaseDecoder, BaseEncoder
    from multivae.models.nn.base_architectures import BaseJointEncoder, BaseMultilatentEncoder
    from pythae.models.base.base_utils import ModelOutput

    ours, size = declared(system, xs, hidden, latent_dim), latents(system, latent_dim)
    plus = system.startswith("mmvae_plus")

    def raw(network: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_var = network.head(network.features(x)).chunk(2, -1)
        return loc, log_var if held is None else log_var.clone()  # it writes into it

    class Encoder(BaseEncoder):
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network, self.latent_dim = network, size

        def forward(self, x: Tensor) -> Any:
            loc, log_var = raw(self.network, x)
            return ModelOutput(embedding=loc, log_covariance=log_var)

    class Two(BaseMultilatentEncoder):
        def __init__(self, network: Any, private: Any) -> None:
            super().__init__()
            self.network, self.private = network, private
            self.latent_dim = self.style_dim = size

        def forward(self, x: Tensor) -> Any:
            loc, log_var = raw(self.network, x)
            w_loc, w_log_var = raw(self.private, x)
            return ModelOutput(
                embedding=loc,
                log_covariance=log_var,
                style_embedding=w_loc,
                style_log_covariance=w_log_var,
            )

    class Joint(BaseJointEncoder):
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network, self.latent_dim = network, size

        def forward(self, x: dict[str, Tensor]) -> Any:
            loc, scale = self.network(*x.values())
            return ModelOutput(embedding=loc, log_covariance=2 * scale.log())

    class Decoder(BaseDecoder):
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.network(z))

    shared = ours.guide.shared.encoders if plus else ours.guide.encoders
    private = ours.guide.private_encoders if plus else {}
    encoders = {n: Two(e, private[n]) if plus else Encoder(e) for n, e in shared.items()}
    options: dict[str, Any] = {
        "n_modalities": len(xs),
        "latent_dim": size,
        "input_dims": {
            n: (CLASSES,) if x.dim() == 1 else tuple(x.shape[1:]) for n, x in xs.items()
        },
        "decoders_dist": {n: "categorical" if x.dim() == 1 else "bernoulli" for n, x in xs.items()},
    }
    kind, _, objective = system.partition(" ")
    parts: dict[str, Any] = {}
    if kind in ("mmvae", "mmvae_plus"):
        options |= {"K": 10, "loss": f"{objective}_looser"}
    if plus:
        options["modalities_specific_dim"] = size
    if kind in ("mvae", "jmvae"):
        options["warmup"] = 1
    if kind == "jmvae":
        options["alpha"] = 1.0
        (network,) = ours.guide.joint_networks.values()
        parts["joint_encoder"] = Joint(network)
    name = _KNOWN[system]
    config = getattr(models, f"{name}Config")(**options)
    decoders = {n: Decoder(d) for n, d in ours.model.decoders.items()}
    model = getattr(models, name)(config, encoders=encoders, decoders=decoders, **parts)
    # Its categorical likelihood takes one-hot targets.
    one_hot = {
        n: torch.nn.functional.one_hot(x, CLASSES).float() if x.dim() == 1 else x
        for n, x in xs.items()
    }
    batch = DatasetOutput(data=one_hot) if held is None else IncompleteDataset(one_hot, held)
    size_of_batch = len(next(iter(xs.values())))

    def one() -> Tensor:
        return model(batch, epoch=2).loss_sum / size_of_batch

    return model, one


def joint_log_likelihood(
    kind: str, system: Any, values: dict[str, Tensor], num_samples: int
) -> Tensor:
    """Return what it estimates log p of everything to be, with the networks of ours, (N,).

    It draws from the joint posterior, of MoPoE and MMVAE from one component, and tells no error.
    MMVAE+ has a stratum of draws for each expert, with the other modalities' private latents from
    the prior.

    Args:
        kind: The system's name, of ``SCORED``.
        system: A trained one whose modalities are classes or have a Normal with a fixed scale.
        values: The modalities of complete rows.
        num_samples: The number of draws of each row.
    """
    from multivae.data.datasets import DatasetOutput

    model = _scored(kind, system, values)
    one_hot = torch.nn.functional.one_hot
    data = {n: one_hot(x, CLASSES).float() if x.dim() == 1 else x for n, x in values.items()}
    if kind == "mmvae_plus":  # it counts rows by taking the last modality away
        data["taken away"] = next(iter(values.values()))
    found = []
    with torch.no_grad():
        for i in range(len(next(iter(values.values())))):  # it adds up the rows that it is given
            row = DatasetOutput(data={n: x[i : i + 1] for n, x in data.items()})
            found.append(-model.compute_joint_nll(row, K=num_samples))
    return torch.stack(found).flatten()


def _scored(kind: str, system: Any, values: dict[str, Tensor]) -> Any:
    """Return its model with the networks and priors of a trained system."""
    from multivae import models

    name, options = SCORED[kind]
    classes = [n for n, x in values.items() if x.dim() == 1]
    scales = {m.name: getattr(m.likelihood, "scale", None) for m in system.modalities}
    guide = system.guide.shared if kind == "mmvae_plus" else system.guide
    if kind == "mmvae_plus":
        options = {"modalities_specific_dim": len(system.model.private_priors[classes[0]].loc)}
    config = getattr(models, f"{name}Config")(
        n_modalities=len(values),
        latent_dim=guide.latent_dim,
        input_dims={
            n: (CLASSES,) if n in classes else tuple(x.shape[1:]) for n, x in values.items()
        },
        decoders_dist={n: "categorical" if n in classes else "normal" for n in values},
        decoder_dist_params={n: {"scale": scales[n]} for n in values if n not in classes},
        **options,
    )
    model = getattr(models, name)(config, **_networks(kind, system, guide))
    with torch.no_grad():
        if kind == "mmvae":  # the scales of Laplace experts as they are; those of the prior alike
            model.log_var_to_std = torch.exp
            model.prior_log_var.copy_(system.model.prior.raw)
        if kind == "mmvae_plus":  # of the private latents, p(w) everywhere
            model._log_var_to_std = torch.exp
            for n, prior in system.model.private_priors.items():
                model.logvars_priors[n].copy_(prior.scale.log())
                both = torch.cat([system.model.prior.scale, prior.scale])
                model.logvars_priors["shared"].copy_(both.log())
    return model


def _networks(kind: str, system: Any, guide: Any) -> dict[str, Any]:
    from multivae.models.base import BaseDecoder, BaseEncoder
    from multivae.models.nn.base_architectures import BaseJointEncoder, BaseMultilatentEncoder
    from pythae.models.base.base_utils import ModelOutput

    power = 1 if kind.startswith("mmvae") else 2  # of the scale whose log is asked for

    class Encoder(BaseEncoder):
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network, self.latent_dim = network, guide.latent_dim

        def forward(self, x: Tensor) -> Any:
            loc, scale = self.network(x)
            return ModelOutput(embedding=loc, log_covariance=power * scale.log())

    class Two(BaseMultilatentEncoder):
        def __init__(self, network: Any, private: Any) -> None:
            super().__init__()
            self.network, self.private = network, private
            self.latent_dim = self.style_dim = guide.latent_dim

        def forward(self, x: Tensor) -> Any:
            (loc, scale), (w_loc, w_scale) = self.network(x), self.private(x)
            return ModelOutput(
                embedding=loc,
                log_covariance=scale.log(),
                style_embedding=w_loc,
                style_log_covariance=w_scale.log(),
            )

    class Joint(BaseJointEncoder):
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network, self.latent_dim = network, guide.latent_dim

        def forward(self, x: dict[str, Tensor]) -> Any:
            loc, scale = self.network(*(x[n] for n in self.network.trunks))
            return ModelOutput(embedding=loc, log_covariance=2 * scale.log())

    class Decoder(BaseDecoder):
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.network(z))

    private = system.guide.private_encoders if kind == "mmvae_plus" else {}
    encoders = guide.encoders.items()
    parts: dict[str, Any] = {
        "encoders": {n: Two(e, private[n]) if private else Encoder(e) for n, e in encoders},
        "decoders": {n: Decoder(d) for n, d in system.model.decoders.items()},
    }
    if kind == "jmvae":
        (network,) = guide.joint_networks.values()
        parts["joint_encoder"] = Joint(network)
    return parts
