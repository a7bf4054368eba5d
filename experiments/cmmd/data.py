"""The rows of the CMMD paper's data sets: for training, for validation, and for the test."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ppl_mm import data, likelihoods
from ppl_mm.batch.observations import Observations
from ppl_mm.data.views import digit_label
from ppl_mm.data.xrmb import read_xrmb
from ppl_mm.experiments.cmmd.config import LABEL, Config
from ppl_mm.modality import Modality
from ppl_mm.networks.mlp import MLPDecoder, MLPEncoder

__all__ = ["load", "parts"]

_ALL_SPEAKERS = 0


def load(config: Config) -> data.DataSet:
    """Load the data set, with its classes as the modality ``label``.

    Split 0 of XRMB holds all speakers of its training part and is tested on the eight of table 8.
    Splits 1 to 4 are the folds of table 1. With a speaker, all rows are of that speaker. The splits
    of MIR Flickr are the five published ones.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, or if there is no such split or speaker.
    """
    options: dict[str, Any] = {"seed": config.seed}
    if config.dataset == "xrmb":
        options = _speakers(config)
    if config.dataset == "mir_flickr":
        options = {"split": config.split, "unlabelled": config.unlabelled}
    if config.dataset == "mnist_svhn":
        options["repeats"] = 2
    dataset = data.load(config.dataset, **options)
    if config.dataset != "mnist_svhn":
        return dataset
    return _with_classes(dataset, flat=config.system.startswith("cmmd"))


def parts(dataset: data.DataSet, config: Config, *, held_out: bool) -> dict[str, Observations]:
    """Return name -> rows: ``train``, ``test``, and ``validation`` where there are such rows.

    If a data set has no validation rows, all its rows come in random order, and a tenth of the
    training rows is for validation if it is ``held_out``, here or in the options. If XRMB's test
    has several speakers, there is also a part ``speaker N`` for each of them.
    """
    if dataset.validation is not None:
        return {
            "train": dataset.train[: config.num_train],
            "validation": dataset.validation[: config.num_test],
            "test": dataset.test[: config.num_test],
        }
    generator = torch.Generator().manual_seed(config.seed)
    order, tested = (
        torch.randperm(len(rows), generator=generator) for rows in (dataset.train, dataset.test)
    )
    held_out = held_out or config.held_out
    cut, tested = max(1, len(order) // 10) if held_out else 0, tested[: config.num_test]
    found = {"train": dataset.train[order[cut:][: config.num_train]], "test": dataset.test[tested]}
    if held_out:
        found["validation"] = dataset.train[order[:cut]]
    if config.dataset == "xrmb" and config.split == _ALL_SPEAKERS and not config.speaker:
        found |= _by_speaker(found["test"], _test_speakers()[tested])
    return found


def _speakers(config: Config) -> dict[str, Any]:
    """Return options of the data set: the speakers whose frames train, and those that test."""
    split = config.split
    if config.speaker:
        return {"speaker": config.speaker, "seed": config.seed}
    if split == _ALL_SPEAKERS:
        return {}
    if split not in range(1, 1 + len(data.XRMB_FOLDS)):
        raise ValueError(f"split: expected 0, or a fold from 1 to 4, of xrmb, got {split}.")
    others = [s for k, fold in enumerate(data.XRMB_FOLDS, 1) for s in fold if k != split]
    return {"train": others, "test": data.XRMB_FOLDS[split - 1]}


def _test_speakers() -> Tensor:
    """Return the speaker of each test row of split 0, in the order of the published parts."""
    speakers = torch.cat([frames["speaker"] for frames in read_xrmb().values()])
    return speakers[torch.isin(speakers, torch.tensor(data.XRMB_TEST))]


def _by_speaker(rows: Observations, speakers: Tensor) -> Iterator[tuple[str, Observations]]:
    for speaker in speakers.unique().tolist():
        yield f"speaker {speaker}", rows[speakers == speaker]


def _with_classes(dataset: data.DataSet, *, flat: bool) -> data.DataSet:
    """Return MNIST and SVHN with their digit as a label, with networks for flat pixels or MMVAE's.

    The networks for flat pixels are CMMD's, of appendix C. MMVAE's are those of its release, which
    the paper runs for MVAE and MMVAE.
    """
    train = Observations({**dataset.train.values, LABEL: dataset.classes("train")})
    test = Observations({**dataset.test.values, LABEL: dataset.classes("test")})
    layers: dict[str, Any] = {"hidden": (400,), "activation": "softplus", "dropout": 0.2}

    def dense(name: str) -> Modality:
        encoder, decoder = (
            partial(network, event_shape=tuple(train[name].shape[1:]), **layers)
            for network in (MLPEncoder, MLPDecoder)
        )
        return Modality(name, likelihoods.Normal(), encoder, partial(decoder, learned_scale=True))

    views = [dense(m.name) if flat else m for m in dataset.modalities]
    modalities = (*views, digit_label())
    changed: dict[str, Any] = {"train": train, "test": test, "modalities": modalities}
    return replace(dataset, **changed, label=LABEL, labels=None)
