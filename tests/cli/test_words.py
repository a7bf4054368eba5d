"""Flags as Python values, lists and pages of 80 columns, and the view of a run, sign by sign."""

import json

import pytest
from comparing import call
from rich.console import Console

from ppl_mm.cli import flags, listing
from ppl_mm.cli.compare import _options, _table
from ppl_mm.cli.watch import _shown
from ppl_mm.comparison import Block, Entry
from ppl_mm.files import owned


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


# ---------------------------------------------------------------- the view of a run


def seen(folder, width=80):
    console = Console(width=width, record=True)
    console.print(_shown(folder, width))
    return [line.rstrip() for line in console.export_text().splitlines()]


def history(folder, rows, names=("epoch", "loss")):
    lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
    (folder / "history.csv").write_text("\n".join(lines) + "\n")


def test_the_state_of_a_run_is_its_owner_or_how_it_ended(tmp_path):
    assert seen(tmp_path, 200)[0] == f"{tmp_path}: stopped, 0 epochs"
    history(tmp_path, [(1, 4.0)])
    (tmp_path / "system.safetensors").write_text("")
    assert seen(tmp_path, 200)[0] == f"{tmp_path}: ended, 1 epochs"
    with owned(tmp_path):
        assert f"{tmp_path}: process " in seen(tmp_path, 200)[0]


def test_a_curve_goes_from_the_smallest_to_the_largest_value(tmp_path):
    history(tmp_path, [(1, 9, 0.5, 3), (2, 2, 0.5, 3), (3, 5.5, 0.5, 3)],
            ("epoch", "loss", "same", "seconds"))  # fmt: skip
    *_, loss, same = seen(tmp_path)
    assert loss.strip() == "loss █▁▅ 2 to 9"
    assert same.strip() == "same ▁▁▁ 0.5 to 0.5"


def test_the_table_has_the_last_ten_epochs_without_parts_of_the_loss(tmp_path):
    rows = [(i, 100.0 / i, 1.0, i) for i in range(1, 13)]
    history(tmp_path, rows, ("epoch", "loss", "a/b", "seconds"))
    text = "\n".join(seen(tmp_path))
    cells = [line.split()[1] for line in text.splitlines() if line.startswith("│")]
    assert cells == [str(i) for i in range(3, 13)]
    heading = next(line for line in text.splitlines() if line.startswith("┃"))
    assert "a/b" not in heading
    assert "seconds" in heading
    assert "8.33333" in text
    assert "a/b ▁" in text  # the curve of a part is there


def test_names_with_square_brackets_are_headings_and_titles_of_curves(tmp_path):
    history(tmp_path, [(1, 1, 1), (2, 2, 2)], ("epoch", "loss", "error [mm]"))
    text = "\n".join(seen(tmp_path))
    assert text.count("error [mm]") == 2


def test_a_long_run_is_thinned_out_to_the_width(tmp_path):
    history(tmp_path, [(i, i) for i in range(1000)])
    *_, line = seen(tmp_path, 80)
    curve = line.split()[1]
    assert len(curve) == 80 - len("loss") - 26
    assert (curve[0], curve[-1]) == ("▁", "█")
    assert list(curve) == sorted(curve)


def test_values_that_are_no_numbers_leave_a_gap_in_the_curve(tmp_path):
    history(tmp_path, [(1, 4, "nan"), (2, "inf", "nan"), (3, 2, "nan")], ("epoch", "loss", "elbo"))
    *_, loss = seen(tmp_path)
    assert loss.strip() == "loss █ ▁ 2 to 4"


def test_a_measure_with_a_long_name_is_cut(tmp_path):
    name = "log_likelihood:label|top-and-bottom"
    history(tmp_path, [(1, 1, 1), (2, 2, 2)], ("epoch", "loss", name))
    *_, line = seen(tmp_path, 100)
    assert line == f"{name[:27]}… ▁█ 1 to 2"


def test_only_a_run_can_be_watched(tmp_path):
    result = call("watch", tmp_path / "nothing")
    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path / 'nothing'}: no run here.\n"


# ---------------------------------------------------------------- tables of comparisons


def test_the_terminal_shows_the_best_in_bold_and_doubt_in_grey():
    entries = {
        ("log p(x)", "a"): Entry(-3.0, 0.5, 2, 2),
        ("log p(x)", "b"): Entry(-9.0, 0.5, 2, 2),
        ("ELBO", "a"): Entry(-4.0, 0.5, 2, 2, unreliable=0.06),
    }
    block = Block(0.25, ("a", "b"), ("ELBO", "log p(x)"), entries)
    table = _table(block, ["a", "b"])
    minus = "\N{MINUS SIGN}"
    assert table.title == "missing 0.25"
    assert [list(c.cells) for c in table.columns] == [
        ["ELBO", "log p(x)"],
        [f"[bright_black]{minus}4.00 ± 0.50[/]?", f"[bold]{minus}3.00 ± 0.50[/]"],
        ["", f"{minus}9.00 ± 0.50"],
    ]
    assert [c.header for c in _table(block, ["b"]).columns] == ["held-out rows", "b"]


# ---------------------------------------------------------------- data


def test_a_description_is_written_beside_the_picture_of_what_is_missing(tmp_path, few_pixels):
    result = call("data", "describe", "digits", "--out", tmp_path / "new")
    text, _, written = result.stdout.rstrip("\n").rpartition("\n")
    assert (tmp_path / "new" / "description.txt").read_text() == f"{text}\n"
    assert (tmp_path / "new" / "missing.png").read_bytes()[:4] == b"\x89PNG"
    assert written.startswith("written: ")
    assert call("data", "describe", "digits").stdout == f"{text}\n"


def test_the_default_folder_of_a_run_has_the_name_of_its_data(tmp_path, monkeypatch):
    seen_ = []

    def trained(out, system, dataset, **options):
        seen_.append((out.as_posix(), dataset))
        raise ValueError("enough")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ppl_mm.runs.train", trained)
    for dataset in ("digits", "studies/cohort.toml", str(tmp_path / "other.toml")):
        assert call("train", "mvae", dataset).stderr == "error: enough\n"
    assert seen_ == [
        ("runs/mvae-digits", "digits"),
        ("runs/mvae-cohort", "studies/cohort.toml"),
        ("runs/mvae-other", str(tmp_path / "other.toml")),
    ]


def test_what_is_trained_for_is_what_the_flags_say(tmp_path, monkeypatch):
    seen_ = {}

    def trained(out, system, dataset, **options):
        seen_.update(options)
        raise ValueError("enough")

    monkeypatch.setattr("ppl_mm.runs.train", trained)
    words = {
        "--modality": "top", "--latent-dim": 3, "--weight": "label=2", "--terms": 4,
        "--beta": 0.5, "--option": "a=1", "--data-option": "b=2", "--paired": 0.25,
        "--missing": 0.125, "--epochs": 5, "--batch-size": 6, "--learning-rate": 0.75,
        "--scheduler": "cosine", "--monitor": "loss", "--annealing-epochs": 7, "--patience": 8,
        "--clip-norm": 9.0, "--impartial": "mgda", "--seed": 10, "--device": "cpu",
        "--precision": "64-true", "--step": "eager", "--data-dir": "here", "--num-samples": 11,
        "--rows": 12,
    }  # fmt: skip
    flat = [word for pair in words.items() for word in pair]
    call("train", "mvae", "digits", "--out", tmp_path / "run", *flat, "--resume", "--quiet")
    assert seen_ == {
        "modalities": ["top"], "latent_dim": 3, "weights": {"label": 2.0}, "terms": 4,
        "beta": 0.5, "options": {"a": 1}, "data_options": {"b": 2}, "paired": 0.25,
        "missing": 0.125, "epochs": 5, "batch_size": 6, "learning_rate": 0.75,
        "scheduler": "cosine", "monitor": "loss", "annealing_epochs": 7, "patience": 8,
        "clip_norm": 9.0, "impartial": "mgda", "seed": 10, "device": "cpu",
        "precision": "64-true", "step": "eager", "data_dir": "here", "num_samples": 11,
        "rows": 12, "resume": True, "overwrite": False, "progress": False, "callbacks": [],
    }  # fmt: skip
    assert json.dumps(seen_)
