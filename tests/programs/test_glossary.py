"""What the glossary calls ours is there."""

import re
from pathlib import Path

import pytest

import ppl_mm
from ppl_mm import Modality, Observations, data, guides, systems
from ppl_mm.batch import host_masks, observations
from ppl_mm.objectives import Term

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "glossary.md").read_text()
PUBLIC = sorted(set(re.findall(r"\b(?:guides|objectives|distributions|systems)\.\w+", TEXT)))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_name_of_a_folder_is_there(name):
    folder, thing = name.split(".")
    module = ppl_mm.distributions if folder == "distributions" else getattr(ppl_mm, folder)
    assert hasattr(module, thing)


def test_the_types_of_a_batch_and_the_host_tensor_are_there():
    named = set(re.findall(r"`(\w+Strata|UnderTerms|HostTensor|Observations)`", TEXT))
    assert named == {"UnderTerms", "UnderStrata", "DrawnStrata", "Observations"}
    assert named <= {*observations.__all__}
    assert "ppl_mm.batch.host_masks.HostTensor" in TEXT
    assert host_masks.HostTensor


def test_the_masks_of_the_glossary_are_those_of_a_batch():
    digits = data.load("digits")
    obs: Observations = digits.test[:2]
    for mask in ("present", "scored", "evidence", "source"):
        assert mask in TEXT.lower()
        assert getattr(obs, mask)["top"].shape == (2,)


def test_options_of_the_glossary_are_options():
    digits = data.load("digits")
    assert all(hasattr(digits.modalities[0], name) for name in ("weight", "features", "likelihood"))
    assert Modality.__dataclass_fields__.keys() >= {"name", "encoder", "decoder"}
    assert all(hasattr(Term(("a",), ("a",)), name) for name in ("reference", "via", "weight"))
    assert {"omega", "alpha", "mmd_weight"} <= {option.name for option in systems.options("cmmd")}
    assert guides.ProductOfExperts(digits.modalities, 2).prior_expert is True
