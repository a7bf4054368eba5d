"""At paper scale every page of CMMD has the paper's rows and settings: a missing one is red."""

from itertools import product

from paper_contents import Contents

from ppl_mm.data import XRMB_TEST
from ppl_mm.experiments.cmmd import three, three_table
from ppl_mm.experiments.cmmd.config import TASKS
from ppl_mm.experiments.options import lacks

cmmd = Contents("cmmd")

OMEGAS = tuple(k / 10 for k in range(11))
ADAM = {"lr": 1e-4, "batch_size": 100, "alpha": 10.0, "label_reduction": "sum", "clip_norm": None}
ADAM |= {"rows": None, "num_test": None, "annealing_epochs": 0}


def has_settings(table, **expected):
    """What the paper's section 4 has in common, but for correlations, which take large batches."""
    runs = [r for r in cmmd.runs(table) if r.system not in ("cca", "dcca", "dccae")]
    for name, value in {**ADAM, **expected}.items():
        of = [r for r in runs if not (name == "latent_dim" and r.system == "classifier")]
        assert {getattr(run, name) for run in of} == {value}, name


def test_every_page_is_held():
    assert cmmd.not_held == set()


def test_networks():
    """Appendix C: layers of the encoder, of the prior and the decoder each, of the classifier."""
    layers = {
        "two_view_mnist": (3 * (2500,), 3 * (1024,), (50, 50)),
        "mnist_svhn": ((400,), (400,), (50, 50)),
        "mnist_rotated_svhn": (3 * (2500,), (), (50, 50)),  # The prior is convolutional.
        "xrmb": (3 * (3000,), 3 * (1500,), (100, 100)),
        "mir_flickr": (4 * (2048,), 4 * (1024,), (1550, 1550)),
    }
    for name, task in TASKS.items():
        networks = task.networks
        assert (networks["hidden"], networks["prior_hidden"], task.classifier) == layers[name]
        assert (networks["activation"], networks["dropout"]) == ("softplus", 0.2)
    observed = {name: "+".join(task.observed) for name, task in TASKS.items()}
    views = {"two_view_mnist": "rotated", "xrmb": "acoustic", "mir_flickr": "image"}
    assert observed == {**views, "mnist_svhn": "mnist", "mnist_rotated_svhn": "mnist"}
    assert three.HIDDEN == 3 * (2500,)


@cmmd.holds("table-1")
def test_folds(table):
    systems = ("cmmd", "classifier", "vcca", "mvae", "mmvae_elbo", "mmvae")
    assert cmmd.of(table, "system", "split") == set(product(systems, (1, 2, 3, 4)))
    cmmd.has(table, omega=0.8, num_particles=10, num_train=None)
    has_settings(table, dataset="xrmb", latent_dim=70)
    for run in cmmd.runs(table):
        assert run.epochs == (200 if run.system == "classifier" else 500)


@cmmd.holds("table-2", "table-2-xrmb", "table-2-flickr")
def test_methods(table):
    systems = "cmmd vcca vcca_private mvae mmvae classifier matched cca dcca dccae mvcl"
    assert {s for (s, _) in cmmd.of(table, "system", "omega")} == set(systems.split())
    dataset, size, omega = {
        "table-2": ("two_view_mnist", 50, 0.4),
        "table-2-xrmb": ("xrmb", 70, 0.7),
        "table-2-flickr": ("mir_flickr", 1024, 0.5),
    }[table]
    has_settings(table, dataset=dataset, latent_dim=size, num_train=None)
    cmmd.has(table, num_particles=10)
    first = cmmd.runs(table)[0]
    assert (first.system, first.omega) == ("cmmd", omega)
    for run in cmmd.runs(table):
        if run.system in ("dcca", "dccae"):
            assert (run.batch_size, run.lr) == (800, 1e-3)
        if run.system in ("classifier", "matched") and dataset != "mir_flickr":
            assert run.epochs == 200
    if table == "table-2":
        epochs = {run.system: run.epochs for run in cmmd.runs(table)}
        assert (epochs["cmmd"], epochs["vcca"], epochs["vcca_private"]) == (1000, 250, 250)


@cmmd.holds("table-3")
def test_digit_of_mnist_without_svhn(table):
    assert cmmd.of(table, "system", "omega", "observed") == {("cmmd", 0.1, "")}
    sizes = {"latent_dim": 20, "epochs": 1000, "num_train": 80_000}
    has_settings(table, dataset="mnist_svhn", **sizes)


@cmmd.holds("table-4")
def test_digit_of_three_kinds(table):
    expected = {("cmmd", 0.1, "mnist"), ("cmmd", 0.1, "mnist+rotated")}
    assert cmmd.of(table, "system", "omega", "observed") == expected
    has_settings(table, dataset="mnist_rotated_svhn", latent_dim=20, epochs=1000)


M, S, T = "mnist", "svhn", "text"
SUBSETS = (M, S, T, f"{M}+{S}", f"{M}+{T}", f"{S}+{T}", f"{M}+{S}+{T}")


@cmmd.holds("table-5", "table-6", "table-h.1", "table-h.2")
def test_three_modalities(table):
    expected = {("cmmd", subset, "") for subset in SUBSETS}
    if table != "table-h.2":
        others = product(("mvae", "mmvae", "mopoe"), ("", "pcgrad"))
        expected |= {(system, "", rule) for system, rule in others}
    assert cmmd.of(table, "system", "observed", "impartial") == expected
    assert set(cmmd.seeds(table).values()) == {(0, 1, 2, 3, 4)}
    cmmd.has(table, dataset="mnist_svhn_text", probe_rows=500, probes=5)
    cmmd.has(table, batch_size=256, latent_dim=20, num_train=None, num_test=None, omega=-1.0)
    for run in cmmd.runs(table):  # The others are as in the release of MoPoE.
        assert (run.lr, run.epochs) == ((1e-4, 100) if run.system == "cmmd" else (1e-3, 200))
    of_paper = {"s": 0.9, "t": 0.0, "m": 0.6, "st": 0.2, "mt": 0.4, "ms": 0.6}
    assert {k: v for k, v in three.OMEGA.items() if k != "mst"} == of_paper


def test_columns_of_three_modalities():
    assert three_table.SUBSETS == ("m", "s", "t", "ms", "mt", "st", "mst")
    columns = ("m|s", "m|t", "m|st", "s|m", "s|t", "s|mt", "t|m", "t|s", "t|ms")
    assert columns == three_table.COLUMNS


@cmmd.holds("figure-4", "section-4.4", "figure-c.1-three")
def test_pages_of_cmmd_on_three_modalities(table):
    expected = {
        "figure-4": {(T, -1.0, False), (f"{M}+{T}", -1.0, False)},
        "section-4.4": {(M, omega, False) for omega in (0.0, 0.5, 1.0)},
        "figure-c.1-three": {(s, o, True) for s, o in product(SUBSETS, OMEGAS)},
    }
    assert cmmd.of(table, "observed", "omega", "held_out") == expected[table]
    cmmd.has(table, system="cmmd", batch_size=256, latent_dim=20, lr=1e-4, num_train=None)


@cmmd.holds("table-8", "table-7", "table-c.1")
def test_speakers_and_tags(table):
    systems = {"table-8": ("cmmd",), "table-7": ("cmmd", "mvae", "mmvae"), "table-c.1": ("cmmd",)}
    assert {s for (s,) in cmmd.of(table, "system")} == set(systems[table])
    of_speech = table == "table-8"
    cmmd.has(table, omega=0.7 if of_speech else 0.5)
    dataset, size = ("xrmb", 70) if of_speech else ("mir_flickr", 1024)
    has_settings(table, dataset=dataset, latent_dim=size, num_train=None)


@cmmd.holds("figure-3", "figure-3-xrmb", "figure-f.1", "figure-g.1")
def test_systems_of_figures(table):
    expected = {
        "figure-3": {"cmmd", "vcca", "vcca_private", "mvae", "mmvae"},
        "figure-3-xrmb": {"cmmd", "vcca", "mvae", "mmvae_elbo", "mmvae"},
        "figure-f.1": {"cmmd", "mvae", "vcca"},
        "figure-g.1": {"cmmd", "mvae", "mmvae_elbo", "mmvae"},
    }
    assert {run.system for run in cmmd.runs(table)} == expected[table]
    sizes = {"figure-3-xrmb": 70, "figure-g.1": 20}
    has_settings(table, latent_dim=sizes.get(table, 50))
    if table == "figure-g.1":
        found = {(r.system, r.dataset) for r in cmmd.runs(table)}
        others = {(s, "mnist_svhn") for s in ("mvae", "mmvae_elbo", "mmvae")}
        assert found == {("cmmd", "mnist_svhn"), ("cmmd", "mnist_rotated_svhn")} | others


LEARNED = {(s, o, None) for s, o in product(XRMB_TEST, OMEGAS)}


@cmmd.holds("figure-5")
def test_each_speaker(table):
    """The paper leaves speaker 28 out of the figure."""
    assert set(XRMB_TEST) == {7, 16, 20, 21, 23, 28, 31, 35}
    fixed = {(s, 0.7, 0.1) for s in XRMB_TEST if s != 28}
    assert cmmd.of(table, "speaker", "omega", "scale") == LEARNED | fixed
    has_settings(table, system="cmmd", dataset="xrmb", latent_dim=70, epochs=500)


@cmmd.holds("figure-6")
def test_speakers_and_folds_by_omega(table):
    folds = {(0, s, o) for s, o in product((1, 2, 3, 4), OMEGAS)}
    expected = folds | {(s, 0, o) for s, o in product(XRMB_TEST, OMEGAS)}
    assert cmmd.of(table, "speaker", "split", "omega") == expected
    has_settings(table, system="cmmd", dataset="xrmb", latent_dim=70, epochs=500, scale=None)


OF_CURVE = {
    "figure-c.1-xrmb": "xrmb",
    "figure-c.1-mnist": "two_view_mnist",
    "figure-c.1-svhn": "mnist_svhn",
    "figure-c.1-rotated": "mnist_rotated_svhn",
    "figure-c.1-flickr": "mir_flickr",
}


@cmmd.holds("figure-c.1", *OF_CURVE)
def test_omegas(table):
    datasets = [OF_CURVE[table]] if table in OF_CURVE else list(OF_CURVE.values())
    kinds = {(dataset, 0, "") for dataset in datasets}
    kinds -= {("mnist_rotated_svhn", 0, ""), ("mir_flickr", 0, "")}
    if "xrmb" in datasets:
        kinds |= {("xrmb", fold, "") for fold in (1, 2, 3, 4)}
    if "mnist_rotated_svhn" in datasets:
        kinds |= {("mnist_rotated_svhn", 0, o) for o in ("mnist", "mnist+rotated")}
    kinds |= {("mir_flickr", 1, "")} if "mir_flickr" in datasets else set()
    expected = {(*kind, omega) for kind, omega in product(kinds, OMEGAS)}
    assert cmmd.of(table, "dataset", "split", "observed", "omega") == expected
    has_settings(table, system="cmmd")
    assert all(run.held_out or lacks(run, "held_out") for run in cmmd.runs(table))
