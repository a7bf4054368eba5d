"""A model, a guide and an objective, with the file that they are saved to."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pyro.infer import ELBO
from pyro.infer.autoguide import AutoGuide
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.checks import in_dtype
from ppl_mm.batch.memory_mapped import blocks
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import default_dtype, dtype_of
from ppl_mm.files import write_atomically
from ppl_mm.modality import Modality
from ppl_mm.objectives import Objective
from ppl_mm.objectives.stock import check_matched, check_trainable, looked_at
from ppl_mm.objectives.training_weights import TrainingWeights
from ppl_mm.programs.conditionals import Alternatives
from ppl_mm.programs.contracts import Declares
from ppl_mm.programs.door import check_program
from ppl_mm.systems import registry

__all__ = ["System"]

_FORMAT = "ppl_mm system 1"


@typed
class System(nn.Module):
    """A model, a guide and the objective that trains them.

    Args:
        model: A Pyro program of :class:`Observations`; one of ours, or any module that names its
            observed sites after the modalities and its latent ``z`` (or the guide's sites).
        guide: A Pyro program with the same latent sites.
        objective: A ``pyro.infer.ELBO``.
        recipe: How a paper's system was built, for :meth:`load`; leave it out for your own.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        objective: ELBO,
        recipe: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for role, part in (("model", model), ("guide", guide)):
            if not isinstance(part, nn.Module):
                raise TypeError(
                    f"System: the {role} must be a module, got {type(part).__name__}; a plain "
                    "function becomes one as the forward method of a torch.nn.Module."
                )
        if not isinstance(objective, ELBO):
            raise TypeError(
                f"System: the objective must be a pyro.infer.ELBO, got {type(objective).__name__}."
            )
        check_program("model", model)
        check_program("guide", guide)
        parts = () if isinstance(guide, AutoGuide) else (model, guide)  # its size is of all rows
        sizes = [getattr(part, "latent_dim", None) for part in parts]
        if None not in sizes and len(set(sizes)) > 1:
            raise ValueError(
                f"System: the model's latent_dim is {sizes[0]}, the guide's {sizes[1]}; build both "
                "with the same."
            )
        self.model, self.guide, self.objective, self.recipe = model, guide, objective, recipe
        if isinstance(objective, TrainingWeights) and hasattr(model, "modalities"):
            objective.declare(model)
        self._checked = False

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that the model declares, or else the guide."""
        for part in (self.model, self.guide):
            if isinstance(part, Declares) and part.modalities:
                return tuple(part.modalities)
        return ()

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in, which data follow: its parameters' dtype, of 32 bits at least."""
        return torch.promote_types(dtype_of(self) or torch.get_default_dtype(), torch.float32)

    def posterior(self, obs: Observations) -> Any:
        """q(z | x_source) of every row, see the guide."""
        with default_dtype(self.dtype):
            return self.guide.posterior(_placed(obs, self))  # type: ignore[operator]

    def alternatives(self, target: tuple[str, ...], given: tuple[str, ...]) -> Alternatives | None:
        """How log p(x_target | x_given) is put together, see :mod:`ppl_mm.programs.conditionals`.

        The objective says it or else the model; None, where neither does, is
        log p(x_target, x_given) - log p(x_given) under the model.
        """
        for part in (self.objective, self.model):
            if hasattr(part, "alternatives"):
                found: Alternatives = part.alternatives(self, target, given)  # type: ignore[operator]
                return found
        return None

    def check(self, obs: Observations) -> None:
        """Raise unless ``obs`` fits the declared modalities; once, before work that takes long."""
        if not isinstance(obs, Observations):
            raise TypeError(
                f"expected Observations, got {type(obs).__name__}; wrap a dict of tensors as "
                "Observations({...}), and of a data set give a part such as test."
            )
        with default_dtype(self.dtype):
            for rows in blocks(obs):
                for name, values in rows.values.items():
                    in_dtype(name, values, self.dtype)  # what the system would be given
                self._check(rows)

    def _check(self, obs: Observations) -> None:
        for part in (self.model, self.guide):
            check = getattr(part, "check", None) or getattr(part, "check_names", None)
            if check is not None:
                check(obs)
        if not hasattr(self.model, "check"):
            for modality in self.modalities:
                if modality.name in obs.names:
                    rows = obs.values[modality.name][obs.present[modality.name]]
                    modality.likelihood.check(modality.name, rows)

    def forward(self, obs: Observations) -> torch.Tensor:
        """The objective's loss, summed over rows.

        Raises:
            TypeError: For an objective of Pyro's that has no such loss.
            ValueError: For programs of which it would be no bound, or have a wrong gradient.
        """
        with default_dtype(self.dtype):
            obs = _placed(obs, self)
            if not self._checked and not isinstance(self.objective, Objective):
                self._check_objective(obs)
            return self.objective.differentiable_loss(self.model, self.guide, obs)

    def _check_objective(self, obs: Observations) -> None:
        """Raise, before the first loss, where an objective of Pyro's is not right here."""
        check_trainable(self.objective)
        check_matched(self.objective, *looked_at(self.model, self.guide, obs))
        self._checked = True

    @typed
    def start_from(self, stage: "System") -> list[str]:
        """Start at the parameters of an earlier stage: those of the same name are copied.

        Such as CMMD's first stage, trained on rows without labels, for a second with a label,
        whose encoder without a label is then the first's, bit for bit.

        Args:
            stage: A system all of whose parameters this one has.

        Returns:
            The names of this system's parameters that the stage lacks; they are as they were.

        Raises:
            ValueError: For a parameter that this system lacks, or has in another shape.
        """
        own, given = self.state_dict(), stage.state_dict()
        for name, tensor in given.items():
            if name not in own or own[name].shape != tensor.shape:
                found = "no such parameter" if name not in own else tuple(own[name].shape)
                raise ValueError(
                    f"start_from: the stage has {name!r} of shape {tuple(tensor.shape)}, this "
                    f"system {found}; build both with the same sizes."
                )
        return list(self.load_state_dict(given, strict=False).missing_keys)

    @typed
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters and the recipe to one safetensors file, atomically."""
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        header = {"format": _FORMAT, "recipe": json.dumps(self.recipe)}
        write_atomically(Path(path), safetensors_bytes(_untied(tensors), metadata=header))

    @classmethod
    @typed
    def load(
        cls,
        path: str | os.PathLike[str],
        modalities: Sequence[Modality] | None = None,
        system: "System | None" = None,
    ) -> "System":
        """Rebuild a saved system. No code is read from the file.

        Args:
            path: What :meth:`save` wrote.
            modalities: The modalities, needed where they use networks or likelihoods of your
                own; those of this library are rebuilt from the file's recipe.
            system: A system built as the saved one was, needed where model, guide and objective
                were put together by hand; its parameters are replaced.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is truncated or no saved system, if it cannot be rebuilt
                without ``modalities`` or ``system``, or if the parameters do not fit.
        """
        recipe, tensors = _read(Path(path))
        if system is None:
            system = registry.rebuild(Path(path), recipe, modalities)
            dtypes = {t.dtype for t in tensors.values() if t.is_floating_point()}
            if len(dtypes) == 1:
                system.to(dtypes.pop())
        own = system.state_dict()
        for name in sorted(own.keys() ^ tensors.keys()):
            where = "the file lacks" if name in own else "the system lacks"
            raise ValueError(f"{path}: {where} {name!r}; was it saved by another system?")
        for name, tensor in tensors.items():
            if own[name].shape != tensor.shape:
                raise ValueError(
                    f"{path}: {name!r} has shape {tuple(tensor.shape)}, the system's "
                    f"{tuple(own[name].shape)}; build it with the saved sizes."
                )
        system.load_state_dict(tensors)
        return system


def _placed(obs: object, system: System) -> Any:
    """The rows on the system's device and in its dtype; programs refuse what is no rows."""
    return obs.to(system) if isinstance(obs, Observations) else obs


def _read(path: Path) -> tuple[dict[str, Any] | None, dict[str, torch.Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path}: truncated, or no file that System.save wrote ({error})."
        ) from error
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path}: no saved system; its format is {header.get('format')!r}.")
    return json.loads(header["recipe"]), tensors


def _untied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies of tensors that share memory, which the format refuses."""
    seen: set[int] = set()
    out = {}
    for name, tensor in tensors.items():
        out[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return out
