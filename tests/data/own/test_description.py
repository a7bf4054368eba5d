"""The printed description, cell by cell."""

from functools import partial

import torch

from ppl_mm import Modality, Observations, likelihoods, networks
from ppl_mm.data import Columns, DataSet, Provenance, Vocabulary
from ppl_mm.data.provenance import Covariate
from ppl_mm.data.vocabulary import SPECIALS


def numbers(name, shape=(2,)):
    return Modality(
        name,
        likelihoods.Normal(scale=1.0),
        partial(networks.MLPEncoder, event_shape=shape, hidden=()),
        partial(networks.MLPDecoder, event_shape=shape, hidden=()),
    )


def described(values, present=None, provenance=None, modalities=None, **options):
    train = Observations(values, present)
    declared = modalities or tuple(numbers(n, tuple(x.shape[1:])) for n, x in values.items())
    given = {"label": None, "num_classes": None, **options}
    return DataSet(
        "small", train, None, train[:1], declared, 3, provenance=provenance, **given
    ).describe()


def printed(found):
    """The cells of every line of every table, as they are printed."""
    lines = str(found).replace("┃", "│").splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def test_values_of_each_modality_in_words():
    values = {"x": torch.tensor([[-1.5, 2.0], [0.25, 123456.0]]), "y": torch.zeros(2, 2, 3)}
    held = {"y": torch.tensor([False, False])}
    lines = printed(described(values, held))
    assert lines[:3] == [
        ["", "modality", "kind", "one value", "values", "missing"],
        ["1", "x", "Normal", "2", "-1.5 to 1.235e+05", "0.0%"],
        ["2", "y", "Normal", "2 x 3", "none", "100.0%"],
    ]


def test_patterns_beyond_the_twelfth_are_counted_together():
    masks = torch.cartesian_prod(*[torch.tensor([True, False])] * 4)[:-1]  # 15 patterns
    times = torch.arange(15, 0, -1)
    rows = masks[torch.arange(15).repeat_interleave(times)]
    values = {n: torch.zeros(len(rows), 1) for n in "abcd"}
    lines = printed(described(values, {n: rows[:, i] for i, n in enumerate("abcd")}))
    lines = lines[5 : 5 + 14]  # after the table of values
    assert lines[0] == ["rows", "share", "hold 1 2 3 4"]
    assert [line[0] for line in lines[1:4]] == ["16", "14", "13"]  # a test row is of the first
    assert [line[2] for line in lines[1:4]] == ["█ █ █ █", "█ █ █ ·", "█ █ · █"]
    assert lines[13] == ["6", f"{6 / 121:.1%}", "3 other patterns"]


def test_rows_that_are_alike_need_no_pattern_if_they_are_whole():
    whole = {"x": torch.zeros(3, 1), "y": torch.zeros(3, 1)}
    assert "share" not in str(described(whole))
    none = {"y": torch.zeros(3, dtype=torch.bool)}
    assert ["4", "100.0%", "█ ·"] in printed(described(whole, none))


def test_levels_symbols_and_covariates_are_told():
    label = Modality(
        "sort",
        likelihoods.Categorical(),
        partial(networks.LabelEncoder, num_classes=5, hidden=(2,)),
        partial(networks.MLPDecoder, event_shape=(5,), hidden=()),
    )
    said = Modality(
        "said",
        likelihoods.Tokens(),
        partial(networks.SentenceEncoder, length=3, vocab_size=1234, embedding=2, hidden=2),
        partial(networks.SentenceDecoder, length=3, vocab_size=1234, embedding=2, hidden=2),
    )
    values = {"sort": torch.arange(4), "said": torch.ones(4, 3).long()}
    columns = {
        "sort": Columns("category", ("sort",), ("a", "[b]", "c", "d", "e"), "t.csv", False),
        "said": Columns("text", ("said",), (), "t.csv", False),
    }
    covariates = {"age": Covariate("age", (), 1.0, 2.0), "site": Covariate("site", ("u", "v"))}
    provenance = Provenance(None, "", None, {}, columns, {}, covariates)
    words = Vocabulary((*SPECIALS, *map(str, range(1231))))
    found = described(
        values,
        None,
        provenance,
        (label, said),
        label="sort",
        num_classes=5,
        vocabularies={"said": words},
    )
    assert [m.values for m in found.modalities] == ["a, [b], c and 2 more", "1,234 symbols"]
    assert [m.shape for m in found.modalities] == [(), (3,)]
    assert found.covariates == ("age (a number)", "site (2 classes)")
    text = str(found)
    assert "small: 5 rows (4 train, 1 test); label 'sort' of 5 classes" in text
    assert "networks read: age (a number); site (2 classes)" in text
    assert "a, [b], c and 2" in text  # brackets are no markup
    assert max(map(len, text.splitlines())) <= 80


def test_networks_are_told_with_their_number_of_parameters():
    found = described({"x": torch.zeros(4, 2)})
    encoder, decoder = 2 * 6 + 6, 3 * 2 + 2
    expected = ("Normal", f"MLPEncoder {encoder}", f"MLPDecoder {decoder}")
    assert found.modalities[0].networks == expected
    assert "size of the latent: 3; numbers are parameters" in str(found)
