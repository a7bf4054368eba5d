"""Do generated pictures of birds and captions fit each other, by canonical correlation?

This is the measure of Shi et al. 2019 (MMVAE, arXiv:1911.03393), which the papers of SVAE and MEME
share, see :func:`ppl_mm.evaluation.correlation`. A picture is represented by its features, and a
caption by the damped mean of its words' vectors. All training rows give the 40 canonical
directions.
"""

from collections.abc import Callable
from itertools import takewhile
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from ppl_mm import evaluation, generate
from ppl_mm.batch.observations import Observations
from ppl_mm.data import DataSet, Vocabulary
from ppl_mm.data.cub_files import CAPTIONS_PER_PICTURE
from ppl_mm.experiments.generated import evenly
from ppl_mm.experiments.tables import table
from ppl_mm.systems import System

__all__ = ["IMAGE", "TEXT", "examples", "measure", "picture", "read", "words"]

IMAGE, TEXT = "image", "caption"
_DIRECTIONS, _SIZE_OF_WORDS = 40, 300
_PAD = "<pad>"


def picture(features: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """The vector of a picture, (B, D): its features as they are."""
    return features.flatten(1)


def measure(
    system: System, dataset: DataSet, rows: Observations, *, seed: int = 0
) -> dict[str, Any]:
    """Score image and caption: drawn together, each from the other, and both real.

    Args:
        system: A system of the data set's modalities.
        dataset: ``cub``; its training rows teach words, sentences and what belongs together.
        rows: The test rows. The same number of rows is drawn from the prior.
        seed: The seed of the draws.
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


def examples(
    system: System, dataset: DataSet, rows: Observations, *, num: int = 6, seed: int = 0
) -> list[dict[str, str]]:
    """Show in words what systems generate from a few birds' pictures, and from their captions.

    The data hold features of pictures, not pictures. So features that were made are shown by a
    caption of the training picture that is nearest to them.

    Returns:
        A dict for each bird and each of the two inputs: the ``given`` modality, the bird's
            ``caption``, the caption ``made``, and a caption of the picture ``nearest`` to the
            features made.

    Source: Shi et al. 2019 (MMVAE), as in figure 4 of Joy et al. 2022 (MEME) and figure 9 of
    Kutuzova et al. 2021 (SVAE), which show the picture itself.
    """
    assert dataset.vocabulary is not None
    shown = rows[::CAPTIONS_PER_PICTURE]
    shown = shown[evenly(len(shown), num)]  # Rows are sorted by species.
    pictures = dataset.train[IMAGE][::CAPTIONS_PER_PICTURE]
    told = dataset.vocabulary.decode(dataset.train[TEXT][::CAPTIONS_PER_PICTURE])
    found: list[dict[str, str]] = []
    for given in (IMAGE, TEXT):
        made = generate(system, shown, (IMAGE, TEXT), given=given, mean=True, seed=seed)
        near = torch.cdist(made[IMAGE][0].cpu(), pictures).argmin(1)
        columns = {
            "caption": words(dataset.vocabulary, shown[TEXT]),
            "made": words(dataset.vocabulary, made[TEXT][0]),
            "nearest": [told[i] for i in near],
        }
        for values in zip(*columns.values(), strict=True):
            found.append({"given": given, **dict(zip(columns, values, strict=True))})
    return found


def words(vocabulary: Vocabulary, tokens: Integer[Tensor, "N T"]) -> list[str]:
    """Decode captions (N, T) to words, each up to its end or to the first padding.

    An empty caption is "-".

    Example:
        >>> vocabulary = Vocabulary.of(4 * ["a blue bird"])
        >>> tokens = vocabulary.encode(["a blue bird", "blue"], length=4)
        >>> tokens[1, 1] = tokens[1, 2]  # padding in place of the end
        >>> words(vocabulary, tokens)
        ['a blue bird', 'blue']
    """
    shown = (takewhile(lambda word: word != _PAD, c.split()) for c in vocabulary.decode(tokens))
    return [" ".join(caption) or "-" for caption in shown]


def read(found: list[dict[str, str]]) -> list[str]:
    """Return the lines of a Markdown table of :func:`examples`."""
    rows = [["given", "its caption", "caption made", "caption of the picture nearest to that made"]]
    for example in found:
        cells = [example[key] for key in ("given", "caption", "made", "nearest")]
        rows.append([text.replace("<", "&lt;").replace("|", "\\|") for text in cells])
    return table(rows)
