"""The records of birds and their captions as tables, beside the MMVAE+ paper's claims."""

from ppl_mm.experiments import captions, tables
from ppl_mm.experiments.findings import finding, page_head
from ppl_mm.experiments.mmvae_plus.sizes_table import TITLES
from ppl_mm.experiments.tables import Record, Runs, cell, made, spread, table

__all__ = ["measures", "render"]

_IMAGE, _TEXT = (captions.IMAGE,), (captions.TEXT,)


def render(records: list[Record]) -> str:
    """Return this part of the page of results, from records that have measures."""
    return "\n".join(
        [
            page_head("mmvae_plus", "MMVAE+ on birds and their captions"),
            *measures(records),
            *_runs(records),
        ]
    )


def measures(records: list[Record]) -> list[str]:
    """Show distances of pictures, correlation with captions, and ELBO, with one row per setting."""
    head = ["system", "K, objective", "β", "epochs", "training rows"]
    quality = [[*head, "features", "image given caption", "from the prior", "rebuilt", "real"]]
    fit = [[*head, "image given caption", "caption given image", "drawn together", "real pairs"]]
    fit[0] += ["ELBO"]
    for runs in tables.settings(records, list(TITLES)):
        of = [r["measures"] for r in runs]
        distances = [spread([cell(m["fid"], given) for m in of]) for given in (_TEXT, (), _IMAGE)]
        real = spread([m["fid of training rows"] for m in of])
        quality.append([*_setting(runs), runs[0]["config"]["features"], *distances, real])
        scores = [
            spread([cell(m["correlation"], given) for m in of])
            for given in (_TEXT, _IMAGE, (), (*_IMAGE, *_TEXT))
        ]
        fit.append([*_setting(runs), *scores, spread([m["elbo"] for m in of])])
    return [
        "## Pictures of birds: Fréchet distances\n",
        *table(quality),
        finding("mmvae_plus", "Quality of birds"),
        "## Do picture and caption fit: canonical correlation\n",
        *table(fit),
        finding("mmvae_plus", "Fit of birds and captions"),
    ]


def _setting(runs: Runs) -> list[str]:
    c = runs[0]["config"]
    seeds = f" ({len(runs)} seeds)" if len(runs) > 1 else ""
    of_importance = c["system"] in ("mmvae_plus", "mmvae")
    how = f"{c['num_particles']}, {c['objective']}" if of_importance else ""
    rows = f"{runs[0]['train_rows']:,}"
    return [TITLES[c["system"]] + seeds, how, f"{c['beta']:g}", str(c["epochs"]), rows]


def _runs(records: list[Record]) -> list[str]:
    lines = ["## Runs\n"]
    for r in records:
        lines.append(f"- `{r['command']}`: {made(r)}; {r['measures']['test rows']:,} test rows.")
    return [*lines, ""]
