"""Tables of MMJSD and DMVAE beside MMVAE+, by the sizes of their private latents."""

from dataclasses import asdict

from ppl_mm.experiments import tables
from ppl_mm.experiments.findings import finding
from ppl_mm.experiments.mmvae_plus.experiment import PRIVATE, Config
from ppl_mm.experiments.tables import Record, Runs, spread, table

__all__ = ["DEFAULT", "TITLES", "distance_name", "pairs", "settings", "sizes", "sizes_of"]

DEFAULT = asdict(Config())
TITLES = {
    "mmvae_plus": "MMVAE+",
    "mmvae": "MMVAE",
    "mopoe": "MoPoE",
    "mvae": "MVAE",
    "mmjsd": "MMJSD",
    "dmvae": "DMVAE",
}


def settings(records: list[Record]) -> list[Runs]:
    """Group the runs of one setting; a record lacks the options that are newer than it."""
    return tables.settings(tables.filled(records, Config), list(TITLES))


def distance_name(records: list[Record]) -> str:
    """Say which features the Fréchet distances of these records are of.

    Raises:
        ValueError: If some are of Inception's and some are not, as they do not compare.
    """
    kinds = {r["config"].get("features", "classifier") for r in records}
    if len(kinds) > 1:
        raise ValueError("features: expected one kind for all runs of a page, got two.")
    return {"classifier": "FID-clf", "inception": "FID (Inception)"}[kinds.pop()]


def sizes(records: list[Record]) -> list[str]:
    """Show figure 2: coherence and quality by the sizes of u and w, and by beta."""
    rows = [["system", "u + w", "β", "epochs", "coherence"]]
    rows[0] += [f"{distance_name(records)}, targets not given"]
    for runs in settings(records):
        c, of = runs[0]["config"], [r["measures"] for r in runs]
        if c["system"] in PRIVATE:
            rows.append(
                [
                    *_sized(runs),
                    spread([m["coherence"]["mean"] for m in of]),
                    spread([m["fid"]["cross mean"] for m in of]),
                ]
            )
    return [
        "## The sizes of private latents\n",
        finding("mmvae_plus", "The sizes of private latents"),
        *table(rows),
    ]


def pairs(records: list[Record]) -> list[str]:
    """Show figure 17: MNIST with SVHN, or FashionMNIST, by the sizes of u and w."""
    lines: list[str] = []
    for dataset, title in (("mnist_svhn", "SVHN"), ("mnist_fashion", "FashionMNIST")):
        groups = settings([r for r in records if r["config"]["dataset"] == dataset])
        if groups:
            rows = [["system", "u + w", "β", "epochs", f"MNIST to {title}", f"{title} to MNIST"]]
            rows[0] += [f"{distance_name(records)} of {title}"]
            for runs in groups:
                of = [r["measures"] for r in runs]
                crossed = [spread([m["coherence"]["cells"][i][1 - i] for m in of]) for i in (0, 1)]
                distance = spread([m["fid"]["cells"][0][1] for m in of])
                rows.append([*_sized(runs), *crossed, distance])
            lines += [
                f"## MNIST with {title}\n",
                finding("mmvae_plus", "MNIST with another"),
                *table(rows),
            ]
    return lines


def sizes_of(config: Record) -> str:
    """Return the sizes of u and w: ``32 + 32``, or ``10 + 1, 4`` where modalities differ."""
    private = [config["private_dim"], config["other_private_dim"]]
    return f"{config['shared_dim']} + {', '.join(str(w) for w in private if w is not None)}"


def _sized(runs: Runs) -> list[str]:
    """Return system, sizes, beta and epochs."""
    c = runs[0]["config"]
    seeds = f" ({len(runs)} seeds)" if len(runs) > 1 else ""
    return [TITLES[c["system"]] + seeds, sizes_of(c), f"{c['beta']:g}", str(c["epochs"])]
