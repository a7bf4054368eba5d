"""At paper scale every page of MEME has the paper's rows and settings: a missing one is red."""

from itertools import product

from paper_contents import Contents

from ppl_mm.experiments.meme import gradients

meme = Contents("meme")

PRESETS = ("code", "paper", "bound")
SCHEMES = ("mnist", "svhn", "split")
MEMES = tuple(("meme", preset) for preset in PRESETS)  # The release's objective, the paper's, ours.
OTHERS = (("mmvae", "bound"), ("mvae", "bound"))  # They have no preset: it is the default.
PAIRED = {(*kind, 1.0, "split") for kind in (*MEMES, *OTHERS)}
NAMES = ("system", "preset", "fraction", "scheme")

PICTURES = {"dataset": "mnist_svhn", "epochs": 100, "lr": 5e-4, "batch_size": 128}
PICTURES |= {"latent_dim": 64, "num_particles": 11, "num_pseudo_inputs": 128, "clip_norm": None}
BIRDS = {**PICTURES, "dataset": "cub", "epochs": 300, "lr": 1e-4}
WHOLE = {"rows": None, "num_train": None, "num_test": None}


def test_every_page_is_held():
    assert meme.not_held == set()


@meme.holds("table-3", "table-4", "table-6", "figure-5", "figure-7")
def test_few_pairs(table):
    fewer = tuple(product((0.5, 0.25, 0.125, 0.0625), SCHEMES))
    kinds = (*MEMES, ("mvae", "bound"))
    assert meme.of(table, *NAMES) == PAIRED | {(*k, *few) for k, few in product(kinds, fewer)}
    meme.has(table, **PICTURES, **WHOLE, direction="both", family="normal")


@meme.holds("table-5", "figure-6")
def test_birds(table):
    schemes = ("image", "caption", "split")
    kinds = (*MEMES, ("mvae", "bound"))
    fewer = {(*k, f, s) for k, f, s in product(kinds, (0.5, 0.25, 0.125), schemes)}
    assert meme.of(table, *NAMES) == PAIRED | fewer
    meme.has(table, **BIRDS, **WHOLE, direction="both", family="normal")


@meme.holds("table-2")
def test_directions(table):
    expected = {(*kind, d) for kind in MEMES for d in ("both", "mnist", "svhn")}
    assert meme.of(table, "system", "preset", "direction") == expected
    meme.has(table, **PICTURES, **WHOLE, fraction=1.0, likelihood_samples=1000)


@meme.holds("table-7")
def test_laplace(table):
    assert meme.of(table, "system", "family", "fraction") == {("mmvae", "laplace", 1.0)}
    meme.has(table, **{k: v for k, v in PICTURES.items() if "num" not in k}, **WHOLE)


@meme.holds("figure-3", "figure-4")
def test_generations(table):
    assert meme.of(table, *NAMES) == {run for run in PAIRED if run[0] == "meme"}
    meme.has(table, **(PICTURES if table == "figure-3" else BIRDS), **WHOLE)


@meme.holds("figure-8", "figure-8-cub", "figure-9")
def test_relatedness(table):
    assert meme.of(table, *NAMES) == PAIRED
    meme.has(table, **(BIRDS if table.endswith("cub") else PICTURES), **WHOLE)


@meme.holds("figure-10")
def test_signal_to_noise(table):
    (run,) = meme.runs(table)
    assert run.num_particles == 11
    assert set(gradients.PARTS) == {"encoders", "decoders"}
    assert {stop for _, stop in gradients.SETTINGS} == {True, False}


def test_the_release_s_objective_comes_first():
    for name in meme.held:
        first, *_ = meme.runs(name)
        assert getattr(first, "preset", "code") == "code" or first.system == "mmvae", name
