"""Pictures of birds and their captions: do generated ones fit, as canonical correlation sees it?

The measure of Shi et al. 2019 (MMVAE, arXiv:1911.03393) that the papers of SVAE and MEME share, see
:func:`ppl_mm.evaluation.correlation`. A picture is its features, a caption the damped mean of its
words' vectors; 40 canonical directions, from all training rows.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ppl_mm import evaluation
from ppl_mm.data import DataSet
from ppl_mm.observations import Observations
from ppl_mm.systems import System

__all__ = ["IMAGE", "TEXT", "cell", "measure", "picture"]

IMAGE, TEXT = "image", "caption"
_DIRECTIONS, _SIZE_OF_WORDS = 40, 300


def picture(features: Tensor) -> Tensor:
    """The vector of a picture, (B, D): its features as they are."""
    return features.flatten(1)


def measure(
    system: System, dataset: DataSet, rows: Observations, *, seed: int = 0
) -> dict[str, Any]:
    """Scores of image and caption: drawn together, each from the other, and both real.

    Args:
        system: Of the data set's modalities.
        dataset: ``cub``; its training rows teach words, sentences and what belongs together.
        rows: Test rows. As many are drawn from the prior.
        seed: Of the draws.
    """
    assert dataset.vocabulary is not None
    num_symbols = len(dataset.vocabulary)
    sentence = evaluation.SentenceEmbedding.fit(
        dataset.train[TEXT], num_symbols, num_components=min(_SIZE_OF_WORDS, num_symbols - 1)
    )
    embeddings: dict[str, Callable[[Tensor], Tensor]] = {IMAGE: picture, TEXT: sentence}
    found = evaluation.correlation(
        system, dataset.train, rows, embeddings, num_components=_DIRECTIONS, seed=seed
    )
    return found.to_dict()


def cell(scores: dict[str, Any], *given: str) -> list[float]:
    """[mean score, standard error] where ``given`` is real, of what :func:`measure` returned."""
    estimate: list[float] = scores["cells"][scores["given"].index(list(given))][0]
    return estimate
