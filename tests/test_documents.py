"""What the documents say is true: examples run, and every public name has a docstring."""

import doctest
import importlib
import inspect
import json
import linecache
import pkgutil
import re
from pathlib import Path

import fuzzing
import pytest
import torch

import ppl_mm
from ppl_mm import Observations
from ppl_mm.objectives import Term
from ppl_mm.results.estimate import Estimate

ROOT = Path(__file__).resolve().parents[1]
PARTS = {"ppl_mm": "ppl_mm", "models": "ppl_mm.models", "guides": "ppl_mm.guides"}
PARTS |= {"experiments": "ppl_mm.experiments"}
"""Folder -> package: every Python file below the folder is a module of it."""


def modules() -> list[str]:
    found = []
    for folder, package in PARTS.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if parts[-1] != "__main__":
                found.append(".".join((package, *parts)).removesuffix(".__init__"))
    return sorted(found)


MODULES = modules()


def test_every_module_is_looked_at():
    walked = {m.name for m in pkgutil.walk_packages(ppl_mm.__path__, "ppl_mm.")}
    assert {name for name in walked if not name.endswith("__main__")} <= set(MODULES)
    for paper in (path.parent.name for path in (ROOT / "experiments").glob("*/__init__.py")):
        assert f"ppl_mm.experiments.{paper}" in MODULES
        assert f"ppl_mm.experiments.{paper}.experiment" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name, monkeypatch):
    monkeypatch.setattr(linecache, "checkcache", lambda filename=None: None)  # of every file
    torch.set_default_dtype(torch.float32)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner()
    for examples in Examples().find(module, name, extraglobs={"torch": torch}):
        runner.run(examples)
    assert runner.failures == 0


class Examples(doctest.DocTestFinder):
    """Finds those of functions whose arguments are checked too."""

    def _from_module(self, module, object):
        return super()._from_module(module, inspect.unwrap(object))


def test_the_examples_of_checked_functions_are_found():
    names = {e.name for e in Examples().find(importlib.import_module("ppl_mm.results.estimate"))}
    assert "ppl_mm.results.estimate.Estimate" in names
    module = importlib.import_module("ppl_mm.systems.registry")
    found = {e.name: e.examples for e in Examples().find(module)}
    assert found["ppl_mm.systems.registry.options"]


@pytest.mark.parametrize("thing", fuzzing.public(), ids=lambda thing: thing.name)
def test_every_public_function_is_checked_and_says_what_is_raised(thing):
    call = thing.call
    owner = call.__init__ if inspect.isclass(call) else call
    assert getattr(owner, "typed", False) or call in (Observations, Term)
    text = inspect.getdoc(call)
    assert "Raises:" in text
    raised = text[text.index("Raises:") :]
    assert re.search(r"\w+(Error|Exception): ", raised)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", []):
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), f"{name}.{public}"


@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
def test_the_readme_runs_from_top_to_bottom(tmp_path, monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = re.sub(r"epochs=\d+\)", "epochs=2, progress=False)", block)
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    assert names["images"]["top"].shape == (5, 100, 4, 8)
    assert names["result"].value.shape == (100,)


@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
def test_the_page_of_systems_runs_and_names_them_all():
    torch.set_default_dtype(torch.float32)
    text = (ROOT / "docs" / "systems.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = re.sub(r"epochs=\d+\)", "epochs=1, progress=False)", block)
    names: dict[str, object] = {"__name__": "systems"}
    exec(compile(code, "systems.md", "exec"), names)
    assert names["styled"]["top"].shape == (1, 100, 4, 8)
    readme = (ROOT / "README.md").read_text()
    for name in ppl_mm.systems.available():
        assert f"`systems.{name}`" in text or f"`{name}`" in text
        assert f"`{name}`" in readme


def test_every_link_of_a_document_leads_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_stop_gradient_document_says_what_happens():
    text = (ROOT / "docs" / "stop_gradient.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "stop_gradient.md", "exec"), names)
    gradients = names["gradients"]
    assert abs(gradients["stopped"]) < 1e-12 < 1e-2 < abs(gradients["exact"])
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert (ROOT / "docs" / picture).exists()


def test_the_document_on_decoders_runs_from_top_to_bottom():
    torch.set_default_dtype(torch.float32)
    text = (ROOT / "docs" / "decoders.md").read_text()
    names: dict[str, object] = {"__name__": "decoders"}
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    exec(compile(code, "decoders.md", "exec"), names)
    assert [len(bound) for bound in names["bounds"]] == [1, 4, 7]
    p = names["StudentT"]()((torch.full((3, 4, 5), 3.0), torch.zeros(3, 4, 5), torch.ones(3, 4, 5)))
    assert (p.batch_shape, p.event_shape) == ((3,), (4, 5))


def test_the_document_on_pyro_trains_a_latent_that_rows_share():
    torch.set_default_dtype(torch.float32)
    text = (ROOT / "docs" / "pyro.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code.replace("epochs=20", "progress=False, epochs=20"), "pyro.md", "exec"), names)
    losses = [row["loss"] for row in names["result"].history]
    assert losses[-1] < losses[0]


def test_the_document_on_trust_quotes_its_record():
    record = json.loads((ROOT / "benchmarks" / "results" / "likelihood.json").read_text())
    text = (ROOT / "docs" / "trust.md").read_text()
    quoted = record["tables"][0]
    assert quoted["title"].startswith("quick start, log p(top, bottom, label)")
    for row in quoted["rows"]:
        assert f"| {' | '.join(row)} |" in text


@pytest.mark.slow  # trains, anneals and runs NUTS
@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
def test_the_document_on_trust_runs_from_top_to_bottom(tmp_path, monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "trust.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    names: dict[str, object] = {}
    exec(compile(code, "trust.md", "exec"), names)
    found, plain, annealed = names["found"], names["plain"], names["annealed"]
    error = torch.hypot(annealed.standard_error, found.standard_error[:3])
    assert ((annealed.value - found.value[:3]).abs() < 5 * error + 0.1).all()
    assert len(found.unreliable) <= len(plain.unreliable)
    assert names["comparison"].unreliable("mvae") == len(found.unreliable) / 20
    certificate = names["certificate"]
    low, _ = certificate.expected()
    assert int(certificate.holds.sum()) >= low - 1
    for first, last in (names["bounds"].gap, names["both"].gap):  # a few rows: 3 standard errors
        closer = Estimate.of(last - first)
        assert closer.value < 3 * closer.standard_error
    assert names["ranks"].p_value() < 0.05  # the guide of so short a training is not the posterior
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert (ROOT / "docs" / picture).exists()
