"""Flags as Python values, and lists and pages as wide as the terminal, sign by sign."""

import pytest

from ppl_mm.cli import flags, listing
from ppl_mm.cli.compare import _options


def test_names_come_several_times_or_between_commas():
    assert flags.names(None) == flags.names([]) == []
    assert flags.names(["a,b", "left eye"]) == ["a", "b", "left eye"]


def test_covariates_are_kept_as_they_are_written():
    assert flags.covariates(["site=b", "age=050", "note=a=b", "empty="]) == {
        "site": "b",
        "age": "050",
        "note": "a=b",
        "empty": "",
    }
    message = r"^covariate: expected NAME=VALUE such as site=b, got 'site'\.$"
    with pytest.raises(ValueError, match=message):
        flags.covariates(["age=3", "site"])


def test_weights_are_numbers():
    assert flags.weights(["label=5", "top=1e-2"]) == {"label": 5.0, "top": 0.01}
    for text in ("label", "label=", "label=five", "label=1=2"):
        message = rf"^weight: expected NAME=VALUE such as label=5, got '{text}'\.$"
        with pytest.raises(ValueError, match=message):
            flags.weights([text])


def test_options_are_json_or_words():
    given = ["a=8", "b=[1, 2]", "c=null", "d=true", 'e="8"', "f=iwae", "g=a=b", "h=", "i=-1.5"]
    assert flags.options(given) == {
        **{"a": 8, "b": [1, 2], "c": None, "d": True, "e": "8"},
        **{"f": "iwae", "g": "a=b", "h": "", "i": -1.5},
    }
    for text in ("a", "=8", "two words=8", "a-b=8", "1a=8"):
        message = rf"^option: expected NAME=VALUE such as private_dim=8, got '{text}'\.$"
        with pytest.raises(ValueError, match=message):
            flags.options([text])


def test_settings_are_the_flags_that_were_given():
    given = {
        "modality": ["top"],
        "weight": ["label=5"],
        "option": ["a=1"],
        "data_option": ["b=x"],
        "terms": "12",
        "seed": 0,
        "epochs": None,
        "beta": 0.0,
    }
    assert flags.settings(given) == {
        "modalities": ["top"],
        "weights": {"label": 5.0},
        "options": {"a": 1},
        "data_options": {"b": "x"},
        "terms": 12,
        "seed": 0,
        "beta": 0.0,
    }
    assert flags.settings({"modality": [], "weight": [], "option": None}) == {}
    assert [flags.settings({"terms": t})["terms"] for t in ("all", "-1", "0")] == ["all", "-1", 0]


def test_options_of_one_system_have_its_name_before_a_dot():
    given = ["a=1", "mvae.b=2.5", "mvae.c=x.y", "d=1.5", "mmvae.b=[0.5]"]
    common, own = _options(given, ["mvae", "mmvae"])
    assert common == ["a=1", "d=1.5"]
    assert own == {"mvae": {"b": 2.5, "c": "x.y"}, "mmvae": {"b": [0.5]}}
    assert _options([], ["mvae"]) == ([], {})


# ---------------------------------------------------------------- lists and pages


@pytest.fixture
def columns(monkeypatch):
    return lambda number: monkeypatch.setenv("COLUMNS", str(number))


def test_a_list_is_as_wide_as_the_terminal_and_40_columns_at_least(columns):
    for number, wide in ((200, 200), (41, 41), (10, 40)):
        columns(number)
        assert listing.width() == wide


def test_cells_are_aligned_and_the_last_one_is_cut(columns):
    columns(40)
    rows = [("a", "", "one"), ("long name", "xy", 30 * "z"), ("b", "", "")]
    assert listing.table(("name", "n", "what"), rows, "the caption").splitlines() == [
        "name       n   what",
        "a              one",
        f"long name  xy  {24 * 'z'}…",
        "b",
        "the caption",
    ]
    exactly = listing.table(("n", "what"), [("a", 37 * "z")])
    assert exactly.splitlines()[1] == f"a  {37 * 'z'}"  # 40 signs
    assert listing.table(("n", "what"), []) == "n  what"


def test_a_page_wraps_prose_and_leaves_formulas_in_their_lines(columns):
    columns(50)
    text = (
        "A first paragraph that is longer than\nthe fifty signs of a line.\n\n"
        "    x  =  y + z\n    y  =  3"
    )
    options = [("beta", "1.0", "The factor of the KL."), ("strata", "None", "")]
    assert listing.page(text, "any.", options).splitlines() == [
        "A first paragraph that is longer than the fifty",
        "signs of a line.",
        "",
        "    x  =  y + z",
        "    y  =  3",
        "",
        "Modalities: any.",
        "",
        "Options, --option NAME=VALUE, with their defaults:",
        "  beta = 1.0",
        "      The factor of the KL.",
        "  strata = None",
        "      ",
    ]


def test_a_page_has_100_columns_at_most(columns):
    columns(300)
    lines = listing.page("word " * 60, "word " * 60, [("a", "1", "word " * 60)]).splitlines()
    assert 90 < max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (":func:`ppl_mm.fit` and :class:`~ppl_mm.guides.Experts`", "fit and Experts"),
        ("``None`` and `x`", "None and `x`"),
        (":meth:`to_frame`: a table", "to_frame: a table"),
    ],
)
def test_documentation_without_its_markup(text, plain):
    assert listing.plain(text) == plain
