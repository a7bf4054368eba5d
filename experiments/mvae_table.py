"""The MVAE experiment's records as tables, beside the paper's."""

from typing import Any

__all__ = ["PAPER", "render"]

# Wu & Goodman 2018, MVAE, tables 2, 3, 6, 7 and (accuracy) 8, 9 at 100 % paired. The conditional
# rows of tables 2 and 6, and 3 and 7, are read as swapped: for one proposal the joint and the
# conditional weights differ by a constant, so their variances must agree, and only then they do.
PAPER: dict[str, dict[str, float]] = {
    "binary_mnist": {
        "log p(x1) by x1": -86.026,
        "log p(x1,x2) by x1": -86.255,
        "log p(x1|x2) by x1": -83.940,
        "log p(x1) by x1 variance": 22.181,
        "log p(x1,x2) by x1 variance": 23.343,
        "log p(x1) by x1x2": -86.051,
        "log p(x1,x2) by x1x2": -86.278,
        "log p(x1|x2) by x1x2": -83.970,
        "log p(x1) by x1x2 variance": 21.791,
        "log p(x1,x2) by x1x2 variance": 21.917,
        "accuracy": 0.9681,
    },
    "fashion_mnist": {
        "log p(x1) by x1": -232.535,
        "log p(x1,x2) by x1": -233.007,
        "log p(x1|x2) by x1": -230.699,
        "log p(x1) by x1 variance": 20.309,
        "log p(x1,x2) by x1 variance": 20.587,
        "log p(x1) by x1x2": -232.539,
        "log p(x1,x2) by x1x2": -233.007,
        "log p(x1|x2) by x1x2": -230.695,
        "log p(x1) by x1x2 variance": 18.092,
        "log p(x1,x2) by x1x2 variance": 18.263,
        "accuracy": 0.947,
    },
}

QUANTITIES = ("log p(x1)", "log p(x1,x2)", "log p(x1|x2)")
TITLES = {"binary_mnist": "BinaryMNIST", "fashion_mnist": "FashionMNIST", "mnist": "MNIST"}
TERMS = {"own": "paper's", "image_all": "image answers for both"}


def render(records: list[dict[str, Any]]) -> str:
    """The part of the page, from records that have measures."""
    lines = [_HEAD]
    for dataset, title in TITLES.items():
        own = [r for r in records if r["config"]["dataset"] == dataset]
        if own:
            own.sort(key=lambda r: (r["config"]["terms"], r["config"]["label_weight"]))
            lines += [f"## {title}\n", *_table(own, dataset, "x1")]
            lines += [f"Proposal q(z | x1, x2), first {own[0]['config']['joint_rows']} rows:\n"]
            lines += [*_table(own, dataset, "x1x2"), *_runs(own)]
    return "\n".join(lines)


def _table(records: list[dict[str, Any]], dataset: str, by: str) -> list[str]:
    names = [q.replace("|", "\\|") for q in QUANTITIES]  # a bar ends a cell
    head = ["terms", "λ label", "epochs", *names, "var log w, x1", "var log w, x1 x2"]
    head += ["Pareto k > 0.7", "accuracy"] if by == "x1" else []
    rows = [head, ["---"] * len(head)]
    for record in records:
        c, m = record["config"], record["measures"]
        cells = [TERMS[c["terms"]], f"{c['label_weight']:g}", str(c["epochs"])]
        cells += [f"{m[f'{q} by {by}']:.2f} ± {m[f'{q} by {by} se']:.2f}" for q in QUANTITIES]
        cells += [f"{m[f'{q} by {by} variance']:.2f}" for q in QUANTITIES[:2]]
        if by == "x1":
            cells += [f"{m['log p(x1) by x1 unreliable']:.0%}"]
            cells += [f"{m['accuracy']:.4f} ± {m['accuracy se']:.4f}"]
        rows.append(cells)
    paper = PAPER.get(dataset)
    if paper:
        cells = ["*paper*", "50", "500", *(f"{paper[f'{q} by {by}']:.2f}" for q in QUANTITIES)]
        cells += [f"{paper[f'{q} by {by} variance']:.2f}" for q in QUANTITIES[:2]]
        cells += ["", f"{paper['accuracy']:.4f}"] if by == "x1" else []
        rows.append(cells)
    return ["| " + " | ".join(row) + " |" for row in rows] + [""]


def _runs(records: list[dict[str, Any]]) -> list[str]:
    lines = ["Runs:\n"]
    for r in records:
        c = r["config"]
        minutes = (r["train_seconds"] / 60, r["evaluation_seconds"] / 60)
        lines.append(
            f"- `{r['command']}`: seed {c['seed']}, {c['precision']} training, "
            f"{c['test_rows']:,} test rows, {c['num_samples']} draws; training "
            f"{minutes[0]:.0f} min, measures {minutes[1]:.0f} min on a busy {r['hardware']}, "
            f"torch {r['versions']['torch']}." + (f" Note: {r['note']}." if "note" in r else "")
        )
    return [*lines, ""]


_HEAD = """# MVAE

Made by `experiments/mvae.py`. One run each: ± is the standard error over test rows, not over seeds.

MVAE on an image x1 and its label x2. Log-likelihoods in nats by importance sampling; where a table
says so, the draws come from q(z | x1). "Pareto k > 0.7" is the share of rows whose importance
weights have too heavy a tail for their estimate of log p(x1) to be exact: those are low by an
unknown amount, here as in the paper, whose weights have the same variance. "Paper's" terms
reconstruct from each single modality that modality alone; under "image answers for both" the
image-only term scores the label too. The paper's conditional rows are read as swapped between its
tables 2 and 6 (see `experiments/mvae_table.py`). Grey FashionMNIST pixels are scored as the
targets of a Bernoulli, as in the paper: a score, not a density.

The paper states a label weight of 50 and reports both its log p(x1) and its accuracy. With its
terms, a weight of 50 loses the label: the joint term reads it from the label's own expert, and no
term asks q(z | x1) for it, so the accuracy falls to 0.3 and log p(x1, x2) lies 2 nats below
log p(x1). Two things reach both. A weight of 1 does, with the paper's terms: its accuracy and its
gap between log p(x1) and log p(x1, x2) are the paper's (0.969 and 0.24 against 0.968 and 0.23), its
log p(x1) is within half a nat of weight 50's after the same number of epochs, and the rest of the
distance to the paper's is length. A weight of 50 does if the image-only term scores the label too:
the accuracy is higher still and the gap closes, for about a nat of log p(x1).
"""
