"""At paper scale every page of SVAE has the paper's rows and settings: a missing one is red."""

from itertools import product

from paper_contents import Contents

from ppl_mm.experiments.svae import parameters

svae = Contents("svae")

LEVELS = (1.0, 0.5, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
SYSTEMS = ("svae", "vaevae", "vaevae_star", "mmvae")
NAMES = ("system", "supervision")
ALL = {"best_epoch": True, "num_train": None, "num_test": None, "rows": None}


def has_settings(table, dataset):
    """The paper's appendix F, and the release's batches; MMVAE is as in its release."""
    epochs = {"mnist_split": 200, "mnist_split_3": 50, "mnist_svhn": 50, "cub": 200}[dataset]
    for run in svae.runs(table):
        if run.dataset != dataset:
            continue
        assert run.epochs == epochs
        if dataset == "mnist_svhn":
            rate = 1e-4 if run.system == "svae" else 1e-3
            assert (run.latent_dim, run.batch_size, run.lr, run.repeats) == (20, 256, rate, 30)
        elif run.system == "mmvae" and dataset == "mnist_split":
            assert (run.latent_dim, run.batch_size, run.lr) == (20, 256, 1e-3)
        else:
            rate = 1e-4 if dataset == "cub" else 2e-4
            assert (run.latent_dim, run.batch_size, run.lr) == (64, 100, rate)
        assert not run.released
    svae.has(table, **ALL)


def test_every_page_is_held():
    assert svae.not_held == set()


@svae.holds("table-1", "figure-3", "figure-4")
def test_halves(table):
    levels = {"table-1": (1.0,), "figure-3": (1.0, 0.001), "figure-4": LEVELS}[table]
    systems = (*SYSTEMS, "svae_star") if table == "figure-4" else SYSTEMS
    assert svae.of(table, *NAMES) == set(product(systems, levels))
    has_settings(table, "mnist_split")


@svae.holds("figure-5")
def test_parameters(table):
    assert [run.name for run in svae.runs(table)] == ["parameters-0"]
    formulas = {name: [of(n) for n in (2, 3, 4, 5)] for name, of in parameters.PAPER.items()}
    assert formulas == {"svae": [4, 9, 16, 25], "vaevae": [4, 12, 32, 80]}


@svae.holds("figure-6")
def test_thirds(table):
    assert svae.of(table, *NAMES) == set(product(("svae", "vaevae"), LEVELS))
    has_settings(table, "mnist_split_3")


@svae.holds("figure-2", "figure-7")
def test_pairs(table):
    expected = {("vaevae", 1.0)}
    if table == "figure-7":
        expected = set(product(SYSTEMS, LEVELS)) | {("mvae", 1.0)}
    assert svae.of(table, *NAMES) == expected
    has_settings(table, "mnist_svhn")


@svae.holds("figure-8", "figure-9")
def test_birds(table):
    expected = {("svae", 1.0), ("vaevae", 1.0)}
    if table == "figure-8":
        expected = set(product(SYSTEMS, LEVELS)) | {("mvae", 1.0)}
    assert svae.of(table, *NAMES) == expected
    has_settings(table, "cub")


@svae.holds("figure-e.10", "figure-e.11", "figure-e.10-halves", "figure-e.11-halves")
def test_reconstructions(table):
    system = "svae" if "10" in table else "vaevae"
    datasets = ("mnist_split",) if "halves" in table else ("mnist_split", "mnist_svhn")
    expected = set(product(datasets, (system,), (1.0, 0.001)))
    assert svae.of(table, "dataset", *NAMES) == expected
    for dataset in datasets:
        has_settings(table, dataset)
