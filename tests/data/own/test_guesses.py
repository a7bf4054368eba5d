"""Where one kind ends and the next begins, to the row; which networks a size has."""

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch

from ppl_mm import data, likelihoods, networks
from ppl_mm.data.own.kinds import guess
from ppl_mm.data.own.source import Rows

N = 100
SPREAD = np.random.default_rng(0).permutation(np.linspace(1.0, 2.0, N))  # no two are equal


def kind_of(*columns, label=False):
    """The kind that is guessed of a table of these columns."""
    names = tuple("abcdefgh"[: len(columns)])
    frame = pandas.DataFrame(dict(zip(names, columns, strict=True)))
    return guess(Rows("t.csv", frame, names), label)


def some(number, value, other):
    """So many times a value among others."""
    values = np.array(other, dtype=object if isinstance(value, str) else float)
    values[:number] = value
    return values


# ------------------------------------------------------------------ numbers

WHOLE = np.arange(100.0) + 7


@pytest.mark.parametrize(("zeros", "kind"), [(19, "real"), (20, "counts"), (60, "counts")])
def test_whole_numbers_with_a_fifth_of_zeros_are_counts(zeros, kind):
    x = some(zeros, 0.0, WHOLE)
    assert kind_of(x) == kind_of(x, x) == kind
    assert kind_of(np.where(x == 100, 100.5, x)) == "real"  # one of them is not whole
    assert kind_of(np.where(x == 100, -100, x)) == "real"  # or below 0


def test_a_sparse_matrix_of_whole_numbers_holds_counts():
    dense = np.array([[3.0, 1.0], [2.0, 5.0]])
    assert guess(Rows("t.mtx", scipy.sparse.csr_array(dense)), False) == "counts"
    assert guess(Rows("t.npy", dense), False) == "real"
    assert guess(Rows("t.mtx", scipy.sparse.csr_array(dense + 0.5)), False) == "real"


@pytest.mark.parametrize(
    ("rows", "levels", "kind"),
    [(100, 20, "category"), (100, 21, "real"), (30, 15, "category"), (30, 16, "real")],
)
def test_few_whole_numbers_in_one_column_are_classes(rows, levels, kind):
    x = np.arange(rows) % levels + 3.0
    assert kind_of(x) == kind
    assert kind_of(x, x) == "real"
    assert kind_of(x + 0.5) == "real"
    assert guess(Rows("t.npy", x), False) == guess(Rows("t.npy", x[:, None]), False) == kind


@pytest.mark.parametrize(("factor", "kind"), [(100.0, "real"), (100.1, "positive")])
def test_numbers_of_more_than_two_orders_of_magnitude_are_positive(factor, kind):
    x = SPREAD.copy()
    x[x.argmin()], x[x.argmax()] = 0.5, 0.5 * factor
    assert kind_of(x) == kind_of(x, x) == kind
    assert kind_of(-x) == "real"
    assert kind_of(x, SPREAD) == "real"  # each column must be
    assert kind_of(np.where(x == 0.5, np.nan, x)) == "real"
    assert kind_of(np.where(x == 0.5, 0.0, x)) == "real"


def test_zeros_and_ones_are_binary_and_nothing_at_all_is_real():
    bits = np.arange(N) % 2.0
    assert kind_of(bits) == kind_of(bits, bits) == "binary"
    assert kind_of(np.where(bits > 0, np.nan, 0.0)) == "binary"
    assert kind_of(np.full(N, np.nan)) == "real"
    assert kind_of(some(1, np.inf, bits)) == "real"
    assert kind_of(bits, label=True) == "category"


def test_an_array_of_pictures_is_one():
    assert guess(Rows("t.npy", np.zeros((3, 4, 4))), False) == "image"
    assert guess(Rows("t.npy", np.zeros((3, 4))), False) == "binary"


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(("joined", "kind"), [(10, "category"), (11, "label set")])
@pytest.mark.parametrize("sign", [";", "|"])
def test_lists_of_labels_in_more_than_a_tenth_of_the_cells(joined, kind, sign):
    assert kind_of(some(joined, f"a{sign} b", ["c"] * N)) == kind


@pytest.mark.parametrize(
    ("rows", "levels", "kind"),
    [
        *[(200, 50, "category"), (200, 51, "text"), (40, 20, "category"), (40, 21, "text")],
        *[(3, 2, "category"), (3, 3, "text"), (2, 2, "category")],
    ],
)
def test_words_that_come_again_are_classes(rows, levels, kind):
    assert kind_of([f"word {i % levels}" for i in range(rows)]) == kind


def test_yes_and_no_in_any_case_are_binary():
    assert kind_of(["Yes", "no", None, "NO", " yes "] * 20) == "binary"
    assert kind_of(["T", "f"] * 50, ["true", "False"] * 50) == "binary"
    assert kind_of(["yes", "no", "maybe"] * 30) == "category"


def test_text_beside_numbers_is_told_by_its_first_cell():
    x = [*map(str, SPREAD[:5]), "0,5", "old"]
    with pytest.raises(
        ValueError, match=r"t.csv, row 5, column 'b': .* column 'a', got '0,5'; write"
    ):
        kind_of(SPREAD[:7], x)
    with pytest.raises(
        ValueError, match=r"row 0, column 'a': .*got 'old'; correct it, or make text"
    ):
        kind_of(["old", *x[1:5]], SPREAD[:5])
    with pytest.raises(
        ValueError, match="columns 'a', 'b' are text; make each a modality of its o"
    ):
        kind_of(["u", "v"], ["w", "x"])


# ------------------------------------------------------------------ networks


def modality(columns, **keys):
    table = pandas.DataFrame(columns)
    made = data.from_frame(table, {"x": {"columns": ["*"], **keys}}, quiet=True)
    return made, made.modalities[0]


@pytest.mark.parametrize(
    ("size", "hidden", "latent"), [(500, (128, 128), 16), (501, (256, 256), 32)]
)
def test_wide_modalities_have_wide_layers_and_a_large_latent(size, hidden, latent):
    made, found = modality(np.random.default_rng(0).normal(size=(12, size)), kind="real")
    assert found.encoder.keywords["hidden"] == found.decoder.keywords["hidden"] == hidden
    assert made.latent_dim == latent


@pytest.mark.parametrize(
    ("size", "encoder", "decoder"),
    [(49, networks.TableEncoder, networks.RatesDecoder),
     (50, networks.CountsEncoder, networks.CountsDecoder)],
)  # fmt: skip
def test_counts_of_many_columns_are_parts_of_a_total(size, encoder, decoder):
    counts = np.random.default_rng(0).poisson(3.0, size=(20, size)).astype(float)
    counts[:, 0] = 0.0
    made, found = modality(counts, kind="counts")
    assert (found.encoder.func, found.decoder.func) == (encoder, decoder)
    seen = np.array(made.provenance.places["train"])
    if decoder is networks.CountsDecoder:
        assert found.decoder.keywords["total"] == np.median(counts[seen].sum(1))
        assert found.features.func is networks.CountsFeatures
    else:
        expected = np.log((counts[seen].sum(0) + 0.5) / len(seen))
        np.testing.assert_allclose(found.decoder.keywords["log_mean"], expected)
        assert found.decoder.keywords["dispersion"]
        log = np.log1p(counts[seen])
        np.testing.assert_allclose(found.encoder.keywords["centre"], log.mean(0))
        assert found.encoder.keywords["spread"][0] == 1.0  # a constant
    with pytest.raises(ValueError, match="at least 50 columns that are parts of a total, got 49"):
        modality(counts[:, :49], kind="counts", likelihood="zero inflated negative binomial")


def test_poisson_counts_have_no_dispersion():
    counts = np.random.default_rng(0).poisson(3.0, size=(20, 4)).astype(float)
    _, found = modality(counts, kind="counts", likelihood="Poisson")
    assert not found.decoder.keywords["dispersion"]


def test_columns_of_positive_values_are_seen_by_their_logarithms():
    x = np.exp(np.random.default_rng(0).normal(size=(20, 2)))
    made, found = modality(x, kind="positive")
    seen = x[np.array(made.provenance.places["train"])]
    for network in (found.encoder, found.decoder):
        np.testing.assert_allclose(network.keywords["centre"], np.log(seen).mean(0))
        np.testing.assert_allclose(network.keywords["spread"], np.log(seen).std(0))
    assert found.encoder.keywords["transform"] == "log"
    _, own = modality(x, kind="positive", likelihood={"name": "Normal", "scale": 2.0})
    np.testing.assert_allclose(own.encoder.keywords["centre"], np.log(seen).mean(0))
    np.testing.assert_allclose(own.decoder.keywords["centre"], seen.mean(0))
    assert own.likelihood == likelihoods.Normal(2.0)
    assert not own.decoder.keywords["learned_scale"]


@pytest.mark.parametrize(
    ("shape", "maps"),
    [
        *[((8, 8), 1), ((16, 24), 2), ((64, 64), 4), ((128, 128), 4)],
        *[((7, 8), 0), ((4, 4), 0), ((8, 12), 1)],
    ],
)
def test_pictures_are_halved_while_their_sides_divide(shape, maps, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((10, *shape)).astype(np.float32))
    (tmp_path / "d.toml").write_text('[modalities.x]\nfile = "x.npy"\n')
    made = data.from_file(tmp_path / "d.toml", quiet=True)
    (found,) = made.modalities
    assert found.likelihood == likelihoods.Normal(scale=0.1)
    if maps == 0:
        assert found.encoder.func is networks.MLPEncoder
        assert found.features is None
    else:
        assert [layer[0] for layer in found.encoder.keywords["layers"]] == [32, 64, 128, 128][:maps]
        start = found.decoder.keywords["start"]
        assert start[1:] == (shape[0] >> maps, shape[1] >> maps)
        assert found.features.func is networks.ConvFeatures
    x = made.train["x"][:2]
    assert found.decoder(3)(torch.zeros(2, 3)).shape == x.shape == (2, 1, *shape)
    assert found.encoder(3)(x)[0].shape == (2, 3)


def test_pictures_in_black_and_white_are_bernoulli(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2, (10, 8, 8))
    np.save(tmp_path / "x.npy", bits.astype(np.float32))
    np.save(tmp_path / "y.npy", (255 * bits).astype(np.uint8))
    for name in ("x", "y"):
        (tmp_path / "d.toml").write_text(f'[modalities.x]\nfile = "{name}.npy"\nkind = "image"\n')
        made = data.from_file(tmp_path / "d.toml", quiet=True)
        assert made.modalities[0].likelihood == likelihoods.Bernoulli()
        assert made.train["x"].unique().tolist() == [0.0, 1.0]
