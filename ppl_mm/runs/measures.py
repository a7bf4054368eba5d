"""The measures of a trained system on held-out rows: one table."""

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from jaxtyping import Int
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.elbo import elbo
from ppl_mm.likelihood.log_likelihood import log_likelihood
from ppl_mm.measures.accuracy import accuracy
from ppl_mm.oracles.classifier import classifier_accuracy
from ppl_mm.programs.answerable import answerable, conditioned_on
from ppl_mm.results.comparison import FEW
from ppl_mm.results.log_likelihood import STAGES, LogLikelihood
from ppl_mm.results.unreliable import UnreliableLikelihoodWarning, at_least
from ppl_mm.runs.coherence import Accuracy, coherences, sources
from ppl_mm.systems import System

__all__ = ["Accuracy", "Likelihood", "Measures", "measure"]

_STAGES = 13  # The width of a line of stages, so that the table has 80 characters.


@dataclass(frozen=True)
class Likelihood:
    """The average over rows of log p(target | given), or of the ELBO, in nats.

    Attributes:
        quantity: The name of the quantity, such as ``log p(image | label)``.
        mean: The average.
        standard_error: The standard error of the average over rows (another test set).
        monte_carlo_error: The error of the average over draws (another seed); None for the ELBO.
        median_ess: The median over rows of the effective sample size of the draws.
        unreliable: The share of rows with a Pareto k above 0.7, whose estimates are off by an
            unknown amount; None where there are too few draws to tell.
        stages: Stage of refinement -> the share of rows whose number comes from it, see
            :attr:`ppl_mm.evaluation.LogLikelihood.stage`; None for the ELBO.
    """

    quantity: str
    mean: float
    standard_error: float | None
    monte_carlo_error: float | None = None
    median_ess: float | None = None
    unreliable: float | None = None
    stages: dict[str, float] | None = None

    @property
    def doubtful(self) -> bool:
        """Whether so many rows are off by an unknown amount that the mean may be far off."""
        return self.unreliable is not None and self.unreliable > FEW

    @property
    def refined(self) -> str:
        """The stages in words, such as ``laplace 96%, annealed 4%``."""
        shares = (self.stages or {}).items()
        return ", ".join(f"{stage} {share:.0%}" for stage, share in shares)


@dataclass(frozen=True)
class Measures:
    """The measures of a trained system, see :func:`measure`.

    Attributes:
        likelihoods: The ELBO and the log-likelihoods.
        accuracies: The accuracies of the label, from all others and from each alone.
        rows: The number of test rows of the ELBO and the accuracies.
        likelihood_rows: The number of test rows of the log-likelihoods.
        num_samples: The number of draws per row of the log-likelihoods.
        normalised: False where a likelihood is a score and no density.
        coherences: The coherence of each modality that has a classifier, given what its accuracy
            would be given, and of draws from the prior.
        oracles: Modality -> the share of real rows that its classifier reads right.
        results: The log-likelihoods row by row; ``metrics.json`` does not have them.
    """

    likelihoods: tuple[Likelihood, ...]
    accuracies: tuple[Accuracy, ...]
    rows: int
    likelihood_rows: int
    num_samples: int
    normalised: bool
    coherences: tuple[Accuracy, ...] = ()
    oracles: dict[str, float] = field(default_factory=dict)
    results: tuple[LogLikelihood, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """Read measures from the content of ``metrics.json``."""
        likelihoods = tuple(Likelihood(**found) for found in content["likelihoods"])
        shares = {
            name: tuple(
                Accuracy(**{**found, "given": tuple(found["given"])})
                for found in content.get(name, ())
            )
            for name in ("accuracies", "coherences")
        }
        return cls(**{**content, "likelihoods": likelihoods, **shares})

    def to_dict(self) -> dict[str, Any]:
        """The content of ``metrics.json``: everything but the rows' own results."""
        content = asdict(replace(self, results=()))
        del content["results"]
        return content

    def table(self, title: str) -> Table:
        """Return a table of all measures, for ``rich.print``."""
        table = Table(title=escape(title), caption=self._caption(), caption_justify="left")
        table.box, table.padding = SIMPLE_HEAD, 0
        table.add_column("held-out rows")
        for heading in ("nats", "± rows", "± draws", "ESS", "k>0.7"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("refined by", max_width=_STAGES)
        for row in self.likelihoods:
            ess = "" if row.median_ess is None else f"{row.median_ess:.0f}"
            share = "" if row.unreliable is None else f"{row.unreliable:.1%}"
            drawn = at_least(_three(row.monte_carlo_error), row.unreliable)
            errors = (_three(row.standard_error), drawn)
            cells = (row.quantity, f"{row.mean:.3f}", *errors, ess, share, row.refined)
            table.add_row(*cells, style="bright_black" if row.doubtful else None)
        table.add_section()
        for name, shares in (("accuracy", self.accuracies), ("coherence", self.coherences)):
            for label in dict.fromkeys(found.label for found in shares):
                table.add_row(f"{name} of {label or 'draws from the prior'}", "share")
                for found in shares:
                    if found.label == label:
                        text = f"  from {', '.join(found.given) or 'nothing'}"
                        table.add_row(text, f"{found.value:.3f}", _three(found.standard_error))
        return table

    def _caption(self) -> str:
        text = (
            f"ELBO and accuracy: {self.rows:,} rows. log p: {self.likelihood_rows:,} rows, "
            f"{self.num_samples:,} draws a row. Errors of the mean: ± rows over rows, ± draws "
            "Monte Carlo. ESS: median effective sample size. Refined by: the stage that a row's "
            "proposal comes from."
        )
        if any(row.unreliable for row in self.likelihoods):
            text += (
                " k>0.7: share of rows whose Pareto k says that their log p is off by an unknown "
                "amount, mostly too low where nothing is given."
            )
        if any(row.monte_carlo_error and row.unreliable != 0.0 for row in self.likelihoods):
            text += " ≥: or more, by rows with k>0.7 or with too few draws to tell."
        if any(row.doubtful for row in self.likelihoods):
            text += f" Grey: more than {FEW:.0%} of the rows are so."
        if not self.normalised:
            text += (
                " Score: SoftBernoulli is no density for grey values; compare it only with models "
                "scored the same way."
            )
        return text


@typed
def measure(
    system: System,
    test: Observations,
    label: str | None = None,
    *,
    num_samples: int = 1000,
    rows: int | None = None,
    classifiers: Mapping[str, nn.Module] | None = None,
    labels: Int[Tensor, " N"] | None = None,
) -> Measures:
    """Measure the ELBO, log p of everything, of each modality and of the label given the others.

    The label's accuracy is measured too. If a model conditions on some modalities (CVAE, CMMD),
    these are always given, and the label's accuracy is also measured from those alone. Every row's
    log-likelihood has its own proposal (``refine="auto"``, see :func:`ppl_mm.log_likelihood`).
    A modality that no row holds is left out.

    Args:
        system: A model and a guide.
        test: The held-out rows. Rows that lack a modality that the model conditions on are left
            out.
        label: The modality to predict; None for none.
        num_samples: The number of draws per row for log-likelihoods.
        rows: The number of rows for log-likelihoods, from the first on; None takes all.
        classifiers: Classifiers of the modalities whose coherence is measured too, see
            :func:`ppl_mm.evaluation.train_classifiers`.
        labels: The rows' classes, (N,), which coherence needs.
    """
    whole, classifiers = test, classifiers or {}
    fixed, test = conditioned_on(system.model), answerable(system.model, test)
    part = test[:rows]
    bound = elbo(system, test)
    scored = tuple(n for n in test.names if n not in fixed)
    there = [n for n in test.names if bool(part.present[n].any())]
    gone = [n for n in test.names if not bool(test.present[n].any())]
    label = None if label in (*fixed, *gone) else label
    estimands: list[tuple[Sequence[str], Sequence[str]]] = [(scored, fixed)]
    others = tuple(n for n in test.names if n != label)
    if len(scored) > 1:
        estimands += [((n,), fixed) for n in scored if n in there]
        estimands += [((label,), others)] if label in there else []
    found = [Likelihood("ELBO", bound.mean().item(), _error(bound))]
    results: list[LogLikelihood] = []
    with warnings.catch_warnings():  # the share of unreliable rows is part of the result
        warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
        for target, given in estimands:
            result = log_likelihood(system, part, target, given, num_samples, refine="auto")
            found.append(_likelihood(result))
            results.append(result)
    accuracies = []
    if label is not None and others:
        for given in sources(others, fixed):
            value = accuracy(system, test, label, given)
            spread = math.sqrt(value * (1 - value))
            number = int(test.present[label].sum())
            accuracies.append(Accuracy(label, given, value, spread / math.sqrt(number)))
    measures = Measures(
        tuple(found),
        tuple(accuracies),
        len(test),
        len(part),
        num_samples,
        normalised=all(result.normalised for result in results),
        results=tuple(results),
    )
    if not classifiers or labels is None:
        return measures
    known = classifier_accuracy(classifiers, whole, labels)
    return replace(
        measures,
        coherences=tuple(coherences(system, whole, labels, classifiers)),
        oracles={name: found.value for name, found in known.items()},
    )


def _likelihood(result: LogLikelihood) -> Likelihood:
    summary = result.summary()
    number = {key: value if math.isfinite(value) else None for key, value in summary.items()}
    told = number["largest_pareto_k"] is not None
    count = Counter(result.stage)
    return Likelihood(
        result.quantity,
        summary["mean"],
        number["standard_error"],
        number["monte_carlo_error"],
        number["median_ess"],
        summary["unreliable_rows"] / summary["rows"] if told else None,
        {stage: count[stage] / summary["rows"] for stage in STAGES if count[stage]},
    )


def _error(values: Tensor) -> float | None:
    return values.std().item() / math.sqrt(len(values)) if len(values) > 1 else None


def _three(number: float | None) -> str:
    return "" if number is None else f"{number:.3f}"
