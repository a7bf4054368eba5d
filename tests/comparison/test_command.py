"""The command: what it refuses, which options go where, and what is escaped on the page."""

import re

import pytest
from comparing import call

from ppl_mm.comparison import Outcome, plan, write


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--system mvae --system mave", "unknown system 'mave'.* Did you mean 'mvae'"),
        ("--system mvae --missing 1.5", r"missing\[0\]: .*from 0 to 1, got 1.5"),
        ("--system mvae --missing 0.5 --missing .5", "missing: 0.5 is given twice"),
        ("--system mvae --system mvae", "system: mvae is given twice"),
        ("--system mvae --system vae", "vae"),
        (
            "--system mvae --option mmvae.strata=1",
            "option of 'mmvae': the comparison has only mvae",
        ),
        ("--system mvae --option mvae.strat=1", "unknown argument 'strat'"),
        ("--system mvae --clip-norm 0", "clip_norm: .*above 0"),
        ("--system mvae --load nowhere", "no run here"),
        ("--missing 0", "--system"),
    ],
)
def test_mistakes_are_told_in_one_line_before_anything_is_written(
    words, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = call("compare", "digits", *words.split(), "--epochs", "1")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.search(message, line), line
    assert not list(tmp_path.iterdir())


def test_options_of_one_system_and_of_all(monkeypatch):
    planned = []

    def stop(trials, folders):
        planned.extend(trials)
        raise ValueError("planned")

    monkeypatch.setattr("ppl_mm.comparison.adopt", stop)
    options = ["--option", "mmvae.strata=1", "--option", "prior=null", "--terms", "1"]
    call("compare", "digits", "--system", "mvae", "--system", "mmvae", *options)
    mvae, mmvae = (trial.config for trial in planned)
    assert (mvae.options, mvae.terms) == ({"prior": None}, 1)
    assert (mmvae.options, mmvae.terms) == ({"prior": None, "strata": 1}, None)


def test_what_comes_from_outside_is_escaped(tmp_path):
    (trial,) = plan(tmp_path, "digits", ["mvae"])
    nasty = '<script>alert("x")</script>'
    write(tmp_path, [Outcome(trial, failure=nasty)], command=f"ppl-mm {nasty}")
    text = (tmp_path / "report.html").read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 2
