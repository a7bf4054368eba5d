"""The MVAE experiment's records as tables, beside the paper's."""

from dataclasses import asdict
from statistics import mean, stdev

from ppl_mm.experiments import tables
from ppl_mm.experiments.mvae import Config
from ppl_mm.experiments.tables import Record, Runs, table

__all__ = ["ACCURACY", "LIKELIHOODS", "VARIANCES", "render", "tables_2_and_3", "tables_6_and_7"]

Numbers = tuple[float | None, float | None, float | None]
"""Of log p(x1), log p(x1, x2) and log p(x1 | x2); None where the paper has no number."""

# Wu & Goodman 2018, tables 2 and 6: data set -> proposal -> system. The conditional rows of tables
# 2 and 6, and 3 and 7, are read as swapped: for one proposal the joint and the conditional weights
# differ by a constant, so their variances must agree, and only then they do.
LIKELIHOODS: dict[str, dict[str, dict[str, Numbers]]] = {
    "binary_mnist": {
        "x1": {
            "vae": (-86.313, None, None),
            "bivcca": (-87.354, None, None),
            "jmvae": (-86.305, -86.371, -83.820),
            "mvae_q": (-91.665, -92.259, None),
            "mvae": (-86.026, -86.255, -83.940),
        },
        "x1x2": {
            "cvae": (None, None, -83.448),
            "jmvae": (-86.234, -86.304, -83.985),
            "mvae_q": (None, None, -90.024),
            "mvae": (-86.051, -86.278, -83.970),
        },
    },
    "mnist": {
        "x1": {
            "vae": (-91.126, None, None),
            "bivcca": (-92.089, None, None),
            "jmvae": (-90.697, -90.769, -88.436),
            "mvae_q": (-96.028, -96.641, None),
            "mvae": (-90.619, -90.859, -88.558),
        },
        "x1x2": {
            "cvae": (None, None, -87.773),
            "jmvae": (-90.962, -91.031, -88.696),
            "mvae_q": (None, None, -94.347),
            "mvae": (-90.616, -90.851, -88.569),
        },
    },
    "fashion_mnist": {
        "x1": {
            "vae": (-232.758, None, None),
            "bivcca": (-233.634, None, None),
            "jmvae": (-232.630, -232.948, -230.651),
            "mvae_q": (-236.081, -236.827, None),
            "mvae": (-232.535, -233.007, -230.699),
        },
        "x1x2": {
            "cvae": (None, None, -229.667),
            "jmvae": (-232.401, -232.700, -230.396),
            "mvae_q": (None, None, -234.514),
            "mvae": (-232.539, -233.007, -230.695),
        },
    },
    "multimnist": {
        "x1": {
            "vae": (-152.835, None, None),
            "bivcca": (-202.490, None, None),
            "jmvae": (-152.787, -153.101, -145.761),
            "mvae_q": (-166.580, -173.615, None),
            "mvae": (-152.761, -153.469, -147.009),
        },
        "x1x2": {
            "jmvae": (-153.026, -153.320, -145.977),
            "mvae_q": (None, None, -163.302),
            "mvae": (-152.826, -153.478, -147.027),
        },
    },
}
# Tables 3 and 7: variances of the log weights.
VARIANCES: dict[str, dict[str, dict[str, Numbers]]] = {
    "binary_mnist": {
        "x1": {
            "vae": (22.264, None, None),
            "bivcca": (55.846, None, None),
            "jmvae": (39.427, 41.003, 40.646),
            "mvae_q": (34.300, 34.615, None),
            "mvae": (22.181, 23.343, 23.035),
        },
        "x1x2": {
            "cvae": (None, None, 21.203),
            "jmvae": (22.387, 23.309, 23.877),
            "mvae_q": (None, None, 34.719),
            "mvae": (21.791, 21.917, 19.478),
        },
    },
    "mnist": {
        "x1": {
            "vae": (26.904, None, None),
            "bivcca": (93.885, None, None),
            "jmvae": (37.479, 40.126, 40.086),
            "mvae_q": (37.463, 38.190, None),
            "mvae": (25.640, 27.570, 27.652),
        },
        "x1x2": {
            "cvae": (None, None, 22.486),
            "jmvae": (24.962, 26.767, 26.695),
            "mvae_q": (None, None, 38.090),
            "mvae": (25.741, 26.057, 25.899),
        },
    },
    "fashion_mnist": {
        "x1": {
            "vae": (25.795, None, None),
            "bivcca": (33.930, None, None),
            "jmvae": (53.697, 56.640, 56.452),
            "mvae_q": (34.285, 34.908, None),
            "mvae": (20.309, 20.587, 19.934),
        },
        "x1x2": {
            "cvae": (None, None, 12.748),
            "jmvae": (28.443, 29.874, 26.658),
            "mvae_q": (None, None, 34.978),
            "mvae": (18.092, 18.263, 18.443),
        },
    },
    "multimnist": {
        "x1": {
            "vae": (54.554, None, None),
            "bivcca": (185.709, None, None),
            "jmvae": (84.186, 91.850, 92.683),
            "mvae_q": (69.099, 64.556, None),
            "mvae": (26.917, 27.989, 28.649),
        },
        "x1x2": {
            "jmvae": (35.822, 38.298, 37.726),
            "mvae_q": (None, None, 44.269),
            "mvae": (16.437, 16.672, 16.822),
        },
    },
}
# Tables 8 (grey MNIST), 9 and 10 (digits of the string), all rows paired.
ACCURACY = {
    "mnist": {"jmvae": 0.9572, "mvae": 0.9681},
    "fashion_mnist": {"jmvae": 0.8828, "mvae": 0.947},
    "multimnist": {"jmvae": 0.4955, "mvae": 0.5288},
}

QUANTITIES = ("log p(x1)", "log p(x1,x2)", "log p(x1|x2)")
TITLES = {
    "binary_mnist": "BinaryMNIST",
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "multimnist": "MultiMNIST",
}
SYSTEMS = {
    "vae": "VAE",
    "cvae": "CVAE",
    "bivcca": "BiVCCA",
    "jmvae": "JMVAE",
    "mvae_q": "MVAE-Q",
    "mvae": "MVAE",
}


def render(records: list[Record]) -> str:
    """The part of the page, from records that have measures."""
    parts = (tables_2_and_3, tables_6_and_7, _runs)
    return "\n".join([_HEAD, *(line for part in parts for line in part(records))])


def tables_2_and_3(records: list[Record]) -> list[str]:
    """Likelihoods and variances of log weights by draws from q(z | x1)."""
    title = "## Tables 2 and 3: proposal q(z | x1)\n"
    return [title, *(line for dataset in TITLES for line in _table(records, dataset, "x1"))]


def tables_6_and_7(records: list[Record]) -> list[str]:
    """The same by draws from q(z | x1, x2)."""
    title = "## Tables 6 and 7: proposal q(z | x1, x2)\n"
    return [title, *(line for dataset in TITLES for line in _table(records, dataset, "x1x2"))]


def _settings(records: list[Record], dataset: str) -> list[Runs]:
    """Runs of one data set; records do not say what was no option yet."""
    default = asdict(Config())
    records = [r | {"config": {**default, **r["config"]}} for r in records]
    own = [r for r in records if r["config"]["dataset"] == dataset]
    own.sort(key=lambda r: (r["config"]["terms"] != "own", r["config"]["epochs"]))
    return tables.settings(own, list(SYSTEMS))


def _table(records: list[Record], dataset: str, by: str) -> list[str]:
    """Ours of each system, then the paper's."""
    settings = [s for s in _settings(records, dataset) if _measured(s, by)]
    if not settings:
        return []
    names = [q.replace("|", "\\|") for q in QUANTITIES]  # a bar ends a cell
    rows = [["system", "λ label", "epochs", "test rows", *names]]
    rows[0] += [*(f"variance, {n.removeprefix('log ')}" for n in names), "Pareto k > 0.7"]
    rows[0] += _accuracies(dataset) if by == "x1" else []
    for system in SYSTEMS:
        own = [s for s in settings if s[0]["config"]["system"] == system]
        rows += [_row(runs, by) for runs in own]
        paper = LIKELIHOODS[dataset][by].get(system)
        if own and paper:
            weight = "" if system in ("vae", "cvae") else "50"
            cells = [f"*{SYSTEMS[system]}, paper*", weight, "500", "10,000"]
            cells += [_number(x) for x in (*paper, *VARIANCES[dataset][by][system])]
            accuracy = ACCURACY.get(dataset, {}).get(system)
            last = ["" if accuracy is None else f"{accuracy:.4f}" for _ in _accuracies(dataset)]
            rows.append([*cells, "", *(last if by == "x1" else [])])
    return [f"### {TITLES[dataset]}\n", *table(rows)]


def _accuracies(dataset: str) -> list[str]:
    """Of labels, or of all positions of strings, fillings too, and of their digits alone."""
    return ["accuracy", *(["accuracy of digits"] if dataset == "multimnist" else [])]


def _measured(runs: Runs, by: str) -> list[str]:
    """The quantities that the runs have with this proposal."""
    return [q for q in QUANTITIES if f"{q} by {by}" in runs[0]["measures"]]


def _row(runs: Runs, by: str) -> list[str]:
    config, measures = runs[0]["config"], [r["measures"] for r in runs]
    weight = "" if config["system"] in ("vae", "cvae") else f"{config['label_weight']:g}"
    name = SYSTEMS[config["system"]]
    name += ", image answers for both" if config["terms"] == "image_all" else ""
    name += f" ({len(runs)} seeds)" if len(runs) > 1 else ""
    num_rows = config["test_rows" if by == "x1" else "joint_rows"]
    cells = [name, weight, str(config["epochs"]), f"{num_rows:,}"]
    cells += [_spread(measures, f"{q} by {by}", 2) for q in QUANTITIES]
    variances = [[m.get(f"{q} by {by} variance") for m in measures] for q in QUANTITIES]
    cells += [_number(None if None in found else mean(found)) for found in variances]
    first = _measured(runs, by)[0]
    cells.append(f"{mean([m[f'{first} by {by} unreliable'] for m in measures]):.0%}")
    accuracies = _accuracies(config["dataset"]) if by == "x1" else []
    return [*cells, *(_spread(measures, name, 4) for name in accuracies)]


def _spread(measures: list[Record], name: str, digits: int) -> str:
    """± over test rows of one run, over seeds of several; nothing where it is not measured."""
    if name not in measures[0]:
        return ""
    values = [m[name] for m in measures]
    error = measures[0][f"{name} se"] if len(values) == 1 else stdev(values)
    return f"{mean(values):.{digits}f} ± {error:.{digits}f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _runs(records: list[Record]) -> list[str]:
    lines = ["## Runs\n"]
    for r in records:
        c = r["config"]
        minutes = (r["train_seconds"] / 60, r["evaluation_seconds"] / 60)
        lines.append(
            f"- `{r['command']}`: seed {c['seed']}, {c['precision']} training, "
            f"{c['num_samples']} draws; training {minutes[0]:.0f} min, measures "
            f"{minutes[1]:.0f} min on a busy {r['hardware']}, torch {r['versions']['torch']}."
            + (f" Note: {r['note']}." if "note" in r else "")
        )
    return [*lines, ""]


_HEAD = """# MVAE

Made by `experiments/mvae.py`. One seed: ± is the standard error over test rows, which all systems
share, so that differences between systems are surer than that; several: the deviation over seeds.

Six systems on an image x1 and its label x2. Log-likelihoods in nats by importance sampling, and the
variances over draws of their log weights. What a system does not define, or no term of it trains,
is empty: VAE has no label, CVAE no density of it, BiVCCA no q(z | x1, x2). "Pareto k > 0.7" is the
share of rows whose importance weights have too heavy a tail for their estimate (the row's first) to
be exact: those are low by an unknown amount, here as in the paper, whose weights have the same
variance. Under "image answers for both" MVAE's image-only term scores the label too. The paper's
conditional rows are read as swapped between its tables 2 and 6, and 3 and 7 (see
`experiments/mvae_table.py`). Grey pixels of MNIST and FashionMNIST are scored as the targets of a
Bernoulli, as in the paper: a score, not a density.

The paper states a label weight of 50 and reports both MVAE's log p(x1) and its accuracy. With its
terms, a weight of 50 loses the label: the joint term reads it from the label's own expert, and no
term asks q(z | x1) for it, so the accuracy falls to 0.3 and log p(x1, x2) lies 2 nats below
log p(x1). Two things reach both. A weight of 1 does, with the paper's terms: its accuracy and its
gap between log p(x1) and log p(x1, x2) are the paper's (0.969 and 0.24 against 0.968 and 0.23), its
log p(x1) is within half a nat of weight 50's after the same number of epochs, and the rest of the
distance to the paper's is length. A weight of 50 does if the image-only term scores the label too:
the accuracy is higher still and the gap closes, for about a nat of log p(x1).

Runs of 5 epochs compare the systems far from the paper's 500. On BinaryMNIST they already show, of
its findings, that CVAE is the best at log p(x1 | x2) and that the weights of JMVAE's q(z | x1) vary
by far more than MVAE's. They do not show MVAE-Q behind the others. At weight 50 JMVAE and BiVCCA
read the label from the image, MVAE and MVAE-Q do not.
"""
