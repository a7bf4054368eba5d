"""At paper scale every page of MVAE has the paper's rows and settings: a missing one is red."""

from itertools import product

from paper_contents import Contents

from ppl_mm.experiments.mvae import parameters, vision

mvae = Contents("mvae")

STATED, ONE, BOTH = (50.0, "own"), (1.0, "own"), (50.0, "image_all")
READINGS = (STATED, ONE, BOTH)
OTHERS = ("vae", "cvae", "bivcca", "jmvae", "mvae_q")
ADAM = {"batch_size": 100, "clip_norm": None, "rows": None}


def with_weights(dataset, system, readings=(STATED,)):
    """The label weight and terms of a system: VAE and CVAE score no label."""
    return {(dataset, system, *reading) for reading in readings}


def test_every_page_is_held():
    assert mvae.not_held == set()


@mvae.holds("table-1")
def test_parameters(table):
    assert [run.name for run in mvae.runs(table)] == ["parameters-0"]
    columns = {"mnist", "fashion_mnist", "multimnist", "celeba"}
    assert set(parameters.COLUMNS) == columns
    rows = [*OTHERS, "mvae", "jmvae19", "mvae19"]
    assert sorted(parameters.TITLES) == sorted(parameters.PAPER) == sorted(rows)
    two = (1_063_680, 3_742_976, 1_841_936, 4_447_504)
    numbers = {
        "vae": (730_240, 3_409_536, 1_316_936, 4_070_472),
        "cvae": (735_360, 3_414_656, None, 4_079_688),
        "jmvae": (2_061_184, 7_682_432, 4_075_064, 9_052_504),
        **dict.fromkeys(("bivcca", "mvae_q", "mvae"), two),
    }
    assert {
        n: tuple(parameters.PAPER[n][c] for c in parameters.COLUMNS) for n in numbers
    } == numbers
    assert parameters.PAPER["mvae19"] == {"celeba": 10_857_048}


@mvae.holds("table-2", "table-3", "table-6", "table-7")
def test_likelihoods(table):
    images = ("binary_mnist", "mnist", "fashion_mnist", "multimnist")
    expected = {(d, s, *STATED) for d, s in product(images, OTHERS)}
    expected -= {("multimnist", "cvae", *STATED)}
    expected |= {(d, "mvae", *reading) for d, reading in product(images, READINGS)}
    assert mvae.of(table, "dataset", "system", "label_weight", "terms") == expected
    same = {"epochs": 500, "annealing_epochs": 200, "lr": 1e-3, "num_samples": 1000}
    mvae.has(table, **ADAM, **same, test_rows=10_000, joint_rows=10_000, train_rows=None)


@mvae.holds("table-2-celeba", "table-3-celeba", "table-6-celeba", "table-7-celeba")
def test_likelihoods_of_faces(table):
    expected = {("celeba", s, *STATED) for s in OTHERS}
    expected |= {(d, "mvae", *r) for d, r in product(("celeba", "celeba19"), READINGS)}
    assert mvae.of(table, "dataset", "system", "label_weight", "terms") == expected
    same = {"epochs": 100, "annealing_epochs": 20, "lr": 1e-4, "num_samples": 100}
    mvae.has(table, **ADAM, **same, test_rows=19_962, joint_rows=19_962, train_rows=None)


FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
METHODS = {
    "mnist": ("jmvae", "nn", "logreg", "rbm", "ae", "vae"),
    "fashion_mnist": ("jmvae", "nn", "logreg", "rbm", "vae"),
    "multimnist": ("jmvae",),
}
OF_TABLE = {"table-8": "mnist", "table-9": "fashion_mnist", "table-10": "multimnist"}


@mvae.holds("figure-3", *OF_TABLE)
def test_few_labels(table):
    datasets = [OF_TABLE[table]] if table in OF_TABLE else list(METHODS)
    expected = {
        (dataset, method, fraction, *STATED)
        for dataset in datasets
        for method, fraction in product(METHODS[dataset], FRACTIONS)
    }
    expected |= {
        (dataset, "mvae", fraction, *reading)
        for dataset, fraction, reading in product(datasets, FRACTIONS, READINGS)
    }
    names = ("dataset", "method", "fraction", "label_weight", "terms")
    assert mvae.of(table, *names) == expected
    mvae.has(table, **ADAM, lr=1e-3, num_train=None, num_test=None)
    mvae.has(table, every_step=False, held_out=False)
    for run in mvae.runs(table):  # Logistic regression makes no passes.
        epochs = 500 if run.dataset == "mnist" else 100
        assert run.epochs == epochs or run.method == "logreg"


@mvae.holds("figure-2", "figure-2-celeba")
def test_pictures_of_images_and_faces(table):
    faces = table.endswith("celeba")
    datasets = ("celeba",) if faces else ("mnist", "fashion_mnist", "multimnist")
    expected = {(dataset, "mvae", *STATED) for dataset in datasets}
    assert mvae.of(table, "dataset", "system", "label_weight", "terms") == expected
    sizes = {"epochs": 100, "lr": 1e-4} if faces else {"epochs": 500, "lr": 1e-3}
    mvae.has(table, **ADAM, **sizes, train_rows=None)


OF_FACES = {"dataset": "celeba19", "epochs": 100, "annealing_epochs": 20, "lr": 1e-4}
OF_FACES |= {"num_samples": 100, "test_rows": 19_962, "joint_rows": 19_962, "train_rows": None}


@mvae.holds("figure-9")
def test_missing_modalities_of_faces(table):
    names = ("keep", "k", "shared_noise", "label_weight")
    assert mvae.of(table, *names) == {(p, 1, False, 50.0) for p in FRACTIONS}
    mvae.has(table, **ADAM, **OF_FACES)


@mvae.holds("figure-10")
def test_random_subsets_of_faces(table):
    names = ("keep", "k", "shared_noise", "label_weight")
    expected = {(1.0, k, own, 50.0) for k in (0, 1, 2, 5, 10, 20, 50) for own in (False, True)}
    assert mvae.of(table, *names) == expected
    assert set(mvae.seeds(table).values()) == {(0, 1, 2)}
    mvae.has(table, **ADAM, **OF_FACES)


@mvae.holds("figure-4", "figure-11", "figure-12", "figure-13", "figure-14")
def test_views_of_faces(table):
    given = {name: views for name, (views, _) in vision.FIGURES.items()}
    made = {name: views for name, (_, views) in vision.FIGURES.items()}
    one = {"views": ("image",), "colours": ("gray",), "halves": ("obscured",)}
    assert given == {**one, "watermarks": ("watermark",), "edges": None}  # None: all six
    several, picture = ("image", "edge", "mask"), ("image",)
    assert made == {"views": several, "edges": several} | dict.fromkeys(
        ("colours", "halves", "watermarks"), picture
    )
    mvae.has(table, epochs=100, batch_size=50, lr=1e-4, train_rows=None, shown=8, seed=0)


@mvae.holds("table-4", "table-5", "table-11", "table-12", "table-13")
def test_translation(table):
    shares = (0.001, 0.005, 0.01, 0.05, 0.1, 1.0)
    assert mvae.of(table, "fraction") == {(share,) for share in shares}
    assert set(mvae.seeds(table).values()) == {(0, 1, 2) if table == "table-4" else (0,)}
    sizes = {"num_words": None, "num_train": None, "num_test": None, "num_samples": 100}
    same = {"latent_dim": 100, "hidden": 512, "word_dropout": 0.5, "epochs": 100}
    mvae.has(table, **same, **sizes, batch_size=100, lr=1e-3)
