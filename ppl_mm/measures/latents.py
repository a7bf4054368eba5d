"""The class as read from latents: logistic regression on draws of every posterior."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Integer
from rich.table import Table
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.readings import as_subsets
from ppl_mm.objectives.weights import guide_trace
from ppl_mm.oracles.outputs import checked_labels
from ppl_mm.results.by_subset import Subset
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, in_words, number
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["LatentAccuracy", "draw_latents", "latent_accuracy"]

Group = tuple[str, ...]
"""Latents side by side: "u", "z", or "w" for the private latents of what is given."""


@typed
def draw_latents(
    system: System,
    obs: Observations,
    given: Sequence[str] | None = None,
    *,
    mean: bool = False,
    batch_size: int = 1000,
    seed: int = 0,
) -> dict[str, Float[Tensor, "N _"]]:
    """One draw of every latent from q( . | x_given), or its mean.

    Args:
        system: The system, a model and a guide.
        obs: The rows.
        given: The modalities to look at; None is all that each row has, ``()`` nothing.
        mean: Return the means of the guide's distributions in place of draws (of the whole
            mixture where it is one).
        batch_size: The number of rows at a time.
        seed: The seed of the draws.

    Returns:
        Site -> (N, D): ``z``, or ``u`` and ``w_<modality>``.
    """
    obs = obs if given is None else obs.given(*given)
    parts: dict[str, list[Tensor]] = {}
    with evaluating(system, seed):
        for rows in torch.arange(len(obs)).split(batch_size):
            q = guide_trace(system.guide, obs[rows].to(system))
            for name in q.stochastic_nodes:
                site = q.nodes[name]
                if site["infer"].get("is_auxiliary"):
                    continue
                value = site["fn"].mean if mean else site["value"]
                value = value.expand(len(rows), *site["fn"].event_shape)
                parts.setdefault(name, []).append(value.reshape(len(rows), -1))
    return {name: torch.cat(values) for name, values in parts.items()}


@dataclass(frozen=True)
class LatentAccuracy(Result):
    """Test accuracy of a linear classifier of latents.

    Attributes:
        groups: The latents looked at, G of them.
        subsets: The S subsets that the posteriors were given.
        hits: Whether the class was right, bool (G, S, N).
    """

    groups: tuple[Group, ...]
    subsets: tuple[Subset, ...]
    hits: Tensor

    def cell(self, group: str | Group, subset: str | Subset) -> Estimate:
        """Accuracy of one group from one subset, in [0, 1]."""
        return Estimate.of(self.hits[self._group(group), self.subsets.index(_tuple(subset))])

    def mean(self, group: str | Group) -> Estimate:
        """Mean over subsets, with the standard error of rows."""
        return Estimate.of(self.hits[self._group(group)].double().mean(0))

    def numbers(self) -> Iterator[Number]:
        """Every group from every subset, and their means over subsets."""
        for group in self.groups:
            for subset in self.subsets:
                yield number("latent accuracy", self.cell(group, subset), subset, ", ".join(group))
        for group in self.groups:
            yield number("mean latent accuracy", self.mean(group), target=", ".join(group))

    def table(self) -> Table:
        """Group by subset, for ``rich.print``."""
        names = [in_words(s) for s in self.subsets]
        table = Table("latents", *names, "mean", title="latent classification")
        for group in self.groups:
            cells = [str(self.cell(group, s)) for s in self.subsets]
            table.add_row(", ".join(group), *cells, str(self.mean(group)))
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers for JSON, an estimate as [value, standard error]."""
        return {
            ",".join(group): {
                "mean": self.mean(group).to_list(),
                "given": {"+".join(s): self.cell(group, s).to_list() for s in self.subsets},
            }
            for group in self.groups
        }

    def _group(self, group: str | Group) -> int:
        return self.groups.index(_tuple(group))


@typed
def latent_accuracy(
    system: System,
    train: Observations,
    test: Observations,
    train_labels: Integer[Tensor, " N"],
    test_labels: Integer[Tensor, " N_test"],
    sites: Sequence[str | Group] | None = None,
    subsets: Sequence[str | Subset] | None = None,
    *,
    mean: bool = False,
    num_train: int | None = None,
    batch_size: int = 1000,
    seed: int = 0,
) -> LatentAccuracy:
    """Accuracy of multinomial logistic regression on latents, for every posterior given.

    MMVAE+'s protocol, the default: one draw a row from each unimodal posterior, fitted on all
    training rows. MoPoE's: ``mean=True, num_train=500``, and every subset in ``subsets``.

    Args:
        system: The system, a model and a guide.
        train: The rows to fit on, which hold all that is given.
        test: The rows to score, in the same form.
        train_labels: Classes, (N_train,); rows of class -1, which have none, are left out.
        test_labels: The classes of ``test``, (N_test,).
        sites: Groups of latents: "u", "w" (the private latents of what is given), ("u", "w"), or
            "z". None is all of these that the guide has.
        subsets: The subsets that the posteriors are given; None is each modality alone.
        mean: Posterior means in place of draws.
        num_train: The number of rows, the first ones, to fit on.
        batch_size: The number of rows at a time.
        seed: The seed of the draws; training and test rows get different ones.

    Raises:
        ValueError: For a latent that the guide lacks, rows that lack what they are given, or
            labels that do not fit the rows.

    Source: Palumbo, Daunhawer & Vogt 2023 (MMVAE+); Sutter, Daunhawer & Vogt 2021 (MoPoE),
    arXiv:2105.02470. Regression: scikit-learn, lbfgs, at most 1000 iterations, L2 weight 1.
    """
    from sklearn.linear_model import LogisticRegression

    system.check(train)
    system.check(test)
    train, train_labels = _labelled(train, train_labels, "train_labels")
    test, test_labels = _labelled(test, test_labels, "test_labels")
    train, train_labels = train[:num_train], train_labels[:num_train]
    chosen = as_subsets(train, train.names if subsets is None else subsets)
    as_subsets(test, chosen)
    found = tuple(draw_latents(system, train[:1]))
    groups = _default_groups(found) if sites is None else tuple(_tuple(g) for g in sites)
    hits: list[list[Tensor]] = [[] for _ in groups]
    for subset in chosen:
        fit_on = draw_latents(
            system, train, subset, mean=mean, batch_size=batch_size, seed=2 * seed
        )
        score_on = draw_latents(
            system, test, subset, mean=mean, batch_size=batch_size, seed=2 * seed + 1
        )
        for group, row in zip(groups, hits, strict=True):
            regression = LogisticRegression(max_iter=1000)
            regression.fit(_columns(fit_on, group, subset), train_labels.numpy())
            predicted = regression.predict(_columns(score_on, group, subset))
            row.append(torch.from_numpy(predicted == test_labels.numpy()))
    return LatentAccuracy(groups, chosen, torch.stack([torch.stack(row) for row in hits]))


def _labelled(obs: Observations, labels: Tensor, what: str) -> tuple[Observations, Tensor]:
    """The rows that have a class, and it."""
    labels = checked_labels(labels, len(obs), what)
    known = labels >= 0
    return (obs, labels) if bool(known.all()) else (obs[known], labels[known])


def _default_groups(sites: Sequence[str]) -> tuple[Group, ...]:
    shared = tuple((n,) for n in sites if not n.startswith("w_"))
    if len(shared) == len(sites):
        return shared
    return (*shared, ("w",), (*(n for (n,) in shared), "w"))


def _columns(latents: dict[str, Tensor], group: Group, subset: Subset) -> Any:
    """The latents of a group side by side, (N, D) as a NumPy array."""
    names = [n for g in group for n in ([f"w_{m}" for m in subset] if g == "w" else [g])]
    if not names:
        raise ValueError(
            "w is the private latents of what is given, and where nothing is given there are none; "
            "leave () out of subsets, or name other sites, such as sites=['u']."
        )
    for name in names:
        if name not in latents:
            raise ValueError(unknown_name("latent site", name, latents))
    return torch.cat([latents[n] for n in names], -1).cpu().numpy()


def _tuple(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
