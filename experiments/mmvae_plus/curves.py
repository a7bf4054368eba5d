"""The curves and scatter plots of MMVAE+'s paper, from the records of several runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ppl_mm import plotting
from ppl_mm.experiments.mmvae_plus.sizes_table import TITLES, distance_name, settings
from ppl_mm.experiments.tables import Record, Runs, first_seed, point

__all__ = [
    "draw_alphas",
    "draw_by_beta",
    "draw_by_size",
    "draw_latents",
    "draw_pairs",
    "draw_scatter",
    "shown",
]

Points = dict[str, list[tuple[float, float, float]]]

_CAPTIONS = {
    "scatter": "Coherence against the distance to the data, of each system at every β",
    "by-beta": "Coherence and distance by β and the size of private latents",
    "by-size": "Coherence and distance by the size of private latents",
    "latents": "Accuracy of the class from the latents; the larger w, the smaller is u",
    "pairs": "Coherence and distance of DMVAE and MMVAE+ by the size of private latents",
    "alphas": "Coherence and distance by the scale of private latents",
}


_NAMES = {"mnist": "MNIST", "svhn": "SVHN", "fashion": "FashionMNIST"}


def shown(kind: str, show: Callable[[list[Record]], list[str]]) -> Callable[..., list[str]]:
    """Return a page with the picture of this kind above its tables."""

    def page(records: list[Record]) -> list[str]:
        return [f"![{_CAPTIONS[kind]}]({_file(records, kind)})\n", *show(records)]

    return page


def draw_scatter(records: list[Record], folder: Path) -> None:
    """Draw figure 1, right: quality against coherence, of each system at every beta.

    The upper plot shows generations given one modality, the lower one draws from the prior. A good
    system is at the top left.
    """
    panels = {
        "given one": (lambda m: m["fid"]["cross mean"], lambda m: m["coherence"]["mean"]),
        "from the prior": (lambda m: m["joint fid"]["mean"], lambda m: m["joint coherence"]),
    }
    figure = Figure(figsize=(5, 6.4), layout="constrained")
    grid = figure.subplots(len(panels), 1)
    for axes, (title, (quality, coherence)) in zip(grid, panels.items(), strict=True):
        by_system: dict[str, list[Runs]] = {}
        for runs in settings(records):
            by_system.setdefault(runs[0]["config"]["system"], []).append(runs)
        for mark, (system, groups) in zip("osD^vPX", by_system.items(), strict=False):
            x = [_mean(runs, quality) for runs in groups]
            y = [_mean(runs, coherence) for runs in groups]
            axes.scatter(x, y, marker=mark, label=TITLES[system])
            for runs, place in zip(groups, zip(x, y, strict=True), strict=True):
                beta = f" {runs[0]['config']['beta']:g}"
                axes.annotate(beta, place, fontsize=7)
        axes.set(title=title, xlabel=distance_name(records), ylabel="coherence", ylim=(0, 1))
    grid[0].legend(frameon=False, fontsize=8, title="beside a mark: β")
    plotting.save(figure, folder / _file(records, "scatter"))


def draw_by_beta(records: list[Record], folder: Path) -> None:
    """Draw figure 2: coherence and quality by beta, with a curve for each size of w."""
    _curves(
        records,
        folder,
        "by-beta",
        "β",
        lambda c: c["beta"],
        lambda c: f"{TITLES[c['system']]} ({c['private_dim']})",
    )


def draw_by_size(records: list[Record], folder: Path) -> None:
    """Draw figure 3: coherence and quality by the size of w, where u has the rest."""
    _curves(
        records,
        folder,
        "by-size",
        "size of w",
        lambda c: c["private_dim"],
        lambda c: TITLES[c["system"]],
    )


def _curves(
    records: list[Record],
    folder: Path,
    kind: str,
    xlabel: str,
    x: Callable[[Record], float],
    name: Callable[[Record], str],
) -> None:
    panels: dict[str, Points] = {"coherence": {}, distance_name(records): {}}
    for runs in settings(records):
        config, of = runs[0]["config"], [r["measures"] for r in runs]
        cells = [m["coherence"]["mean"] for m in of], [[m["fid"]["cross mean"], 0.0] for m in of]
        for panel, found in zip(panels.values(), cells, strict=True):
            panel.setdefault(name(config), []).append(point(x(config), found))
    plotting.save(plotting.error_curves(panels, xlabel=xlabel), folder / _file(records, kind))


def draw_latents(records: list[Record], folder: Path) -> None:
    """Draw figure 11: accuracy from the latents, by beta, by the size of w, and the latter nearer.

    The first panel has u (or z) of each system; the second has u, w and both of MMVAE+ at beta 1.
    The third shows the second's curves that know the class, u and both, on a scale of their own.
    """
    by_beta: dict[str, list[Any]] = {}
    by_size: dict[str, list[Any]] = {}
    for runs in settings(records):
        config, of = runs[0]["config"], [r["measures"]["latents"] for r in runs]
        shared = "z" if "z" in of[0] else "u"
        if config["shared_dim"] == config["private_dim"] or shared == "z":
            curve = by_beta.setdefault(TITLES[config["system"]], [])
            curve.append(point(config["beta"], [m[shared]["mean"] for m in of]))
        if config["system"] == "mmvae_plus" and config["beta"] == 1:
            for group in ("u", "w", "u,w"):
                curve = by_size.setdefault(f"from {group}", [])
                curve.append(point(config["private_dim"], [m[group]["mean"] for m in of]))
    nearer = {name: curve for name, curve in by_size.items() if name != "from w"}
    panels = {"u (or z), by β": by_beta, "MMVAE+ at β = 1": by_size, "the same, nearer": nearer}
    found = {title: curves for title, curves in panels.items() if curves}
    labels = {title: "β" if curves is by_beta else "size of w" for title, curves in found.items()}
    figure = plotting.error_curves(found, xlabel=labels, ylabel="accuracy")
    plotting.save(figure, folder / _file(records, "latents"))


def draw_pairs(records: list[Record], folder: Path) -> None:
    """Draw figure 17: coherence both ways, and quality, by the size of w, for each beta."""
    first, second = (_NAMES[name] for (name,) in records[0]["measures"]["coherence"]["given"])
    panels: dict[str, Points] = {}
    for runs in sorted(settings(records), key=lambda runs: float(runs[0]["config"]["beta"])):
        c, of = runs[0]["config"], [r["measures"] for r in runs]
        x, system, beta = c["other_private_dim"], TITLES[c["system"]], f"β = {c['beta']:g}"
        coherence = panels.setdefault(f"coherence, {beta}", {})
        for i, name in enumerate((f"{first} to {second}", f"{second} to {first}")):
            cells = [m["coherence"]["cells"][i][1 - i] for m in of]
            coherence.setdefault(f"{system}, {name}", []).append(point(x, cells))
        quality = panels.setdefault(f"{distance_name(records)} of {second}, {beta}", {})
        cells = [[m["fid"]["cells"][0][1], 0.0] for m in of]
        quality.setdefault(f"{system}, {first} to {second}", []).append(point(x, cells))
    figure = plotting.error_curves(panels, xlabel=f"size of {second}'s w")
    plotting.save(figure, folder / _file(records, "pairs"))


def draw_alphas(records: list[Record], folder: Path) -> None:
    """Draw figure 19: coherence and quality by the factor alpha on the scale of p(w)."""
    panels: dict[str, Points] = {"coherence": {}, distance_name(records): {}}
    for record in first_seed(records):
        for name, found in record["measures"].get("private", {}).items():
            if name.startswith("alpha "):
                cells = found["coherence"], [found["fid"], 0.0]
                for panel, cell in zip(panels.values(), cells, strict=True):
                    at = float(name.removeprefix("alpha "))
                    panel.setdefault("MMVAE+", []).append(point(at, [cell]))
    plotting.save(plotting.error_curves(panels, xlabel="alpha"), folder / _file(records, "alphas"))


def _mean(runs: Runs, read: Callable[[Record], Any]) -> float:
    found = [read(r["measures"]) for r in runs]
    return sum(v[0] if isinstance(v, list) else v for v in found) / len(found)


def _file(records: list[Record], kind: str) -> str:
    return f"{records[0]['config']['dataset']}-{len(records)}-runs-{kind}.png"
