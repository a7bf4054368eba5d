"""At paper scale every page of MMVAE+ has the paper's rows and settings: a missing one is red."""

from itertools import product

from paper_contents import Contents

mmvae_plus = Contents("mmvae_plus")


def test_every_page_is_held():
    assert mmvae_plus.not_held == set()


SIZED = {"num_train": None, "num_test": None, "batch_size": 128, "subset_rows": 1000, "rows": None}
SIZED |= {"arch": "residual", "dataset": "polymnist", "probe_rows": 60_000, "clip_norm": None}
BY_BETA = {"mmvae_plus": (0.5, 1.0, 2.5, 5.0), "mmvae": (0.5, 1.0, 2.5, 5.0)}
BY_BETA |= {"mvae": (0.03, 0.3, 1.0, 3.0), "mopoe": (0.03, 0.3, 1.0, 3.0)}


def has_settings(table):
    """The paper's text, section E; MoPoE draws one stratum, as in its release."""
    mmvae_plus.has(table, **SIZED)
    for run in mmvae_plus.runs(table):
        mixture = run.system in ("mmvae_plus", "mmvae")
        of_products = run.system in ("mvae", "mopoe")
        assert (run.objective, run.num_particles) == (("dreg", 10) if mixture else ("elbo", 1))
        assert (run.epochs, run.lr) == ((500, 5e-4) if of_products else (50, 1e-3))
        assert run.latent_dim == (512 if of_products else 64)
        assert run.strata == (1 if run.system == "mopoe" else None)


@mmvae_plus.holds("figure-1", "figure-11")
def test_systems_of_polymnist(table):
    found = mmvae_plus.of(table, "system", "beta", "private_dim")
    expected = {(system, b, 32) for system, betas in BY_BETA.items() for b in betas}
    beside = {("mmjsd", 1.0, 32), ("dmvae", 1.0, 32)} if table == "figure-1" else set()
    sizes = {("mmvae_plus", 1.0, w) for w in (8, 16, 48)} if table == "figure-11" else set()
    assert found == expected | beside | sizes
    has_settings(table)


@mmvae_plus.holds("figure-6", "figure-7")
def test_draws_of_every_system_at_one_beta(table):
    assert mmvae_plus.of(table, "system", "beta") == {(system, 1.0) for system in BY_BETA}
    mmvae_plus.has(table, shared_dim=32, private_dim=32)
    has_settings(table)


@mmvae_plus.holds("figure-8", "figure-9", "figure-10", "figure-18", "figure-19", "figure-20")
def test_pictures_of_mmvae_plus_alone(table):
    assert mmvae_plus.of(table, "system", "beta") == {("mmvae_plus", 1.0)}
    mmvae_plus.has(table, shared_dim=32, private_dim=32, alphas=30)
    has_settings(table)


@mmvae_plus.holds("figure-2", "figure-3")
def test_private_latents_of_polymnist(table):
    names = ("system", "private_dim", "beta", "shared_dim")
    sizes, betas = (4, 8, 16, 32), (0.5, 1.0, 2.5, 5.0)
    expected = {("mmjsd", w, b, 32) for w, b in product(sizes, betas)}
    expected |= {("mmvae_plus", 32, b, 32) for b in betas}
    if table == "figure-3":
        expected = {("mmvae_plus", w, 1.0, 64 - w) for w in (8, 16, 32, 48)}
    assert mmvae_plus.of(table, *names) == expected
    has_settings(table)


@mmvae_plus.holds("figure-17")
def test_private_latents_of_mnist_and_svhn(table):
    names = ("system", "beta", "shared_dim", "private_dim", "other_private_dim", "objective")
    widths = ((1, 4), (3, 6), (5, 8), (7, 10), (9, 12))
    kinds = (("dmvae", 1.0, "elbo"), ("dmvae", 2.5, "elbo"), ("mmvae_plus", 2.5, "dreg"))
    expected = {(s, b, 10, *w, objective) for (s, b, objective), w in product(kinds, widths)}
    assert mmvae_plus.of(table, *names) == expected
    mmvae_plus.has(table, dataset="mnist_svhn", lr=1e-3, num_train=None, num_test=None)
    for run in mmvae_plus.runs(table):
        assert run.num_particles == (10 if run.system == "mmvae_plus" else 1)
        assert run.batch_size == (100 if run.system == "dmvae" else 128)


@mmvae_plus.holds("figure-4", "figure-12", "figure-13", "figure-14", "figure-15")
def test_birds(table):
    mixtures = {(s, 1.0, 1e-3, 50, "dreg", 10, None) for s in ("mmvae_plus", "mmvae")}
    products = {(s, 9.0, 5e-4, 150) for s in ("mvae", "mopoe")}
    names = ("system", "beta", "lr", "epochs", "objective", "num_particles", "strata")
    found = mmvae_plus.of(table, *names)
    assert {run for run in found if run[0] in ("mmvae_plus", "mmvae")} == mixtures
    assert {run[:4] for run in found - mixtures} == products
    assert {run[-1] for run in found if run[0] == "mopoe"} == {1}
    has_sizes_of_birds(table)


@mmvae_plus.holds("figure-16", "figure-21")
def test_birds_of_mmvae_plus_alone(table):
    assert mmvae_plus.of(table, "system", "beta") == {("mmvae_plus", 1.0)}
    has_sizes_of_birds(table)


def has_sizes_of_birds(table):
    mmvae_plus.has(table, num_train=None, num_test=None, batch_size=32, channels=64)
    mmvae_plus.has(table, shared_dim=48, private_dim=16)
    assert {r.latent_dim for r in mmvae_plus.runs(table) if r.system != "mmvae_plus"} <= {64}
