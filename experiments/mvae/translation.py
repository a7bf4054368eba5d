"""Translation from few pairs: MVAE on sentences in English and Vietnamese.

These are tables 4, 5 and 11 to 13 of Wu & Goodman 2018 (arXiv:1802.05335, section 7). A fraction of
the training rows, chosen once, has both languages, and the sentences of the others come apart. The
tables have the log-likelihood of test sentences, and examples of sentences that are drawn given
others. Encoders and decoders are those of Bowman et al. 2016 (arXiv:1511.06349): words are dropped
in training and beta grows from 0, as otherwise the decoders would do without z.

    python -m ppl_mm.experiments.mvae.translation --fraction 0.05

The paper does not give the networks' sizes, the rate of word dropout, the epochs of annealing, the
batch size or the learning rate. It also does not define its log p(x) or the estimator: we take log
p(en, vi), estimated by draws from q(z | en, vi). The files are read from ``PPL_MM_DATA``, see
:mod:`ppl_mm.data.iwslt`. Probabilities of 25,000 words at 70 places of every pair need a GPU.
"""

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
import typer
from jaxtyping import Float, Integer
from torch import Tensor

from ppl_mm import data, evaluation, generate, systems
from ppl_mm.batch.observations import Observations
from ppl_mm.data.vocabulary import PAD
from ppl_mm.evaluation import Estimate, UnreliableLikelihoodWarning, log_likelihood
from ppl_mm.experiments import runner
from ppl_mm.experiments.options import Options
from ppl_mm.published.speech import LANGUAGES
from ppl_mm.systems import System

__all__ = ["SMOKE", "TARGETS", "Config", "by_frequency", "examples", "main", "train"]

TARGETS: dict[str, tuple[str, ...]] = {
    "log p(en,vi)": LANGUAGES,
    "log p(en)": ("en",),
    "log p(vi)": ("vi",),
}
_ROWS = 128  # The number of rows scored at a time; each has 70 x 17,191 logits.
_REFINED_ROWS = 10  # The test rows, at most, that are also estimated by refined draws.


@dataclass(frozen=True)
class Config(Options):
    """The options of one run.

    Attributes:
        fraction: The share of training rows that are paired.
        latent_dim: The size of z.
        hidden: The size of the LSTMs' states.
        word_dropout: The share of the words that a decoder reads as unknown, in training.
        epochs: The number of passes through as many rows as training has; beta grows over 40 % of
            them.
        batch_size: The number of rows per step; a step has this number of unpaired rows in each
            language.
        num_words: How many words of each language, the commonest, have a symbol; None takes all.
        num_samples: The K of the likelihoods.
        num_train: The number of training rows, the first of the data set; None takes all.
        num_test: The number of test rows; None takes all.
        num_examples: The number of test rows that are translated, the first that are short.
        longest: The largest number of words in a sentence of a short row.
    """

    experiment: ClassVar[str] = "mvae.translation"
    of_measures: ClassVar[tuple[str, ...]] = ("num_samples", "num_test", "num_examples", "longest")

    fraction: float = 1.0
    latent_dim: int = 100
    hidden: int = 512
    word_dropout: float = 0.5
    num_words: int | None = None
    num_samples: int = 100
    num_train: int | None = None
    num_test: int | None = None
    num_examples: int = 6
    longest: int = 12
    out: str = "runs/mvae_translation"

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        words = [] if self.num_words is None else [str(self.num_words)]
        return "-".join(["iwslt", *words, f"{self.fraction:g}", str(self.epochs), str(self.seed)])


SMOKE = Config(
    fraction=0.5,
    latent_dim=3,
    hidden=8,
    epochs=1,
    rows=500,
    batch_size=10,
    num_words=18,
    num_samples=3,
    num_train=20,
    num_test=6,
    num_examples=2,
    device="cpu",
)


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record and system; return the measures."""
    return runner.run(config, load, build, train, measure, train_only=train_only)


def load(config: Config) -> data.DataSet:
    """Load the data set."""
    return data.load("iwslt", num_words=config.num_words)


def build(config: Config, dataset: data.DataSet) -> System:
    """Build MVAE, untrained; both languages weigh 1."""
    sizes: dict[str, Any] = {"hidden": config.hidden}
    dropped: dict[str, Any] = {"word_dropout": config.word_dropout}
    modalities = [
        replace(
            m,
            encoder=partial(m.encoder, **sizes),
            decoder=partial(m.decoder, **sizes, **dropped),
        )
        for m in dataset.modalities
    ]
    return systems.mvae(modalities, config.latent_dim)


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; return its record."""
    rows = dataset.train[: config.num_train]
    seen = data.weakly_supervised(rows, config.fraction, seed=config.seed)
    described = runner.train(
        system,
        seen,
        config,
        batch_size=round(config.batch_size * len(seen) / len(rows)),
        annealing_epochs=round(0.4 * config.epochs),
    )
    paired = torch.stack([seen.present[name] for name in LANGUAGES]).all(0)
    return described | {"train_rows": len(rows), "paired_rows": int(paired.sum())}


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Measure nats of test sentences, with standard errors over them, and make examples."""
    test = dataset.test[: config.num_test]
    few = test[:_REFINED_ROWS]
    found: dict[str, Any] = {"test rows": len(test), "refined rows": len(few)}
    with warnings.catch_warnings():  # The number of unreliable rows is recorded.
        warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
        for name, target in TARGETS.items():
            options: dict[str, Any] = {"num_samples": config.num_samples, "seed": config.seed}
            result = log_likelihood(system, test, target, **options, refine="none")
            refined = log_likelihood(system, few, target, **options)
            gain = Estimate.of(refined.value - result.value[: len(few)])
            summary = result.summary()
            found[name] = [summary["mean"], summary["standard_error"]]
            found[f"{name} unreliable"] = summary["unreliable_rows"] / summary["rows"]
            found[f"{name} refined gain"] = gain.to_list()
    bound = evaluation.elbo(system, test, batch_size=_ROWS, seed=config.seed)
    collapse = evaluation.posterior_collapse(system, test, LANGUAGES)
    words = dataset.vocabularies or {}
    train = dataset.train[: config.num_train]
    simple = [by_frequency(train[n], test[n], len(words[n])) for n in LANGUAGES]
    found |= {
        "elbo": Estimate.of(bound).to_list(),
        "collapsed": collapse.at(0.01),
        "by frequency": Estimate.of(torch.stack(simple).sum(0)).to_list(),
        "examples": examples(system, dataset, test, config),
    }
    return found


def by_frequency(
    train: Integer[Tensor, "N T"], test: Integer[Tensor, "N_test T"], num_symbols: int
) -> Float[Tensor, " N_test"]:
    """Return log p of sentences (N, T) of independent symbols, by their counts in training plus 1.

    The values are in nats. A decoder should learn at least this, with z or without.

    Example:
        >>> train, test = torch.tensor([[3, 3, 2, PAD]]), torch.tensor([[3, 2, PAD, PAD]])
        >>> by_frequency(train, test, 4).exp()  # 3/7 times 2/7
        tensor([0.1224])
    """
    count = torch.bincount(train[train != PAD], minlength=num_symbols) + 1.0
    return (count / count.sum()).log()[test].masked_fill(test == PAD, 0.0).sum(1)


def examples(
    system: System, dataset: data.DataSet, test: Observations, config: Config
) -> dict[str, list[list[str]]]:
    """Return short test sentences and their translations.

    Returns:
        ``"en"``, ``"vi"`` -> rows of a sentence in this language, one in the other that is drawn
        from p(x | z) with z ~ q(z | sentence), the likeliest word by word for the same z, and a
        person's translation. ``"both"`` -> rows of a pair en, vi, and a pair drawn with one z ~ q(z
        | en, vi).
    """
    words = torch.stack([(test[name] != PAD).sum(1) - 1 for name in LANGUAGES])
    rows = test[(words <= config.longest).all(0).nonzero()[: config.num_examples, 0]]
    if not len(rows):
        return {"en": [], "vi": [], "both": []}
    ask = partial(generate, system, rows, seed=config.seed)
    real = {name: _read(dataset, name, rows[name]) for name in LANGUAGES}
    found = {}
    for given, target in (LANGUAGES, LANGUAGES[::-1]):
        made = [
            _read(dataset, target, ask(target, given=given, mean=mean)[target][0])
            for mean in (False, True)
        ]
        found[given] = _rows(real[given], *made, real[target])
    both = ask(LANGUAGES, given=LANGUAGES)
    made = [_read(dataset, name, both[name][0]) for name in LANGUAGES]
    return found | {"both": _rows(*real.values(), *made)}


def _read(dataset: data.DataSet, name: str, tokens: Tensor) -> list[str]:
    assert dataset.vocabularies is not None
    return dataset.vocabularies[name].decode(tokens)


def _rows(*columns: list[str]) -> list[list[str]]:
    return [list(row) for row in zip(*columns, strict=True)]


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
