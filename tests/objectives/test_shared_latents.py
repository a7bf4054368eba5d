"""What all rows share, a site outside the plate of rows, counts once for the whole data set."""

import math
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian import NAMES
from linear_gaussian_shared import TAU, MeanField, SharedShift, Shifted
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO

from ppl_mm import System, fit, guides, log_likelihood
from ppl_mm.evaluation import annealed_log_likelihood, elbo
from ppl_mm.objectives import (
    IWAE,
    DReG,
    ELBOTerms,
    MixtureELBO,
    Reweighted,
    Stages,
    Term,
    WithMMD,
    log_weights,
    subset_terms,
)
from ppl_mm.objectives.handlers import OfTheDataSet

FULL = [Term(NAMES, NAMES)]
ADDED_UP = {
    "ELBOTerms": lambda: ELBOTerms(FULL),
    "ELBOTerms, 3 particles": lambda: ELBOTerms(FULL, num_particles=3),
    "MixtureELBO": MixtureELBO,
    "MixtureELBO of components": lambda: MixtureELBO("components", num_particles=2),
    "Stages": lambda: Stages([ELBOTerms(FULL), ELBOTerms(FULL)], epochs=[1]),
    "WithMMD of nothing": lambda: WithMMD(ELBOTerms(FULL), mmd_weight=0.0),
    "TraceMeanField_ELBO": TraceMeanField_ELBO,
    "Reweighted": lambda: Reweighted(TraceMeanField_ELBO()),
}
IN_CLOSED_FORM = {name: make for name, make in ADDED_UP.items() if name != "MixtureELBO"}


def by_name(table):
    return pytest.mark.parametrize("make", table.values(), ids=table)


# ---------------------------------------------------------------- all rows at once


@by_name(ADDED_UP)
def test_with_the_exact_posterior_it_is_log_p_of_all_rows(make):
    toy = SharedShift()
    obs = toy.mixed(2)
    loss = make().loss(toy.model(), toy.posterior_guide(obs), obs)
    assert -loss == pytest.approx(toy.log_p_of_all(obs).item(), abs=1e-8)


@pytest.mark.parametrize("batch_size", [1000, 16])
def test_elbo_of_every_row_adds_up_to_that_of_all(batch_size):
    toy = SharedShift()
    obs = toy.mixed(2)
    system = System(toy.model(), toy.posterior_guide(obs), ELBOTerms(FULL))
    value = elbo(system, obs, batch_size=batch_size)
    assert value.sum().item() == pytest.approx(toy.log_p_of_all(obs).item(), abs=1e-8)


def test_elbo_in_batches_gives_every_row_an_equal_part():
    toy = SharedShift(reach=0.0)
    obs, guide = toy.sample(10), toy.guide()
    own = elbo(System(toy.model(), without_g(toy), ELBOTerms(FULL)), obs)
    for batch_size in (10, 4):
        value = elbo(System(toy.model(), guide, ELBOTerms(FULL)), obs, batch_size=batch_size)
        torch.testing.assert_close(value, own - guide.kl().detach() / 10)


def without_g(toy):
    """The same guide of z; the model then draws g itself."""
    guide = guides.ProductOfExperts(toy.modalities, 2)
    guide.load_state_dict({k: v for k, v in toy.guide().state_dict().items() if "." in k})
    return guide


# ---------------------------------------------------------------- a batch of more rows


def of_more_rows(number):
    """The plate of a batch of rows among ``number``, as Pyro has it."""

    def plates(obs):
        return pyro.plate("data", number, subsample=torch.arange(len(obs)), dim=-1)

    return plates


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_batch_equals_pyros_subsampling_draw_by_draw(size):
    toy, number = SharedShift(), 40
    batch = toy.sample(size)
    stock = toy.model(of_more_rows(number)), toy.guide(of_more_rows(number))
    programs = toy.model(), toy.guide()
    found, expected = [], []
    for (model, guide), objective, values in (
        (stock, TraceMeanField_ELBO(), expected),
        (programs, ELBOTerms(FULL), found),
        (programs, TraceMeanField_ELBO(), found),
    ):
        torch.manual_seed(3)
        with OfTheDataSet(1.0 if values is expected else size / number):
            loss = objective.differentiable_loss(model, guide, batch)
        loss.backward()
        values.append((loss.item(), guide.loc.grad.clone(), guide.log_scale.grad.clone()))
        guide.zero_grad()
    for loss, *gradients in found:
        assert loss == pytest.approx(expected[0][0] * size / number, rel=1e-12)
        for own, theirs in zip(gradients, expected[0][1:], strict=True):
            torch.testing.assert_close(own, theirs * size / number)


def losses_of(system, rows, **options):
    """One epoch without learning: its loss a row, with everything in closed form."""
    result = fit(
        system,
        rows,
        epochs=1,
        optimizer=partial(torch.optim.SGD, lr=0.0),
        progress=False,
        device="cpu",
        precision="64-true",
        **options,
    )
    return result.history[0]


def rows_alone(toy, obs, terms=FULL):
    """Minus the loss but for g, summed over rows."""
    return ELBOTerms(terms).bound(toy.model(), without_g(toy), obs).sum().item()


@by_name(IN_CLOSED_FORM)
def test_fit_counts_it_once_an_epoch_whatever_the_batches(make):
    toy = SharedShift(reach=0.0)
    obs, guide = toy.sample(100), toy.guide()
    row = losses_of(System(toy.model(), guide, make()), obs, batch_size=30, validation=obs)
    expected = -(rows_alone(toy, obs) - guide.kl().item()) / 100
    assert row["loss"] == pytest.approx(expected, abs=1e-10)
    assert row["bound"] == -row["loss"]
    assert row["validation_elbo"] == pytest.approx(-expected, abs=1e-10)


def test_fit_on_rows_that_miss_anything_counts_it_once():
    toy = SharedShift(reach=0.0)
    obs, guide = toy.mixed(3), toy.guide()
    row = losses_of(System(toy.model(), guide, ELBOTerms(FULL)), obs, batch_size=24)
    expected = -(rows_alone(toy, obs) - guide.kl().item()) / 24
    assert row["loss"] == pytest.approx(expected, abs=1e-10)


def test_fit_on_streams_counts_it_once_for_all_of_their_rows():
    toy = SharedShift(reach=0.0)
    long, short, guide = toy.sample(40), toy.sample(20, seed=2), toy.guide()
    row = losses_of(System(toy.model(), guide, ELBOTerms(FULL)), [long, short], batch_size=10)
    of_rows = rows_alone(toy, long) + 2 * rows_alone(toy, short)  # the shorter comes twice
    expected = -of_rows / 80 + guide.kl().item() / 60
    assert row["loss"] == pytest.approx(expected, abs=1e-10)


class WithFactor(Shifted):
    """A penalty outside the plate: another thing that all rows share."""

    def forward(self, obs):
        pyro.factor("penalty", torch.tensor(-3.0))
        super().forward(obs)


@by_name(IN_CLOSED_FORM)
def test_a_factor_outside_the_plate_counts_once(make):
    toy = SharedShift(reach=0.0)
    obs, guide = toy.sample(10), toy.guide()
    row = losses_of(System(WithFactor(toy), guide, make()), obs, batch_size=4)
    expected = -(rows_alone(toy, obs) - guide.kl().item() - 3.0) / 10
    assert row["loss"] == pytest.approx(expected, abs=1e-10)


# ---------------------------------------------------------------- several terms


@pytest.mark.parametrize("mean", ["batch", "rows", "terms"])
def test_every_term_of_the_data_counts_it_once(mean):
    toy = SharedShift(reach=0.0)
    obs, guide, model = toy.sample(6), toy.guide(), toy.model()
    terms = subset_terms(0)(NAMES)
    loss = ELBOTerms(terms, mean=mean).loss(model, guide, obs)
    each = [TraceMeanField_ELBO().loss(model, guide, obs.only(*t.source)) for t in terms]
    expected = sum(each) / (len(terms) if mean == "terms" else 1)
    assert loss == pytest.approx(expected, rel=1e-10)


def test_a_term_that_scores_nothing_does_not_count_it():
    toy = SharedShift(reach=0.0)
    obs, guide, model = toy.mixed(), toy.guide(), toy.model()
    whole = ELBOTerms(FULL).loss(model, guide, obs)
    halves = ELBOTerms([Term(NAMES, NAMES, NAMES), Term(NAMES, ())]).loss(model, guide, obs)
    assert halves == pytest.approx(whole, rel=1e-10)


def test_a_term_of_no_row_does_not_count_it():
    toy = SharedShift(reach=0.0)
    obs, guide, model = toy.sample(5).only("a"), toy.guide(), toy.model()
    loss = ELBOTerms(subset_terms()).loss(model, guide, obs)
    assert loss == pytest.approx(ELBOTerms([Term(("a",), ("a",))]).loss(model, guide, obs))


def test_beta_and_weights_apply_to_it():
    toy = SharedShift(reach=0.0)
    obs, guide, model = toy.sample(5), toy.guide(), toy.model()
    plain, beta = (ELBOTerms(FULL, beta=b).loss(model, guide, obs) for b in (1.0, 3.0))
    own = ELBOTerms(FULL, beta=3.0).loss(model, without_g(toy), obs)
    rest = ELBOTerms(FULL).loss(model, without_g(toy), obs)
    assert beta - plain == pytest.approx((own - rest) + 2.0 * guide.kl().item())


# ---------------------------------------------------------------- a site in plates of its own


class Effects(Shifted):
    """Three shared numbers in a plate of their own at the rows' dim, and one scalar a row."""

    def forward(self, obs):
        with pyro.plate("effects", 3, dim=-1):
            pyro.sample("effect", dist.Normal(0.0, TAU))
        super().forward(obs)


class GuideOfEffects(MeanField):
    def forward(self, obs):
        with pyro.plate("effects", 3, dim=-1):
            pyro.sample("effect", dist.Normal(0.3, 0.5))
        super().forward(obs)


@by_name(IN_CLOSED_FORM)
def test_a_plate_of_shared_latents_is_summed(make):
    toy = SharedShift(reach=0.0)
    obs, guide = toy.sample(4), GuideOfEffects(toy)
    loss = make().loss(Effects(toy), guide, obs)
    one = math.log(TAU / 0.5) + (0.5**2 + 0.3**2) / (2 * TAU**2) - 0.5
    expected = -rows_alone(toy, obs) + guide.kl().item() + 3 * one
    assert loss == pytest.approx(expected, rel=1e-10)


# ---------------------------------------------------------------- what needs weights of rows


REFUSED = {
    "IWAE": lambda system, obs: IWAE().loss(system.model, system.guide, obs),
    "DReG": lambda system, obs: DReG(2).loss(system.model, system.guide, obs),
    "log_weights": lambda system, obs: log_weights(
        system.model, system.guide, obs, num_particles=2
    ),
    "log_likelihood": lambda system, obs: log_likelihood(system, obs, num_samples=5),
    "log_likelihood, defensive": lambda system, obs: log_likelihood(
        system, obs, num_samples=5, proposal="defensive"
    ),
    "annealed_log_likelihood": lambda system, obs: annealed_log_likelihood(
        system, obs, num_chains=2, num_temperatures=1, start="posterior"
    ),
}


@by_name(REFUSED)
def test_weights_of_rows_refuse_it_by_name(make):
    toy = SharedShift()
    system = System(toy.model(), toy.guide(), ELBOTerms(FULL))
    with pytest.raises(ValueError, match="all rows share latent site 'g'"):
        make(system, toy.sample(3))


def test_several_draws_of_a_model_that_shares_a_latent_are_refused_and_one_is_the_elbo():
    toy = SharedShift(reach=0.0)
    obs, guide = toy.sample(3), without_g(SharedShift(reach=0.0))
    with pytest.raises(ValueError, match="all rows share latent site 'g'"):
        IWAE(2).loss(toy.model(), guide, obs)
    value = IWAE().loss(toy.model(), guide, obs)
    assert math.isfinite(value)


@pytest.mark.parametrize("proposal", ["joint", "prior"])
def test_likelihood_of_a_row_is_its_marginal_over_what_the_model_shares(proposal):
    # g is one more coordinate of the prior for a single row: z + g ~ N(0, 1 + tau^2). The weights
    # p(x | z, g) p(z) / q(z) are bounded by experts of 1.5 times the exact scale: 4 errors.
    toy = SharedShift()
    wide = SharedShift()
    wide.weight = {n: w * math.sqrt(1 + TAU**2) for n, w in toy.weight.items()}
    obs = toy.mixed()
    system = System(toy.model(), without_g(toy), ELBOTerms(FULL))
    found = log_likelihood(system, obs, "c", num_samples=4000, proposal=proposal)
    off = (found.value - wide.log_p(obs, ("c",))).abs()
    assert (off <= 4 * found.standard_error).all()
    # All rows have the same draws of g: errors do not average out over them.
    summary = found.summary()
    for end, side in (("low", found.value - found.low), ("high", found.high - found.value)):
        width = abs(summary["mean"] - summary[f"monte_carlo_{end}"])
        assert width == pytest.approx(side.mean().item(), rel=0.02)


# ---------------------------------------------------------------- mistakes


class OutsideZ(MeanField):
    def forward(self, obs):
        pyro.sample("g", self.of_g())
        pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))


class WrongSize(MeanField):
    def forward(self, obs):
        pyro.sample("g", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        with obs.plates():
            pyro.sample("z", self.posterior(obs))


@pytest.mark.parametrize(
    ("guide", "said"),
    [
        (
            OutsideZ,
            r"'z': the model draws one a row, inside obs\.plates\(\), the guide one for all",
        ),
        (WrongSize, r"'g': the guide's events have shape \(3,\), the model's \(2,\)"),
    ],
)
@pytest.mark.parametrize("objective", [ELBOTerms(FULL), MixtureELBO(), Trace_ELBO()])
def test_sites_that_do_not_match_are_refused_before_training(guide, said, objective):
    toy = SharedShift()
    system = System(toy.model(), guide(toy), objective)
    with pytest.raises(ValueError, match=said):
        losses_of(system, toy.sample(4))
    with pytest.raises(ValueError, match=said):
        system(toy.sample(4))


def test_stock_svi_takes_a_loop_of_ones_own_with_the_part_of_the_data():
    toy = SharedShift()
    obs, guide = toy.sample(20), toy.guide()
    svi = SVI(toy.model(), guide, pyro.optim.Adam({"lr": 0.01}), loss=ELBOTerms(FULL))
    before = guide.loc.detach().clone()
    with OfTheDataSet(5 / 20):
        losses = [svi.step(obs[torch.arange(i, i + 5)]) for i in range(0, 20, 5)]
    assert all(math.isfinite(loss) for loss in losses)
    assert not torch.equal(before, guide.loc)


@pytest.mark.parametrize("mean", ["batch", "terms"])
def test_of_rows_that_hold_nothing_the_kl_is_left(mean):
    toy = SharedShift()
    obs, guide = toy.sample(2).only(), toy.guide()
    for loss in (
        TraceMeanField_ELBO().loss(toy.model(), guide, obs),
        ELBOTerms(FULL, mean=mean).loss(toy.model(), guide, obs),
    ):
        assert loss == pytest.approx(guide.kl().item(), abs=1e-12)


def test_fit_in_batches_of_one_row_counts_it_once_though_some_hold_nothing():
    toy = SharedShift(reach=0.0)
    obs, guide = toy.mixed(), toy.guide()
    row = losses_of(System(toy.model(), guide, ELBOTerms(FULL)), obs, batch_size=1)
    expected = -(rows_alone(toy, obs) - guide.kl().item()) / 8
    assert row["loss"] == pytest.approx(expected, abs=1e-10)
