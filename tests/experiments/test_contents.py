"""At paper scale every table has the paper's rows, columns and settings: a missing one is red."""

from itertools import product

import pytest

from ppl_mm.experiments.mvae import vision
from ppl_mm.experiments.options import lacks
from ppl_mm.experiments.papers import TABLES
from ppl_mm.experiments.reproduction import runs_of

# Every table and figure with data. Those that are not here are drawings of models, need a person's
# judgement, or show what another page shows.
HAVE = {
    "mvae": "table-1 table-2 table-3 table-4 table-6 table-7 table-8 table-9 table-10 "
    "figure-2 figure-3 figure-9 figure-10 table-2-celeba table-6-celeba",
    "mmvae_plus": " ".join(f"figure-{n}" for n in range(1, 22) if n != 5),  # 5 shows the data
    "meme": "table-2 table-3 table-4 table-5 table-6 table-7 "
    "figure-3 figure-4 figure-5 figure-6 figure-7 figure-8 figure-9 figure-10",
    "cmmd": "table-1 table-2 table-2-xrmb table-2-flickr table-3 table-4 table-5 table-6 table-7 "
    "table-8 table-c.1 table-h.1 table-h.2 figure-3 figure-4 figure-5 figure-6 figure-c.1 "
    "figure-f.1 figure-g.1 section-4.4",
    "svae": "table-1 figure-2 figure-3 figure-4 figure-5 figure-6 figure-7 figure-8 figure-9 "
    "figure-e.10 figure-e.11 figure-e.10-halves figure-e.11-halves",
}


@pytest.mark.parametrize("paper", HAVE)
def test_every_table_of_the_paper_is_there(paper):
    assert set(HAVE[paper].split()) <= set(TABLES[paper])


def of(paper, table, *names):
    """The values of these options in the table's runs at paper scale, each run's once."""
    found = [tuple(getattr(r, n) for n in names) for r in runs_of(TABLES[paper][table], "paper")]
    assert len(found) == len(set(found))
    return set(found)


def settings(paper, table, **expected):
    """Whether all runs of the table at paper scale, that have an option, have this value of it."""
    runs = runs_of(TABLES[paper][table], "paper")
    found = {n: {getattr(r, n) for r in runs if not lacks(r, n)} for n in expected}
    assert found == {name: {value} for name, value in expected.items()}


def of_all(paper, table, *names):
    return {tuple(getattr(r, n) for n in names) for r in runs_of(TABLES[paper][table], "paper")}


# ------------------------------------------------------------------ MVAE

STATED, ONE, BOTH = (50.0, "own"), (1.0, "own"), (50.0, "image_all")
READINGS = (STATED, ONE, BOTH)


@pytest.mark.parametrize("table", ["table-2", "table-3", "table-6", "table-7"])
def test_likelihoods_of_mvae(table):
    images = ("binary_mnist", "mnist", "fashion_mnist", "multimnist")
    others = ("vae", "cvae", "bivcca", "jmvae", "mvae_q")
    expected = {(d, s, *STATED) for d, s in product(images, others)}
    expected -= {("multimnist", "cvae", *STATED)}
    expected |= {(d, "mvae", *reading) for d, reading in product(images, READINGS)}
    assert of("mvae", table, "dataset", "system", "label_weight", "terms") == expected
    same = {"epochs": 500, "batch_size": 100, "lr": 1e-3, "num_samples": 1000}
    settings("mvae", table, **same, test_rows=10_000, joint_rows=10_000, train_rows=None)


@pytest.mark.parametrize("table", ["table-2-celeba", "table-6-celeba"])
def test_likelihoods_of_faces(table):
    others = ("vae", "cvae", "bivcca", "jmvae", "mvae_q")
    expected = {("celeba", s, *STATED) for s in others}
    expected |= {(d, "mvae", *r) for d, r in product(("celeba", "celeba19"), READINGS)}
    assert of("mvae", table, "dataset", "system", "label_weight", "terms") == expected
    same = {"epochs": 100, "batch_size": 100, "lr": 1e-4, "num_samples": 100}
    settings("mvae", table, **same, test_rows=19_962, joint_rows=19_962)


FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
METHODS = {
    "mnist": ("jmvae", "nn", "logreg", "rbm", "ae", "vae"),
    "fashion_mnist": ("jmvae", "nn", "logreg", "rbm", "vae"),
    "multimnist": ("jmvae",),
}


@pytest.mark.parametrize(
    ("table", "datasets"),
    [
        ("figure-3", ("mnist", "fashion_mnist", "multimnist")),
        ("table-8", ("mnist",)),
        ("table-9", ("fashion_mnist",)),
        ("table-10", ("multimnist",)),
    ],
)
def test_few_labels_of_mvae(table, datasets):
    expected = {
        (dataset, method, fraction, *STATED, 500 if dataset == "mnist" else 100)
        for dataset in datasets
        for method, fraction in product(METHODS[dataset], FRACTIONS)
    }
    expected |= {
        (dataset, "mvae", fraction, *reading, 500 if dataset == "mnist" else 100)
        for dataset, fraction, reading in product(datasets, FRACTIONS, READINGS)
    }
    names = ("dataset", "method", "fraction", "label_weight", "terms", "epochs")
    found = of("mvae", table, *names)
    assert {r for r in found if r[1] != "logreg"} == {r for r in expected if r[1] != "logreg"}
    assert {r[:3] for r in found} == {r[:3] for r in expected}  # Logistic regression has no epochs.
    settings("mvae", table, batch_size=100, lr=1e-3, num_train=None, num_test=None)


def test_pictures_of_images_and_faces():
    names = ("dataset", "system", "label_weight", "terms", "epochs")
    images = ("mnist", "fashion_mnist", "multimnist")
    assert of("mvae", "figure-2", *names) == {(d, "mvae", *STATED, 500) for d in images}
    assert of("mvae", "figure-2-celeba", *names) == {("celeba", "mvae", *STATED, 100)}


def test_missing_modalities_and_random_subsets_of_faces():
    names = ("keep", "k", "shared_noise", "label_weight")
    assert of("mvae", "figure-9", *names) == {(p, 1, False, 50.0) for p in FRACTIONS}
    expected = {(1.0, k, own, 50.0) for k in (0, 1, 2, 5, 10, 20, 50) for own in (False, True)}
    assert of("mvae", "figure-10", *names) == expected
    for table in ("figure-9", "figure-10"):
        same = {"dataset": "celeba19", "epochs": 100, "batch_size": 100, "lr": 1e-4}
        sizes = {"num_samples": 100, "test_rows": 19_962, "joint_rows": 19_962, "train_rows": None}
        settings("mvae", table, **same, **sizes)


def test_views_of_faces():
    given = {name: views for name, (views, _) in vision.FIGURES.items()}
    made = {name: views for name, (_, views) in vision.FIGURES.items()}
    one = {"views": ("image",), "colours": ("gray",), "halves": ("obscured",)}
    assert given == {**one, "watermarks": ("watermark",), "edges": None}  # None: all six
    several, picture = ("image", "edge", "mask"), ("image",)
    assert made == {"views": several, "edges": several} | dict.fromkeys(
        ("colours", "halves", "watermarks"), picture
    )
    for number in (4, 11, 12, 13, 14):
        same = {"epochs": 100, "batch_size": 50, "lr": 1e-4, "train_rows": None}
        settings("mvae", f"figure-{number}", **same)


@pytest.mark.parametrize("number", [4, 5, 11, 12, 13])
def test_translation(number):
    shares = (0.001, 0.005, 0.01, 0.05, 0.1, 1.0)
    assert of("mvae", f"table-{number}", "fraction") == {(share,) for share in shares}
    sizes = {"num_words": None, "num_train": None, "num_test": None, "num_samples": 100}
    same = {"latent_dim": 100, "hidden": 512, "word_dropout": 0.5, "epochs": 100}
    settings("mvae", f"table-{number}", **same, **sizes, batch_size=100, lr=1e-3)


# ------------------------------------------------------------------ MMVAE+

SIZED = {"num_train": None, "num_test": None, "batch_size": 128, "subset_rows": 1000}
BY_BETA = {"mmvae_plus": (0.5, 1.0, 2.5, 5.0), "mmvae": (0.5, 1.0, 2.5, 5.0)}
BY_BETA |= {"mvae": (0.03, 0.3, 1.0, 3.0), "mopoe": (0.03, 0.3, 1.0, 3.0)}


@pytest.mark.parametrize("table", ["figure-1", "figure-11"])
def test_systems_of_polymnist(table):
    found = of("mmvae_plus", table, "system", "beta", "private_dim")
    expected = {(system, b, 32) for system, betas in BY_BETA.items() for b in betas}
    beside = {("mmjsd", 1.0, 32), ("dmvae", 1.0, 32)} if table == "figure-1" else set()
    sizes = {("mmvae_plus", 1.0, w) for w in (8, 16, 48)} if table == "figure-11" else set()
    assert found == expected | beside | sizes
    settings("mmvae_plus", table, **SIZED, arch="residual", dataset="polymnist", probe_rows=60_000)
    for run in runs_of(TABLES["mmvae_plus"][table], "paper"):
        mixture = run.system in ("mmvae_plus", "mmvae")
        product = run.system in ("mvae", "mopoe")
        assert (run.objective, run.num_particles) == (("dreg", 10) if mixture else ("elbo", 1))
        assert (run.epochs, run.lr) == ((500, 5e-4) if product else (50, 1e-3))
        assert run.latent_dim == (512 if product else 64)
        assert run.strata == (1 if run.system == "mopoe" else None)


def test_networks_of_a_figure_are_the_same():
    for name, table in TABLES["mmvae_plus"].items():
        if table.data == ("polymnist",):
            assert of_all("mmvae_plus", name, "arch") == {("residual",)}


def test_private_latents_of_polymnist():
    sizes, betas = (4, 8, 16, 32), (0.5, 1.0, 2.5, 5.0)
    expected = {("mmjsd", w, b, 32) for w, b in product(sizes, betas)}
    expected |= {("mmvae_plus", 32, b, 32) for b in betas}
    names = ("system", "private_dim", "beta", "shared_dim")
    assert of("mmvae_plus", "figure-2", *names) == expected
    expected = {("mmvae_plus", w, 1.0, 64 - w) for w in (8, 16, 32, 48)}
    assert of("mmvae_plus", "figure-3", *names) == expected
    assert of("mmvae_plus", "figure-19", "alphas", "objective") == {(30, "dreg")}


def test_private_latents_of_mnist_and_svhn():
    names = ("system", "beta", "shared_dim", "private_dim", "other_private_dim", "objective")
    widths = ((1, 4), (3, 6), (5, 8), (7, 10), (9, 12))
    kinds = (("dmvae", 1.0, "elbo"), ("dmvae", 2.5, "elbo"), ("mmvae_plus", 2.5, "dreg"))
    expected = {(s, b, 10, *w, objective) for (s, b, objective), w in product(kinds, widths)}
    assert of("mmvae_plus", "figure-17", *names) == expected


def test_birds_of_mmvae_plus():
    names = ("system", "beta", "objective", "num_particles", "lr", "epochs")
    mixtures = {(s, 1.0, "dreg", 10, 1e-3, 50) for s in ("mmvae_plus", "mmvae")}
    products = {(s, 9.0, 5e-4, 150) for s in ("mvae", "mopoe")}
    for number in (4, 12, 13, 14, 15):
        found = of("mmvae_plus", f"figure-{number}", *names)
        assert {run for run in found if run[0] in ("mmvae_plus", "mmvae")} == mixtures
        assert {(*run[:2], *run[4:]) for run in found - mixtures} == products
        settings("mmvae_plus", f"figure-{number}", num_train=None, num_test=None)
    for number in (16, 21):
        assert of("mmvae_plus", f"figure-{number}", "system") == {("mmvae_plus",)}


# ------------------------------------------------------------------ MEME

PRESETS = ("code", "paper", "bound")
SCHEMES = ("mnist", "svhn", "split")


@pytest.mark.parametrize("table", ["table-3", "table-4", "table-6", "figure-5", "figure-7"])
def test_few_pairs_of_meme(table):
    names = ("system", "preset", "fraction", "scheme")
    expected = {("meme", p, 1.0, "split") for p in PRESETS}
    expected |= {(s, "bound", 1.0, "split") for s in ("mmvae", "mvae")}
    fewer = tuple(product((0.5, 0.25, 0.125, 0.0625), SCHEMES))
    kinds = (*(("meme", p) for p in PRESETS), ("mvae", "bound"))
    expected |= {(*kind, *few) for kind, few in product(kinds, fewer)}
    assert of("meme", table, *names) == expected
    same = {"dataset": "mnist_svhn", "epochs": 100, "lr": 5e-4, "latent_dim": 64}
    settings("meme", table, **same, batch_size=128, num_particles=11, num_pseudo_inputs=128)


def test_birds_of_meme():
    kinds = (*(("meme", p) for p in PRESETS), ("mvae", "bound"))
    expected = {(*kind, 1.0, "split") for kind in (*kinds, ("mmvae", "bound"))}
    schemes = ("image", "caption", "split")
    expected |= {(*k, f, s) for k, f, s in product(kinds, (0.5, 0.25, 0.125), schemes)}
    assert of("meme", "table-5", "system", "preset", "fraction", "scheme") == expected
    settings("meme", "table-5", dataset="cub", epochs=300, lr=1e-4)


def test_the_release_s_objective_comes_first():
    for name, table in TABLES["meme"].items():
        first, *_ = runs_of(table, "paper")
        assert getattr(first, "preset", "code") == "code" or first.system == "mmvae", name


# ------------------------------------------------------------------ CMMD


@pytest.mark.parametrize("table", ["table-5", "table-6", "table-h.1"])
def test_three_modalities_of_cmmd(table):
    m, s, t = "mnist", "svhn", "text"
    subsets = (m, s, t, f"{m}+{s}", f"{m}+{t}", f"{s}+{t}", f"{m}+{s}+{t}")
    expected = {("cmmd", subset, "") for subset in subsets}
    expected |= {(s, "", rule) for s, rule in product(("mvae", "mmvae", "mopoe"), ("", "pcgrad"))}
    assert of("cmmd", table, "system", "observed", "impartial") == expected
    settings("cmmd", table, probe_rows=500, probes=5, batch_size=256, latent_dim=20)


@pytest.mark.parametrize("table", ["table-2", "table-2-xrmb", "table-2-flickr"])
def test_methods_of_table_2(table):
    systems = "cmmd vcca vcca_private mvae mmvae classifier matched cca dcca dccae mvcl"
    assert {s for (s,) in of_all("cmmd", table, "system")} == set(systems.split())


def test_omegas_of_cmmd():
    omegas = tuple(k / 10 for k in range(11))
    datasets = ("xrmb", "two_view_mnist", "mnist_svhn", "mnist_rotated_svhn", "mir_flickr")
    found = of_all("cmmd", "figure-c.1", "dataset", "omega")
    assert found == set(product(datasets, omegas))
    for name, dataset in zip(("xrmb", "mnist", "svhn", "rotated", "flickr"), datasets, strict=True):
        expected = {(dataset, omega) for omega in omegas}
        assert of_all("cmmd", f"figure-c.1-{name}", "dataset", "omega") == expected
    assert {o for (o,) in of_all("cmmd", "section-4.4", "omega")} == {0.0, 0.5, 1.0}


# ------------------------------------------------------------------ SVAE

LEVELS = (1.0, 0.5, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
HALVES = ("svae", "vaevae", "vaevae_star", "mmvae")


def test_halves_of_svae():
    names = ("system", "supervision", "epochs", "best_epoch")
    expected = {(s, level, 200, True) for s, level in product((*HALVES, "svae_star"), LEVELS)}
    assert of("svae", "figure-4", *names) == expected
    expected = {(s, level, 200, True) for s, level in product(HALVES, (1.0, 0.001))}
    assert of("svae", "figure-3", *names) == expected
    assert of("svae", "table-1", *names) == {(s, 1.0, 200, True) for s in HALVES}
    for table, system in (("figure-e.10", "svae"), ("figure-e.11", "vaevae")):
        alone = {(system, level, 200, True) for level in (1.0, 0.001)}
        assert of("svae", f"{table}-halves", *names) == alone
        both = of("svae", table, "dataset", "supervision")
        assert both == set(product(("mnist_split", "mnist_svhn"), (1.0, 0.001)))


def test_thirds_pairs_and_birds_of_svae():
    names = ("system", "supervision", "epochs", "best_epoch")
    expected = {(s, level, 50, True) for s, level in product(("svae", "vaevae"), LEVELS)}
    assert of("svae", "figure-6", *names) == expected
    for table, epochs in (("figure-7", 50), ("figure-8", 200)):
        expected = {(s, level, epochs, True) for s, level in product(HALVES, LEVELS)}
        assert of("svae", table, *names) == expected | {("mvae", 1.0, epochs, True)}
    settings("svae", "figure-7", latent_dim=20, batch_size=256, repeats=30)
