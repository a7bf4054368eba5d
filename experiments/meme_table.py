"""The MEME experiment's records as tables, in the form of the paper's tables 3 and 4."""

from ppl_mm.experiments.tables import Record, Runs, spread, table

__all__ = ["render"]

PICTURES = ("histogram", "matrix", "dendrogram")
_TITLES = {"meme": "MEME", "mmvae": "MMVAE", "mvae": "MVAE"}


def render(records: list[Record]) -> str:
    """The part of the page, from records that have measures."""
    lines = [_HEAD]
    for dataset in sorted({r["config"]["dataset"] for r in records}):
        own = [r for r in records if r["config"]["dataset"] == dataset]
        lines += [f"### {dataset}\n", *_tables(own)]
    return "\n".join([*lines, *_pictures(records), *_runs(records)])


def _tables(records: list[Record]) -> list[str]:
    fractions = sorted({r["config"]["fraction"] for r in records}, reverse=True)
    (first, second) = records[0]["measures"]["coherence"]["targets"]
    lines = []
    for title, read in (
        (f"Coherence, {first} to {second}", lambda m: _coherence(m, first, second)),
        (f"Coherence, {second} to {first}", lambda m: _coherence(m, second, first)),
        (f"Latent accuracy, {first}", lambda m: _latent(m, first)),
        (f"Latent accuracy, {second}", lambda m: _latent(m, second)),
        ("Relatedness, AUROC of one class", lambda m: m["relatedness"]["class"]["auroc"]),
    ):
        rows = [["system, unpaired rows hold", "epochs", *(f"{f:g}" for f in fractions)]]
        for (name, epochs), by_fraction in _rows(records).items():
            cells = [
                spread([read(r["measures"]) for r in by_fraction[f]]) if f in by_fraction else ""
                for f in fractions
            ]
            rows.append([name, str(epochs), *cells])
        lines += [f"{title}:\n", *table(rows)]
    return lines


def _rows(records: list[Record]) -> dict[tuple[str, int], dict[float, Runs]]:
    """(system and scheme, epochs) -> fraction -> seeds. Complete rows belong to every scheme."""
    schemes = sorted({r["config"]["scheme"] for r in records if r["config"]["fraction"] < 1})
    found: dict[tuple[str, int], dict[float, Runs]] = {}
    for record in sorted(records, key=lambda r: (_name(r), -r["config"]["fraction"])):
        config = record["config"]
        for scheme in (schemes or ["-"]) if config["fraction"] == 1 else [config["scheme"]]:
            row = found.setdefault((f"{_name(record)}, {scheme}", config["epochs"]), {})
            row.setdefault(config["fraction"], []).append(record)
    return found


def _name(record: Record) -> str:
    config = record["config"]
    title = _TITLES[config["system"]]
    return f"{title} ({config['preset']})" if config["system"] == "meme" else title


def _coherence(measures: Record, given: str, target: str) -> list[float]:
    found = measures["coherence"]
    cell: list[float] = found["cells"][found["given"].index([given])][
        found["targets"].index(target)
    ]
    return cell


def _latent(measures: Record, given: str) -> list[float]:
    accuracy: list[float] = measures["latents"]["z"]["given"][given]
    return accuracy


def _pictures(records: list[Record]) -> list[str]:
    """Figures 8 and 9, of the first seed of each system with all pairs."""
    lines = ["### Figures 8 and 9: relatedness, all rows paired\n"]
    for record in records:
        config = record["config"]
        if config["seed"] == 0 and config["fraction"] == 1:
            pictures = [f"![{_name(record)}, {k}]({_stem(config)}-{k}.png)" for k in PICTURES]
            lines.append(f"{_name(record)}:\n\n{' '.join(pictures)}\n")
    return lines if len(lines) > 1 else []


def _stem(config: Record) -> str:
    system = f"meme-{config['preset']}" if config["system"] == "meme" else config["system"]
    return f"{config['dataset']}-{system}-1-{config['epochs']}-0"


def _runs(records: list[Record]) -> list[str]:
    lines = ["Runs:\n"]
    for r in records:
        minutes = r["train_seconds"] / 60
        lines.append(
            f"- `{r['command']}`: {r['train_rows']:,} pairs, {minutes:.0f} min of training on a "
            f"busy {r['hardware']}, torch {r['versions']['torch']}."
        )
    return [*lines, ""]


_HEAD = """# MEME: few pairs

Made by `experiments/meme.py`. The share of generated pictures that a classifier reads as the
input's class; the accuracy of logistic regression on one draw of each unimodal posterior; and the
probability that the posteriors of two pictures of one class are nearer to each other (2-Wasserstein
distance) than those of two classes. One seed: ± is the standard error over test rows; several: the
deviation between them.

The paper trains on MNIST and SVHN for 100 epochs; here FashionMNIST is in SVHN's place, and the
runs are about 900 steps on 20,000 pairs, far from converged. As in the paper, MEME and MMVAE carry
the class from one modality to the other where MVAE mostly does not, all lose coherence when few
rows are pairs, and MEME's posteriors tell related pictures from others best while there are enough.
Unlike the paper's, MMVAE learns from incomplete rows too; in so few steps it is ahead of MEME in
coherence. Empty cells were not run.
"""
