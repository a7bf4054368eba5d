"""Imports point one way: no circle of modules, and a folder imports only from those before it."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "ppl_mm"
BESIDE = ("models", "guides", "experiments")  # folders of the package that lie beside it

LAYERS = {
    "checkout": "where models, guides and experiments lie",
    "files": "files that are written whole, tell damage and have one owner",
    "published": "published files of data sets: where they are and how to find them",
    "arguments": "arguments checked at the door of every public function",
    "batch": "observations, their masks, terms and strata, rows, files larger than memory",
    "processes": "what several processes that train together share",
    "likelihoods": "p(x_m given z): what a decoder's output means",
    "modality": "the declaration of one modality",
    "programs": "what models and guides are made of; what a model conditions on",
    "networks": "encoders and decoders",
    "distributions": "products, quotients and mixtures of experts; priors",
    "models": "the generative stories",
    "guides": "the joint encoders",
    "objectives": "the log-weight core, then one file an objective",
    "systems": "the named triples; saving and loading",
    "results": "what measures return: tables, data frames, pictures",
    "likelihood": "log p and its error",
    "training": "fit, its steps, callbacks and checkpoints",
    "data": "one file a data set; own data from files and frames",
    "oracles": "networks that measures use: classifiers, feature extractors, embeddings",
    "measures": "coherence, accuracy, calibration, latents and the others",
    "evaluation": "the public door to likelihoods, oracles, measures and results",
    "plotting": "pictures of systems",
    "ppl_mm": "the package itself: the names of `import ppl_mm`",
    "baselines": "what the papers compare with",
    "runs": "run folders: one configuration, one record, one resume",
    "comparison": "the page of several runs",
    "experiments": "a folder a paper",
    "cli": "the command",
    "__main__": "python -m ppl_mm",
}
"""The folders and files of the package, each of which imports only from itself and those before."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts if parts[0] == PACKAGE else (PACKAGE, *parts))
    return name.removesuffix(".__init__")


FILES = {
    module_of(path): path
    for folder in (PACKAGE, *BESIDE)
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def at_run_time(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a file, in functions too, without those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_run_time(ast.Module(node.orelse, []))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            yield from at_run_time(node)


def names_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    """What a statement imports, in full."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert node.level == 0, "imports name the whole package"
    return [f"{node.module}.{alias.name}" for alias in node.names]


def source_of(name: str, origins: dict[str, str]) -> str | None:
    """The module that a name comes from; None for another library's.

    Of ``from ppl_mm import fit`` it is the module that defines ``fit``.
    """
    name = origins.get(name, name)
    while name not in FILES:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return name


def imports_of(sources: dict[str, str]) -> dict[str, set[str]]:
    """Module -> the modules that it imports; plain ``import ppl_mm`` counts for nothing."""
    root = ast.parse(sources[PACKAGE])
    public = [n for n in ast.walk(root) if isinstance(n, ast.ImportFrom) and n.module]
    origins = {
        f"{PACKAGE}.{a.asname or a.name}": f"{n.module}.{a.name}" for n in public for a in n.names
    }
    found = {}
    for module, text in sources.items():
        names = [name for node in at_run_time(ast.parse(text)) for name in names_of(node)]
        given = {source_of(name, {} if module == PACKAGE else origins) for name in names}
        found[module] = {m for m in given if m and m not in (module, PACKAGE)}
    return found


@cache
def package_imports() -> dict[str, set[str]]:
    """The package's imports, read where a test asks: every process collects this file."""
    return imports_of({module: path.read_text() for module, path in FILES.items()})


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def circle(imports: dict[str, set[str]]) -> list[str]:
    """The modules of a circle, each importing the one before it; none without one."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle():
    assert circle(package_imports()) == []


def test_a_circle_would_be_found():
    broken = {**package_imports(), "ppl_mm.modality": {"ppl_mm.systems.system"}}
    assert {"ppl_mm.modality", "ppl_mm.systems.system"} <= set(circle(broken))


@pytest.mark.parametrize("folder", LAYERS)
def test_a_folder_imports_only_from_those_before_it(folder):
    allowed = [*LAYERS][: [*LAYERS].index(folder) + 1]
    own = {module: found for module, found in package_imports().items() if layer(module) == folder}
    assert own
    wrong = {
        (module, imported)
        for module, found in own.items()
        for imported in found
        if layer(imported) not in allowed
    }
    assert wrong == set()


def test_every_folder_has_its_place():
    assert {layer(module) for module in FILES} == LAYERS.keys()


def test_contributing_has_the_same_list_in_the_same_order():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    listed = re.findall(r"^\| `(?:ppl_mm/)?(\w+)(?:/|\.py)` \|", text, re.MULTILINE)
    assert [name for name in listed if name in LAYERS] == [n for n in LAYERS if n != PACKAGE]


@pytest.mark.parametrize(
    ("text", "imported"),
    [
        ("from ppl_mm import fit", {"ppl_mm.training.fit"}),
        ("from ppl_mm import systems", {"ppl_mm.systems"}),
        ("def f():\n    import ppl_mm.data.mnist", {"ppl_mm.data.mnist"}),
        ("from ppl_mm.systems.system import System", {"ppl_mm.systems.system"}),
        ("if TYPE_CHECKING:\n    from ppl_mm.systems import System", set()),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import ppl_mm.data", {"ppl_mm.data"}),
        ("import torch", set()),
    ],
)
def test_which_statements_count(text, imported):
    sources = {PACKAGE: FILES[PACKAGE].read_text(), "ppl_mm.experiments.new": text}
    assert imports_of(sources)["ppl_mm.experiments.new"] == imported
