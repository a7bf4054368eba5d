"""Systems of a comparison in pairs, from the rows' own log-likelihoods; doubt is grey."""

from dataclasses import replace

import pytest
import torch
from rich.console import Console

from ppl_mm.comparison import Outcome, plan, summarise
from ppl_mm.comparison.page import page
from ppl_mm.comparison.paired import paired
from ppl_mm.comparison.training import Training
from ppl_mm.results.log_likelihood import COLUMNS, LogLikelihood
from ppl_mm.runs import Measures
from ppl_mm.runs.likelihoods import read, write
from ppl_mm.runs.measures import Likelihood, _likelihood

NAMES = ("mvae", "mmvae", "mopoe")


def told(value, k=0.2, target=("top",), given=()):
    value = torch.as_tensor(value, dtype=torch.float64)
    columns = dict.fromkeys(COLUMNS, torch.ones_like(value)) | {"value": value}
    columns |= {"low": value - 0.1, "high": value + 0.1, "pareto_k": k * torch.ones_like(value)}
    made = LogLikelihood.of(columns, 1000, target, given, "guide", MODALITIES)
    return replace(made, row_ids=("a", "b", "c"))


MODALITIES = plan("nowhere", "digits", ["mvae"])[0].dataset.modalities


def outcomes(**results):
    trials = plan("nowhere", "digits", list(results))
    found = []
    for trial, result in zip(trials, results.values(), strict=True):
        likelihoods = (Likelihood("ELBO", -9.0, 0.1), _likelihood(result))
        measures = Measures(likelihoods, (), 3, 3, 1000, True, results=(result,))
        training = Training(1, 1, 2.0, 30, "CPU", "torch")
        found.append(Outcome(trial, measures, training))
    return found


def test_pairs_are_made_of_the_same_quantity():
    found = outcomes(mvae=told([-1, -2, -3]), mmvae=told([-2, -2.5, -3]), mopoe=told([-1] * 3))
    (block,) = summarise(found)
    (comparison,) = paired(block, found)
    assert list(comparison.results) == ["mopoe", "mvae", "mmvae"]
    assert comparison.to_frame()["elpd_diff"].tolist() == pytest.approx([0.0, 3.0, 4.5])
    other = outcomes(mvae=told([-1, -2, -3]), mmvae=told([-2, -2.5, -3], given=("label",)))
    assert paired(summarise(other)[0], other) == []


def test_the_page_shows_pairs_and_doubt_in_grey(monkeypatch):
    monkeypatch.setattr("ppl_mm.comparison.page._pictures", lambda *_: [])
    found = outcomes(mvae=told([-1, -2, -3]), mmvae=told([-2, -2.5, -3], k=0.9))
    text = page(found, summarise(found), "ppl-mm compare")
    assert "Systems in pairs" in text
    assert '<tr class="doubtful"><th scope="row">mmvae</th><td>-7.5</td>' in text
    assert '<span class="doubtful">\N{MINUS SIGN}2.50' in text
    assert '<span class="doubtful">\N{MINUS SIGN}2.00' not in text
    assert "Do not rank systems by them" in text
    alone = outcomes(mvae=told([-1, -2, -3]))
    assert "Systems in pairs" not in page(alone, summarise(alone), "")


def test_rows_are_kept_in_a_file(tmp_path):
    results = [told([-1, -2, -3]), told([-4, -5, -6], target=("label",), given=("top", "bottom"))]
    write(tmp_path / "rows.npz", results)
    again = read(tmp_path / "rows.npz", MODALITIES)
    for old, new in zip(results, again, strict=True):
        assert old.quantity == new.quantity
        assert old.row_ids == new.row_ids
        assert new.parts[0].draws.tolist() == [0, 1, 2]
        assert all(torch.equal(getattr(old, n), getattr(new, n)) for n in COLUMNS)
    assert read(tmp_path / "none.npz", MODALITIES) == []
    (tmp_path / "rows.npz").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"rows\.npz: the file is damaged"):
        read(tmp_path / "rows.npz", MODALITIES)


def test_measures_say_the_stages_and_are_plain_numbers_in_json():
    result = replace(told([-1, -2, -3], k=0.9), refinement=torch.tensor([1, 1, 4]))
    found = outcomes(mvae=result)[0].measures
    assert found.likelihoods[1].stages == pytest.approx({"laplace": 2 / 3, "annealed": 1 / 3})
    assert found.likelihoods[1].refined == "laplace 67%, annealed 33%"
    assert "results" not in found.to_dict()
    assert Measures.of(found.to_dict()) == found
    console = Console(width=100, record=True)
    console.print(found.table("mvae"))
    text = " ".join(console.export_text().split())
    assert "Grey: more than 5% of the rows are so" in text
    assert "laplace 67" in text
