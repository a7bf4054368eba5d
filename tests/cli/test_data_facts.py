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
SHARED = {{"sizes": None, "sources": (MNIST,), "tiles": (("left", "right"),)}}
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


UNKNOWN = {
    "a function of the file": """
def find_here(folder):
    pass
@register(modalities=("top",), sizes=None, find=find_here)
""",
    "a lambda": """
@register(modalities=("top",), sizes=None, find=lambda folder: found_here(folder))
""",
    "another module": """
from elsewhere import find
@register(modalities=("top",), sizes=None, find=find)
""",
    "a name that is assigned again": """
SIDES = ("left",)
SIDES = more(SIDES)
@register(modalities=SIDES, sizes=None)
""",
    "a name that a loop changes": """
SIDES = ["left"]
for side in ("right",):
    SIDES.append(side)
@register(modalities=tuple(SIDES), sizes=None)
""",
    "part of a text": """
@register(modalities=("top",), sizes=None, by_hand=f"Put them into {PLACE}.")
""",
    "an argument that there is not": """
@register(modalities=("top",), sizes=None, by_hnd="Put them there.")
""",
    "facts that fail": """
SIZES = (1, 2) + 3
@register(modalities=("top",), sizes=SIZES)
""",
}


@pytest.mark.parametrize("form", UNKNOWN)
def test_what_needs_another_name_is_asked_of_the_registry(form, monkeypatch):
    code = UNKNOWN[form] + "def digits():\n    pass\n"
    monkeypatch.setattr(data_facts, "parsed", lambda folder: [ast.parse(code)])
    assert list(data_facts.facts()) == [entry("digits")]


def test_arguments_are_those_at_the_place_of_each_data_set(monkeypatch):
    code = "".join(
        f"SIDES = ({side!r},)\n@register(modalities=SIDES, sizes=None)\ndef {side}():\n    pass\n"
        for side in ("left", "right")
    )
    monkeypatch.setattr(data_facts, "parsed", lambda folder: [ast.parse(code)])
    assert [one.modalities for one in data_facts.facts()] == [("left",), ("right",)]
