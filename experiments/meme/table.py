"""The MEME experiment's records as tables, in the form of the paper's tables 2 to 7."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ppl_mm.experiments import captions
from ppl_mm.experiments.findings import finding, page_head
from ppl_mm.experiments.meme import likelihood
from ppl_mm.experiments.meme.experiment import Config
from ppl_mm.experiments.meme.paper import EPOCHS, FRACTIONS, PAPER, TRUTH, name_of, rows_of
from ppl_mm.experiments.tables import Record, cell, commands, first_seed, length, spread, table

__all__ = [
    "Reads",
    "coherences",
    "correlations",
    "figure_8",
    "figure_9",
    "latent_accuracies",
    "presets",
    "render",
    "table_3",
    "table_4",
    "table_5",
    "table_6",
    "table_7",
]

Reads = dict[str, Callable[[Record], Any]]
"""Title -> the function that reads a value with its standard error from a record's measures."""
Numbers = Mapping[str, Mapping[str, tuple[float, ...]]]
"""Title -> system and scheme -> the paper's numbers by the fraction of pairs."""
_PAPER_7 = {
    "latent accuracy, mnist": {"MMVAE (laplace)": (0.918,)},
    "latent accuracy, svhn": {"MMVAE (laplace)": (0.652,)},
}


def render(records: list[Record]) -> str:
    """Return this part of the page of results, from records that have measures."""
    lines = [page_head("meme", "MEME: few pairs"), finding("meme", "What the paper claims")]
    for dataset in sorted({r["config"]["dataset"] for r in records}):
        own = [r for r in records if r["config"]["dataset"] == dataset]
        of_presets = presets(own)
        lines += [f"### {dataset}\n", *of_presets]
        classes = (likelihood.table_2, table_3, table_4, table_6, _relatedness)
        for part in (table_5,) if dataset == "cub" else classes:
            lines += [line for line in part(own) if line not in of_presets]
    shown = _pictures(
        [r for r in records if r["config"]["dataset"] != "cub"],
        ("histogram", "matrix", "dendrogram"),
    )
    if shown:
        lines += ["### Figures 8 and 9: relatedness, all rows paired\n", *shown]
    return "\n".join([*lines, *commands(records)])


def coherences(records: list[Record]) -> Reads:
    """Read coherence of each modality generated from the other, on one data set."""
    first, second = _modalities(records)
    return {
        f"Coherence, {given} to {target}": partial(_coherence, given=given, target=target)
        for given, target in ((first, second), (second, first))
    }


def latent_accuracies(records: list[Record]) -> Reads:
    """Read the accuracy of logistic regression on draws of each unimodal posterior."""
    return {f"Latent accuracy, {n}": partial(_latent, given=n) for n in _modalities(records)}


def correlations(records: list[Record]) -> Reads:
    """Read the correlation of birds' pictures with captions, one generated from the other."""
    del records
    pairs = ((captions.IMAGE, captions.TEXT), (captions.TEXT, captions.IMAGE))
    return {
        f"Correlation, {given} to {made}": partial(_correlation, given=(given,))
        for given, made in pairs
    }


def table_3(records: list[Record]) -> list[str]:
    """Show coherence by the fraction of pairs."""
    return [*presets(records), *_tables(records, coherences(records))]


def table_4(records: list[Record]) -> list[str]:
    """Show latent accuracy by the fraction of pairs."""
    return [*presets(records), *_tables(records, latent_accuracies(records))]


def table_5(records: list[Record]) -> list[str]:
    """Show correlation by the fraction of pairs."""
    both = (captions.IMAGE, captions.TEXT)
    truth = spread([_correlation(records[0]["measures"], both)])
    note = f"Real pairs: {truth}, in the paper {TRUTH}.\n"
    return [note, *presets(records), *_tables(records, correlations(records))]


def table_6(records: list[Record]) -> list[str]:
    """Show mutual information of modalities generated from the other one, on one data set."""
    own = [r for r in records if "mutual information" in r["measures"]]
    names = _modalities(own) if own else ()
    reads: Reads = {f"Mutual information, {n}": partial(_information, target=n) for n in names}
    return [*presets(own), *_tables(own, reads)]


def table_7(records: list[Record]) -> list[str]:
    """Show latent accuracy and coherence of MMVAE with Laplace posteriors and prior."""
    accuracies = _tables(records, latent_accuracies(records), _PAPER_7)
    published = records[0]["config"]["dataset"] in EPOCHS
    note = [finding("meme", "Table 7")] if published else []
    return [*note, *accuracies, *_tables(records, coherences(records), {})]


def figure_8(records: list[Record]) -> list[str]:
    """Show how well distances of posteriors separate related pairs from others, on one data set."""
    found = _relatedness(records)
    return [*presets(records), *found, *_pictures(records, ("histogram",))]


def figure_9(records: list[Record]) -> list[str]:
    """Show distances between classes, on one data set."""
    return _pictures(records, ("matrix", "dendrogram"))


def _pictures(records: list[Record], kinds: Sequence[str]) -> list[str]:
    """Show the pictures of each run of the first seed with all pairs, side by side."""
    lines = []
    several = len({length(r["config"]) for r in records if r["config"]["fraction"] == 1}) > 1
    for record in first_seed(records):
        config, name = Config(**record["config"]), name_of(record)
        name += f", epochs: {length(record['config'])}" if several else ""
        if config.fraction == 1:
            shown = [f"![{name}, {kind}]({config.name}-{kind}.png)" for kind in kinds]
            lines.append(f"{name}:\n\n{' '.join(shown)}\n")
    return lines


def _relatedness(records: list[Record]) -> list[str]:
    by = "item" if records[0]["config"]["dataset"] == "cub" else "class"
    reads: Reads = {f"Relatedness, AUROC of one {by}": lambda m: m["relatedness"][by]["auroc"]}
    return _tables(records, reads)


def _modalities(records: list[Record]) -> tuple[str, str]:
    first, second = records[0]["measures"]["coherence"]["targets"]
    return first, second


def presets(records: list[Record]) -> list[str]:
    """Say what the presets of MEME are; with the paper's data, which of them compares with it."""
    if all(r["config"]["system"] != "meme" for r in records):
        return []
    published = records[0]["config"]["dataset"] in EPOCHS
    theirs = [finding("meme", "Presets: the paper's values")] if published else []
    return [finding("meme", "Presets"), *theirs]


def _tables(records: list[Record], reads: Reads, paper: Numbers = PAPER) -> list[str]:
    lines = []
    for title, read in reads.items():
        fractions = sorted({r["config"]["fraction"] for r in records}, reverse=True)
        rows = [["system, unpaired rows hold", "epochs", *(f"{f:g}" for f in fractions)]]
        for (name, epochs), by_fraction in rows_of(records).items():
            cells = [
                spread([read(r["measures"]) for r in by_fraction[f]]) if f in by_fraction else ""
                for f in fractions
            ]
            rows.append([name, epochs, *cells])
        trained = EPOCHS.get(records[0]["config"]["dataset"], "")
        for name, numbers in paper.get(title[0].lower() + title[1:], {}).items() if trained else ():
            known = dict(zip(FRACTIONS, numbers, strict=False))
            cells = [f"{known[f]:.3f}" if f in known else "" for f in fractions]
            rows.append([f"*{name}, paper*", trained, *cells])
        lines += [f"{title}:\n", *table(rows)]
    return lines


def _coherence(measures: Record, given: str, target: str) -> list[float]:
    return cell(measures["coherence"], (given,), target)


def _correlation(measures: Record, given: tuple[str, ...]) -> list[float]:
    return cell(measures["correlation"], given)


def _latent(measures: Record, given: str) -> list[float]:
    accuracy: list[float] = measures["latents"]["z"]["given"][given]
    return accuracy


def _information(measures: Record, target: str) -> list[float]:
    nats: list[float] = measures["mutual information"][target]
    return nats
