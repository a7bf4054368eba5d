"""A model, a guide and an objective, with the file that they are saved to."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.infer import ELBO
from pyro.infer.autoguide import AutoGuide
from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.checks import in_dtype
from ppl_mm.batch.holes import observed_values
from ppl_mm.batch.memory_mapped import blocks
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import default_dtype, dtype_of
from ppl_mm.modality import Modality
from ppl_mm.objectives import Objective
from ppl_mm.objectives.stock import check_matched, check_trainable, looked_at
from ppl_mm.objectives.training_weights import TrainingWeights
from ppl_mm.programs.asked import (
    check_rows_of,
    declared,
    latent_dim_of,
    listed_alternatives,
    posterior_of,
)
from ppl_mm.programs.conditionals import Alternatives
from ppl_mm.programs.door import check_program
from ppl_mm.systems import saved

__all__ = ["System"]


@typed
class System(nn.Module):
    """A model, a guide and the objective that trains them.

    Args:
        model: A Pyro program of :class:`Observations`; one of ours, or any module that names its
            observed sites after the modalities and its latent ``z`` (or the guide's sites).
        guide: A Pyro program with the same latent sites.
        objective: A ``pyro.infer.ELBO``.
        recipe: The options that a paper's system was built with, for :meth:`load`; leave it out for
            your own.
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
        sizes = [latent_dim_of(part) for part in parts]
        if None not in sizes and len(set(sizes)) > 1:
            raise ValueError(
                f"System: the model's latent_dim is {sizes[0]}, the guide's {sizes[1]}; build both "
                "with the same."
            )
        self.model, self.guide, self.objective, self.recipe = model, guide, objective, recipe
        if isinstance(objective, TrainingWeights) and declared(model):
            objective.declare(model)
        self._checked = False

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that the model declares, or else the guide."""
        return declared(self.model) or declared(self.guide)

    @property
    def device(self) -> torch.device:
        """The device that holds the parameters."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the parameters, at least float32; data are converted to it."""
        return torch.promote_types(dtype_of(self) or torch.get_default_dtype(), torch.float32)

    def posterior(self, obs: Observations) -> TorchDistribution:
        """q(z | x_source) of every row, see the guide."""
        with default_dtype(self.dtype):
            return posterior_of(self.guide, _placed(obs, self), "System.posterior")

    def alternatives(self, target: tuple[str, ...], given: tuple[str, ...]) -> Alternatives | None:
        """The conditionals of log p(x_target | x_given), see :mod:`ppl_mm.programs.conditionals`.

        The objective gives them, or else the model. None, if neither does, stands for
        log p(x_target, x_given) - log p(x_given) under the model.
        """
        found = listed_alternatives(self.objective, self, target, given)
        return listed_alternatives(self.model, self, target, given) if found is None else found

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
        by_model = check_rows_of(self.model, obs)
        check_rows_of(self.guide, obs)
        if not by_model:
            for modality in self.modalities:
                if modality.name in obs.names:
                    modality.likelihood.check(modality.name, observed_values(obs, modality.name))

    def forward(self, obs: Observations) -> torch.Tensor:
        """The objective's loss, summed over rows.

        Raises:
            TypeError: For an objective of Pyro's that has no such loss.
            ValueError: For programs for which it would be no bound, or have a wrong gradient.
        """
        with default_dtype(self.dtype):
            obs = _placed(obs, self)
            if not self._checked and not isinstance(self.objective, Objective):
                self._check_objective(obs)
            return self.objective.differentiable_loss(self.model, self.guide, obs)

    def _check_objective(self, obs: Observations) -> None:
        """Raise, before the first loss, if an objective of Pyro's does not suit the programs."""
        check_trainable(self.objective)
        check_matched(self.objective, *looked_at(self.model, self.guide, obs))
        self._checked = True

    @typed
    def start_from(self, stage: "System") -> list[str]:
        """Copy the parameters of an earlier stage, those of the same names.

        CMMD's first stage, for example, is trained on rows without labels. The second stage, which
        has a label, starts from it; without a label its encoder is the first's, bit for bit.

        Args:
            stage: The earlier system; this one has all of its parameters.

        Returns:
            The names of this system's parameters that the stage lacks; they stay as they are.

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
        """Write the parameters and the recipe to one safetensors file with a checksum.

        The file is written whole or not at all.

        Raises:
            OSError: If it cannot be written, with its path.
        """
        saved.save(self, Path(path))

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
            path: The file that :meth:`save` wrote.
            modalities: The modalities, needed if they use networks or likelihoods of your own;
                those of this library are rebuilt from the file's recipe.
            system: A system built as the saved one was, whose parameters are replaced. It is needed
                if model, guide and objective were put together by hand.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged, no saved system or of a newer version, if it holds
                NaN, if it cannot be rebuilt without ``modalities`` or ``system``, or if the
                parameters do not fit in name, shape or dtype.

        Warns:
            UserWarning: If the file is of an earlier version, which has no checksum.
        """
        return saved.load(Path(path), modalities, system)


def _placed(obs: object, system: System) -> Any:
    """The rows on the system's device and in its dtype; programs refuse anything else."""
    return obs.to(system) if isinstance(obs, Observations) else obs
