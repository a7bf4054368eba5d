"""The papers' systems: a model, a guide and an objective, one function each.

    system = systems.mvae(modalities, latent_dim=16)
    system.model, system.guide, system.objective

Everything a system does, its three parts can do alone: mix them as you like and put your own
together with ``System(model, guide, objective)``.
"""

import inspect
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pyro.infer import ELBO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import nn

from ppl_mm import recipes
from ppl_mm.files import write_atomically
from ppl_mm.guides import ProductOfExperts, QuotientOfExperts
from ppl_mm.modality import Modality, check_modalities, unknown_name
from ppl_mm.models import SharedLatent
from ppl_mm.objectives import ELBOTerms, SubsetTerms, Term, subset_terms
from ppl_mm.observations import Observations

__all__ = ["System", "available", "build", "mvae", "mvae_q", "vae"]

_FORMAT = "ppl_mm system 1"


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
        sizes = [getattr(part, "latent_dim", None) for part in (model, guide)]
        if None not in sizes and sizes[0] != sizes[1]:
            raise ValueError(
                f"System: the model's latent_dim is {sizes[0]}, the guide's {sizes[1]}; build both "
                "with the same."
            )
        self.model, self.guide, self.objective, self.recipe = model, guide, objective, recipe

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that the model declares, or else the guide."""
        found: Any = getattr(self.model, "modalities", ()) or getattr(self.guide, "modalities", ())
        return tuple(found)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def posterior(self, obs: Observations) -> Any:
        """q(z | x_source) of every row, see the guide."""
        return self.guide.posterior(obs)  # type: ignore[operator]

    def check(self, obs: Observations) -> None:
        """Raise unless ``obs`` fits the declared modalities; once, before work that takes long."""
        if not isinstance(obs, Observations):
            raise TypeError(
                f"expected Observations, got {type(obs).__name__}; wrap a dict of tensors as "
                "Observations({...}), and of a data set give a part such as test."
            )
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
        """The objective's loss, summed over rows."""
        return self.objective.differentiable_loss(self.model, self.guide, obs)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters and the recipe to one safetensors file, atomically."""
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        header = {"format": _FORMAT, "recipe": json.dumps(self.recipe)}
        write_atomically(Path(path), safetensors_bytes(_untied(tensors), metadata=header))

    @classmethod
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
            system = _rebuild(Path(path), recipe, modalities)
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


def vae(modalities: Sequence[Modality], latent_dim: int, **options: Any) -> System:
    """The variational autoencoder of one modality.

    Objective: E_{q(z|x)} log p(x|z) - beta KL(q(z|x) || p(z)).

    Args:
        modalities: The one modality.
        latent_dim: Z.
        **options: ``beta``, ``num_particles``, ``prior`` as for :func:`mvae`.

    Source: Kingma & Welling 2014, arXiv:1312.6114; without a prior expert, as in the tables of
    Wu & Goodman 2018.
    """
    modalities = check_modalities(modalities, latent_dim)
    if len(modalities) != 1:
        raise ValueError(
            f"vae: expected one modality, got {len(modalities)}: "
            f"{', '.join(m.name for m in modalities)}. For several, use mvae."
        )
    prior = options.pop("prior", None)
    name = modalities[0].name
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        ProductOfExperts(modalities, latent_dim, prior_expert=False, prior=prior),
        _objective([Term((name,), (name,))], modalities, options),
        _recipe("vae", modalities, latent_dim, options, prior),
    )


def mvae(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    terms: Any = None,
    prior_expert: bool = True,
    prior: Any = None,
    **options: Any,
) -> System:
    """MVAE: a product of experts with the prior, trained on subsets of the modalities.

    Args:
        modalities: The modalities; their ``weight`` is lambda_m in the objective.
        latent_dim: Z.
        terms: The objective's terms, see :class:`ppl_mm.objectives.ELBOTerms`; the default is
            ``subset_terms()``: the full set and each modality alone.
        prior_expert: Whether p(z) is a factor of every product.
        prior: p(z), a fixed Normal; None for Normal(0, I).
        **options: Further options of ``ELBOTerms``: ``beta``, ``num_particles``, ``dedupe``.

    Source: Wu & Goodman 2018, arXiv:1802.05335.
    """
    terms = subset_terms() if terms is None else terms
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        ProductOfExperts(modalities, latent_dim, prior_expert=prior_expert, prior=prior),
        _objective(terms, modalities, options),
        _recipe("mvae", modalities, latent_dim, options, prior, terms, prior_expert=prior_expert),
    )


def mvae_q(
    modalities: Sequence[Modality],
    latent_dim: int,
    *,
    terms: Any = None,
    prior: Any = None,
    **options: Any,
) -> System:
    """MVAE-Q: experts are full posteriors, surplus priors divided out; otherwise as MVAE.

    Source: Wu & Goodman 2018, arXiv:1802.05335, appendix C.
    """
    terms = subset_terms() if terms is None else terms
    return System(
        SharedLatent(modalities, latent_dim, prior=prior),
        QuotientOfExperts(modalities, latent_dim, prior=prior),
        _objective(terms, modalities, options),
        _recipe("mvae_q", modalities, latent_dim, options, prior, terms),
    )


_SYSTEMS: dict[str, Callable[..., System]] = {"mvae": mvae, "mvae_q": mvae_q, "vae": vae}


def available() -> dict[str, str]:
    """The systems' names, each with what it is.

    Example:
        >>> sorted(available())
        ['mvae', 'mvae_q', 'vae']
    """
    return {n: (inspect.getdoc(f) or "").splitlines()[0] for n, f in _SYSTEMS.items()}


def build(name: str, modalities: Sequence[Modality], latent_dim: int, **options: Any) -> System:
    """The system of that name; ``systems.build("mvae", ...)`` is ``systems.mvae(...)``."""
    if name not in _SYSTEMS:
        raise ValueError(unknown_name("system", name, _SYSTEMS))
    return _SYSTEMS[name](modalities, latent_dim, **options)


def _objective(terms: Any, modalities: Sequence[Modality], options: dict[str, Any]) -> ELBOTerms:
    weights = {m.name: m.weight for m in modalities if m.weight != 1.0}
    return ELBOTerms(terms, weights=weights, **options)


def _recipe(
    name: str,
    modalities: Sequence[Modality],
    latent_dim: int,
    options: dict[str, Any],
    prior: Any,
    terms: Any = None,
    **more: Any,
) -> dict[str, Any] | None:
    """What :meth:`System.load` needs to build the system again, as plain JSON values."""
    if prior is not None:
        return None
    terms_recipe = None
    if isinstance(terms, SubsetTerms):
        terms_recipe = {"k": terms.k, "uniform_over": terms.uniform_over}
    elif terms is not None:
        return None
    return {
        "system": name,
        "latent_dim": latent_dim,
        "names": [m.name for m in modalities],
        "modalities": [recipes.describe(m) for m in modalities],
        "subset_terms": terms_recipe,
        "options": {**options, **more},
    }


def _rebuild(
    path: Path, recipe: dict[str, Any] | None, modalities: Sequence[Modality] | None
) -> System:
    if recipe is None:
        raise ValueError(
            f"{path}: this system was put together by hand; build it as before and call "
            "System.load(path, system=that_system)."
        )
    if modalities is None:
        for name, saved in zip(recipe["names"], recipe["modalities"], strict=True):
            if saved is None:
                raise ValueError(
                    f"{path}: modality {name!r} uses networks or a likelihood of your own; call "
                    "System.load(path, modalities=[...]) with the declarations."
                )
        modalities = [recipes.rebuild(saved) for saved in recipe["modalities"]]
    elif [m.name for m in modalities] != recipe["names"]:
        raise ValueError(
            f"{path}: saved with modalities {recipe['names']}, got {[m.name for m in modalities]}."
        )
    options = dict(recipe["options"])
    if recipe["subset_terms"] is not None:
        options["terms"] = subset_terms(**recipe["subset_terms"])
    return build(recipe["system"], modalities, recipe["latent_dim"], **options)


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
