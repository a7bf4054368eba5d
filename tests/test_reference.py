"""The reference holds every public name, with the types of its arguments."""

import importlib
import importlib.util
import inspect
import pkgutil
from pathlib import Path

import fuzzing
import pytest

import ppl_mm

spec = importlib.util.spec_from_file_location(
    "reference", Path(__file__).resolve().parents[1] / "docs" / "reference.py"
)
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

INSIDE = {  # their public names are those of a package with a page, such as ppl_mm.evaluation
    f"ppl_mm.{name}"
    for name in (
        *("__main__", "arguments", "batch", "checkout", "cli", "files", "likelihood"),
        *("measures", "modality", "oracles", "published", "results"),
    )
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("reference")
    reference.write(folder)
    return "".join(page.read_text() for page in folder.glob("*.rst"))


def test_every_package_has_a_page() -> None:
    packages = {found.name for found in pkgutil.iter_modules(ppl_mm.__path__, "ppl_mm.")}
    assert packages - INSIDE <= set(reference.PAGES)
    assert set(fuzzing.MODULES) <= set(reference.PAGES)


def test_every_public_name_is_documented_once(pages: str) -> None:
    for package in reference.PAGES:
        for name in importlib.import_module(package).__all__:
            thing = getattr(importlib.import_module(package), name)
            if inspect.ismodule(thing):
                continue
            kinds = ("class", "function", "data")
            places = [f".. auto{kind}:: {package}.{name}\n" for kind in kinds]
            written = sum(pages.count(place) for place in places)
            linked = f"`{name} <ppl_mm" in pages
            assert written == 1 or (written == 0 and linked), f"{package}.{name}"


@pytest.mark.parametrize("thing", fuzzing.public(), ids=lambda thing: thing.name)
def test_every_argument_has_a_type(thing: fuzzing.Public) -> None:
    for name, parameter in thing.parameters.items():
        assert parameter.annotation is not parameter.empty, name
