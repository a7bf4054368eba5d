"""The distance of generated images from real ones, in the doubts of a Bayesian classifier.

    I(x)  =  H[ 1/S sum_k p_k ]  -  1/S sum_k H[ p_k ]        p_k = softmax(f_k),  f_k ~ q(f | x)

The mutual information, in nats, of an image's class and the classifier's latent function: 0 where
all draws of the classifier agree, however unsure they are; log C at most, where each is sure of
another class. Images like those that it was trained on have little; lower is better.

Source: Joy et al. 2022 (MEME), arXiv:2106.12570, table 6, and the references there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ppl_mm.arguments.shown import shown
from ppl_mm.arguments.tensors import Numbers
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import eval_mode
from ppl_mm.measures.generation import GenerationOptions
from ppl_mm.measures.readings import as_subsets, classified, generations
from ppl_mm.programs.answerable import check_held
from ppl_mm.results.by_subset import BySubset, Subset
from ppl_mm.results.estimate import Estimate
from ppl_mm.systems import System

__all__ = [
    "MutualInformation",
    "mutual_information",
    "mutual_information_of",
    "real_mutual_information",
]


@typed
def mutual_information_of(probabilities: Numbers) -> Float[Tensor, " N"]:
    """I of every image from draws of its class probabilities, see the module.

    Args:
        probabilities: S draws of N images' probabilities of C classes, (S, N, C).

    Returns:
        (N,), nats, from 0 to min(log C, log S).

    Raises:
        ValueError: For another shape, or numbers that are not finite.

    Example:
        >>> sure = torch.eye(2)[:, None]  # two draws, each sure of another class
        >>> mutual_information_of(sure), mutual_information_of(sure[:1].repeat(2, 1, 1))
        (tensor([0.6931]), tensor([0.]))
    """
    if probabilities.dim() != 3 or not probabilities.is_floating_point():
        raise ValueError(
            "mutual_information: expected probabilities (S, N, C) as floating-point numbers, got "
            f"{shown(probabilities)}."
        )
    total = torch.special.entr(probabilities.mean(0)).sum(-1)
    within = torch.special.entr(probabilities).sum(-1).mean(0)
    return (total - within).clamp(min=0.0)  # only rounding makes it negative


@dataclass(frozen=True)
class MutualInformation(BySubset):
    """Mutual information of generated images, nats; see :class:`ppl_mm.results.by_subset.BySubset`.

    Attributes:
        subsets: The S subsets that were given.
        targets: The T modalities that were generated.
        rows: I of every image, (S, T, N).
    """

    measure: ClassVar[str] = "mutual information"
    title: ClassVar[str] = "mutual information (nats)"
    subsets: tuple[Subset, ...]
    targets: tuple[str, ...]
    rows: Tensor

    @property
    def of_rows(self) -> Float[Tensor, "S T N"]:
        """I of every image, (S, T, N)."""
        return self.rows


@typed
def mutual_information(
    system: System,
    obs: Observations,
    classifiers: Mapping[str, nn.Module],
    subsets: Sequence[str | Sequence[str]] | None = None,
    *,
    num_samples: int = 256,
    batch_size: int = 500,
    seed: int = 0,
    **options: Unpack[GenerationOptions],
) -> MutualInformation:
    """I of images generated from each subset, see the module.

    z ~ q(z | x_S), one draw a row; the classifiers see the likelihoods' means. Compare with
    :func:`real_mutual_information`.

    Args:
        system: The system, a model and a guide.
        obs: The rows, which hold every modality that is given; ``Observations.blank(n)`` for the
            prior.
        classifiers: Modality -> classifier, for every modality to generate, as
            :func:`train_gaussian_processes` returns.
        subsets: The subsets to give; None is each of these modalities alone, ``[()]`` the prior.
        num_samples: The number S of draws of the latent function.
        batch_size: The number of rows at a time.
        seed: The seed of all draws.
        **options: The options of :func:`ppl_mm.generate`, such as ``private`` and ``alpha``.

    Raises:
        ValueError: If some row lacks what it should be given.

    Source: Joy et al. 2022 (MEME), table 6, which does not say what the images are generated
    from, the number of inducing points, nor S.

    Example:
        ``print(mutual_information(system, test, classifiers))``
    """
    system.check(obs)
    targets = classified(classifiers)
    chosen = as_subsets(obs, targets if subsets is None else subsets)
    found: dict[tuple[Subset, str], list[Tensor]] = {(s, t): [] for s in chosen for t in targets}
    generator = _generator(seed)
    drawn = generations(system, obs, targets, chosen, batch_size=batch_size, seed=seed, **options)
    for subset, images in drawn:
        for target in targets:
            rows = _information(classifiers[target], images[target], num_samples, generator)
            found[subset, target].append(rows)
    cells = [torch.stack([torch.cat(found[s, t]) for t in targets]) for s in chosen]
    return MutualInformation(chosen, targets, torch.stack(cells))


@typed
def real_mutual_information(
    classifiers: Mapping[str, nn.Module],
    obs: Observations,
    *,
    num_samples: int = 256,
    batch_size: int = 500,
    seed: int = 0,
) -> dict[str, Estimate]:
    """I of the real images of each modality, to compare that of generated ones with.

    Args:
        classifiers: Modality -> classifier.
        obs: Test rows; those that lack a modality are left out for it.
        num_samples: The number S of draws.
        batch_size: Images at a time.
        seed: The seed of the draws.
    """
    check_held(obs, classifiers)
    out = {}
    for name, classifier in classifiers.items():
        generator = _generator(seed)
        batches = obs[name][obs.held_whole(name)].split(batch_size)
        rows = [_information(classifier, x, num_samples, generator) for x in batches]
        out[name] = Estimate.of(torch.cat(rows))
    return out


def _generator(seed: int) -> torch.Generator:
    """Random numbers other than those that latents are drawn with."""
    return torch.Generator().manual_seed(-1 - seed)


def _information(
    classifier: nn.Module,
    images: Tensor,
    num_samples: int,
    generator: torch.Generator,
) -> Tensor:
    """I of images, (N,) on the CPU."""
    probabilities: Callable[..., Tensor] | None = getattr(classifier, "probabilities", None)
    if probabilities is None:
        raise TypeError(
            "mutual_information: expected classifiers with a method probabilities(images, "
            "num_samples, generator), such as those of train_gaussian_processes, got "
            f"{type(classifier).__name__}."
        )
    images = images.to(next(classifier.parameters()))
    with torch.no_grad(), eval_mode(classifier):
        return mutual_information_of(probabilities(images, num_samples, generator)).cpu()
