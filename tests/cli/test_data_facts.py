"""Facts that are read from the sources: they are those of the registry, for every form of them."""

import ast
from dataclasses import fields

import pytest

from ppl_mm.cli import data_facts
from ppl_mm.data.registry import entries, entry
from ppl_mm.published.facts import Facts, in_order
from ppl_mm.published.small_pictures import MNIST


def test_facts_are_those_of_the_registry():
    for read, known in zip(in_order(data_facts.facts()), entries(), strict=True):
        assert type(read) is Facts
        for field in fields(Facts):
            assert getattr(read, field.name) == getattr(known, field.name)


FORMS = {
    "names": """
A, B = ("left",), "right"
A += (B,)
{imports}
@register(modalities=A, sizes=None, sources=(MNIST,), defaults=Defaults(epochs=2))
""",
    "partial": """
{imports}
_first = partial(register, sizes=None, sources=(MNIST,), defaults=DEFAULTS)
_register = partial(_first, sizes=(9, 9, 9))
@_register(modalities=("left", "right"), sizes=None, tiles=TILES)
""",
    "stars": """
{imports}
SHARED = {{"sizes": None, "sources": (MNIST,)}}
@typed
@register(modalities=("left", *("right",)), **SHARED)
""",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(form, monkeypatch):
    imports = "from ppl_mm.published.small_pictures import MNIST\nencoder = MLPEncoder(2)"
    code = FORMS[form].format(imports=imports) + "def pairs():\n    pass\n"
    monkeypatch.setattr(data_facts, "parsed", lambda folder: [ast.parse(code)])
    (found,) = data_facts.facts()
    expected = {"name": "pairs", "modalities": ("left", "right"), "sizes": None}
    assert found == Facts(**expected, sources=(MNIST,))


@pytest.mark.parametrize("find", ["find_here", "elsewhere.find"])
def test_what_needs_another_name_is_asked_of_the_registry(find, monkeypatch):
    code = f"def find_here(folder):\n    pass\n@register(find={find})\ndef digits():\n    pass\n"
    monkeypatch.setattr(data_facts, "parsed", lambda folder: [ast.parse(code)])
    assert list(data_facts.facts()) == [entry("digits")]
