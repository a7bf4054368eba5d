"""Write the reference: one page a noun, with every public name of its package.

A page lists what the package's ``__all__`` lists, so a new public name is on the site without any
edit here.
"""

import importlib
import inspect
from pathlib import Path
from typing import Any

PAGES = {
    "ppl_mm": "The front door",
    "ppl_mm.likelihoods": "Likelihoods",
    "ppl_mm.networks": "Networks",
    "ppl_mm.distributions": "Distributions",
    "ppl_mm.programs": "Programs and contracts",
    "ppl_mm.models": "Models",
    "ppl_mm.guides": "Guides",
    "ppl_mm.objectives": "Objectives",
    "ppl_mm.systems": "Systems",
    "ppl_mm.training": "Training",
    "ppl_mm.data": "Data",
    "ppl_mm.evaluation": "Likelihoods and measures of a system",
    "ppl_mm.plotting": "Pictures",
    "ppl_mm.baselines": "Baselines",
    "ppl_mm.runs": "Run folders",
    "ppl_mm.comparison": "Comparisons",
    "ppl_mm.processes": "Several processes",
}


def write(folder: Path) -> None:
    """Write the pages and their index into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    seen: dict[int, str] = {}
    for name, title in PAGES.items():
        _write(folder / f"{name}.rst", _page(name, title, seen))
    listed = "\n".join(f"   {name}" for name in PAGES)
    index = f"Reference\n=========\n\n.. toctree::\n   :maxdepth: 1\n\n{listed}\n"
    _write(folder / "index.rst", index)


def _page(name: str, title: str, seen: dict[int, str]) -> str:
    """A page of reStructuredText; what another page has already is linked to."""
    module = importlib.import_module(name)
    lines = [title, "=" * len(title), "", f".. automodule:: {name}", "   :no-members:", ""]
    for public in module.__all__:
        thing = getattr(module, public)
        if inspect.ismodule(thing):
            continue
        kind = "class" if inspect.isclass(thing) else "function" if callable(thing) else "data"
        role = {"class": "class", "function": "func", "data": "data"}[kind]
        if kind != "data" and id(thing) in seen:
            lines += [f"* :{role}:`{public} <{seen[id(thing)]}.{public}>`", ""]
            continue
        seen[id(thing)] = name
        lines += [f".. auto{kind}:: {name}.{public}", ""]
        if kind == "class":
            lines[-1:] = ["   :members:", ""]
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    """Write a page where it has changed, so that Sphinx reads again only what is new."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app: Any) -> dict[str, bool]:
    """Make this a Sphinx extension that writes the pages before they are read."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "reference"))
    return {"parallel_read_safe": True}
