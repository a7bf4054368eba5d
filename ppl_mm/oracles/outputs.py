"""An oracle's classes, logits and features of images, batch by batch."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from jaxtyping import Float, Int, Integer, Shaped
from torch import Tensor, nn

from ppl_mm.arguments.tensors import Numbers
from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import eval_mode

__all__ = ["check_classifiers", "checked_labels", "classify", "features_of", "logits_of"]


def checked_labels(
    labels: Integer[Tensor, " N"], num_rows: int, what: str = "labels"
) -> Integer[Tensor, " N"]:
    """Classes (N,) on the CPU; -1 where a row has none.

    Raises:
        TypeError: For anything but integers.
        ValueError: Unless there is one a row, and some row has a class.
    """
    if not isinstance(labels, Tensor) or labels.is_floating_point():
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"{what}: expected classes as a tensor of integers, got {kind}.")
    if labels.shape != (num_rows,):
        raise ValueError(
            f"{what}: expected one class a row, ({num_rows},), got {tuple(labels.shape)}."
        )
    if not bool((labels >= 0).any()):
        raise ValueError(f"{what}: no row has a class, all are -1.")
    return labels.cpu()


def classify(
    classifier: nn.Module, images: Shaped[Tensor, "N *D"], *, batch_size: int = 1000
) -> Int[Tensor, " N"]:
    """The likeliest class of every image, (N,) on the CPU."""
    return logits_of(classifier, images, batch_size=batch_size).argmax(-1)


def logits_of(
    classifier: nn.Module, images: Shaped[Tensor, "N *D"], *, batch_size: int = 1000
) -> Float[Tensor, "N C"]:
    """The classifier's logits of every image, (N, C) on the CPU."""
    return torch.cat(list(_batches(classifier, "forward", images, batch_size)))


@typed
def features_of(
    classifier: nn.Module, images: Numbers, *, batch_size: int = 1000
) -> Float[Tensor, "N D"]:
    """The classifier's features of every image, (N, D) on the CPU.

    Raises:
        TypeError: For a classifier without a method ``features``.
        ValueError: For one whose features are not (N, D).
    """
    return torch.cat(list(_batches(classifier, "features", images, batch_size)))


def check_classifiers(
    classifiers: Mapping[str, nn.Module], obs: Observations, targets: Iterable[str] = ()
) -> None:
    """Raise unless every classifier has its modality among the rows', and every target one."""
    for name in classifiers:
        if name not in obs.names:
            raise ValueError(unknown_name("modality in classifiers", name, obs.names))
    for name in targets:
        if name not in classifiers:
            raise ValueError(f"classifiers: expected one of modality {name!r} too, got none.")


def _batches(module: nn.Module, method: str, images: Tensor, size: int) -> Iterator[Tensor]:
    """Outputs of a method, on the module's device and in its precision."""
    if not hasattr(module, method):
        raise TypeError(
            f"classifier: expected a module with a method {method!r} from (B, *event) to (B, D), "
            f"got a {type(module).__name__}."
        )
    example = next(module.parameters(), images)
    with torch.no_grad(), eval_mode(module):
        for batch in images.split(size):
            same = example if batch.is_floating_point() else example.device  # symbols stay integers
            try:
                found = getattr(module, method)(batch.to(same)).cpu()
            except Exception as error:
                error.add_note(
                    f"In {method} of the classifier, a {type(module).__name__}, given values of "
                    f"shape {tuple(batch.shape)}, {batch.dtype}."
                )
                raise
            if found.dim() != 2 or len(found) != len(batch):
                raise ValueError(
                    f"classifier: expected its {method} to give (B, D) for values (B, *event) = "
                    f"{tuple(batch.shape)}, got {tuple(found.shape)}."
                )
            yield found
