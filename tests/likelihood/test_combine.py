"""Likelihoods put together from conditionals: MEME's against closed forms, and their errors."""

import itertools
import math

import pytest
import torch
from every_system import SameNoise
from plain_likelihood import log_likelihood
from torch import nn
from torch.distributions import MultivariateNormal
from toy_meme import PAIR, TRIPLE, Toy, random_toy

from ppl_mm import Observations, System
from ppl_mm.evaluation import elbo
from ppl_mm.likelihood import log_likelihood as likelihood
from ppl_mm.likelihood.combine import combine_parts
from ppl_mm.likelihood.importance import from_guide, log_weights_of
from ppl_mm.likelihood.log_likelihood import log_likelihoods
from ppl_mm.objectives import IWAE, MutualSupervisionELBO
from ppl_mm.programs.conditionals import Conditional
from ppl_mm.results.log_likelihood import LogLikelihood

SUBSETS = [s for k in (1, 2, 3) for s in itertools.combinations("str", k)]
SPLITS = [(a, b) for a in SUBSETS for b in ((), *SUBSETS) if not set(a) & set(b)]
FIELDS = ("value", "standard_error", "ess", "pareto_k", "log_weight_variance")


def exact(toy, system, target, given):
    """log p(x_target | x_given): the equal mixture of the chains that end in each of the target."""
    totals = []
    for last in target:
        rest = [n for n in toy.names if n in target and n != last]
        chain = [toy.conditional(system, n, [*given, *rest[:k]]) for k, n in enumerate(rest)]
        totals.append(sum(chain) + toy.conditional(system, last, [*given, *rest]))
    return torch.tensor(totals).logsumexp(0).item() - math.log(len(totals))


def exact_of_one_joint(toy, system, held):
    """log of the integral of p(z) prod p(x_m | z): Normals, one for each pseudo-input."""
    slope = torch.tensor([toy.decoders[n][0] for n in held])
    noise = torch.diag(torch.tensor([toy.decoders[n][1] ** 2 for n in held]))
    x, each = torch.tensor([toy.values[n] for n in held]), []
    for n in toy.names:
        line, scale = toy.encoders[n]
        covariance = scale**2 * torch.outer(slope, slope) + noise
        for u in toy.pseudo(system, n):
            each.append(MultivariateNormal(slope * line * u, covariance).log_prob(x))
    return torch.stack(each).logsumexp(0).item() - math.log(len(each))


def assert_within_error(found, expected, sigmas=4):
    assert ((found.value - expected).abs() <= sigmas * found.standard_error + 1e-9).all()
    assert found.standard_error.max() < 0.2


# ---------------------------------------------------------------- against closed forms


def test_a_conditional_of_the_toy():
    found = log_likelihood(PAIR.system(), PAIR.rows(3), "s", "t", num_samples=20_000)
    assert_within_error(found, -1.846171)
    assert found.standard_error.max() < 0.006
    assert found.quantity == "log p(s | t)"
    assert (found.target, found.given, found.num_samples) == (("s",), ("t",), 20_000)


def test_two_modalities_are_the_mixture_of_the_two_directions_joints():
    system, obs = PAIR.system(), PAIR.rows(3)
    alone = {n: PAIR.conditional(system, n, ()) for n in "st"}
    joint = [
        PAIR.conditional(system, "s", "t") + alone["t"],
        PAIR.conditional(system, "t", "s") + alone["s"],
    ]
    expected = torch.tensor(joint).logsumexp(0).item() - math.log(2)
    assert_within_error(log_likelihood(system, obs, num_samples=4000), expected)
    for n in "st":
        assert_within_error(log_likelihood(system, obs, n, num_samples=4000), alone[n])


@pytest.mark.parametrize(("target", "given"), SPLITS)
def test_any_target_and_given_of_every_pattern(target, given):
    toy, system = TRIPLE, TRIPLE.system()
    patterns = torch.cartesian_prod(*[torch.tensor([True, False])] * 3)
    obs = Observations(toy.rows(8).values, {n: patterns[:, i] for i, n in enumerate("str")})
    found = log_likelihood(system, obs, target, given, num_samples=600)
    expected = []
    for row in patterns.tolist():
        held = [n for n, h in zip("str", row, strict=True) if h]
        a, b = ([n for n in names if n in held] for names in (target, given))
        expected.append(exact(toy, system, a, b) if a else 0.0)
    assert_within_error(found, torch.tensor(expected))
    some = torch.stack([obs.present[n] for n in target]).any(0)
    assert not found.value[~some].any()
    assert not found.standard_error[~some].any()
    assert (found.standard_error[some] > 0).all()


def test_a_product_as_conditional_prior():
    toy = TRIPLE
    system = toy.system(MutualSupervisionELBO(conditional_prior="product"))
    found = log_likelihood(system, toy.rows(2), "s", ("t", "r"), num_samples=4000)
    parts = [toy.encoders[n] for n in "tr"]
    precision = sum(scale**-2 for _, scale in parts)
    loc = sum(a * toy.values[n] / s**2 for n, (a, s) in zip("tr", parts, strict=True)) / precision
    assert_within_error(found, toy.explain("s", loc, precision**-0.5))
    mixture = log_likelihood(toy.system(), toy.rows(2), "s", ("t", "r"), num_samples=4000)
    assert ((found.value - mixture.value).abs() > 10 * found.standard_error).all()


@pytest.mark.parametrize("proposal", ["joint", "given", "prior", "defensive", ["s"], ["s", "t"]])
def test_every_proposal(proposal):
    system = PAIR.system()
    for target, given in ((("s",), ("t",)), (("s", "t"), ())):
        found = log_likelihood(system, PAIR.rows(2), target, given, 6000, proposal)
        assert_within_error(found, exact(PAIR, system, target, given))


def test_weights_of_the_two_encoders_are_bounded():
    system, obs = PAIR.system(), PAIR.rows(2).scoring("s")
    ((conditional,),) = system.alternatives(("s",), ("t",))
    draws = from_guide(system.model, system.guide, obs.given("s", "t"), 5000)
    log_w = log_weights_of(conditional.model, obs, draws, 10**6).of(("s",))
    assert len(draws.log_pi) == 2  # in equal numbers
    largest = -math.log(0.5 * math.sqrt(2 * math.pi))  # of log d_s
    assert (log_w <= math.log(2) + largest + 1e-9).all()


def test_bounds_are_below_the_directions_joints():
    for seed in range(4):
        toy = random_toy(seed)
        system = toy.system(MutualSupervisionELBO(5))
        bounds = []
        for held in (("s", "t"), ("s",), ("t",)):
            obs = toy.rows(4000).only(*held)
            with torch.no_grad():
                bounds.append(system.objective.bound(system.model, system.guide, obs))
        total = bounds[0] + 0.5 * (bounds[1] + bounds[2])  # the first is an average of two
        joints = [
            toy.conditional(system, i, j) + toy.conditional(system, j, ()) for i, j in ("st", "ts")
        ]
        error = total.std() / math.sqrt(4000)
        assert total.mean() <= sum(joints) / 2 + 4 * error
        assert sum(joints) / 2 <= exact(toy, system, ("s", "t"), ()) + 1e-12


@pytest.mark.parametrize("toy", [PAIR, TRIPLE])
def test_the_elbo_is_below_the_likelihood(toy):
    system = toy.system()
    for held in (tuple(toy.names), toy.names[:1]):
        value = elbo(system, toy.rows(8000).only(*held))
        assert value.mean() <= exact(toy, system, held, ()) + 4 * value.std() / 8000**0.5


def test_the_elbo_is_the_objectives_bound_of_one_draw_whatever_the_objective():
    """L(s, t) with log p(t) bounded by L(t), and so around; rows at M = 1."""
    bounds = []
    system = PAIR.system(MutualSupervisionELBO(1))
    for held in (("s", "t"), ("s",), ("t",)):
        obs = PAIR.rows(20_000).only(*held)
        with torch.no_grad():
            bounds.append(system.objective.bound(system.model, system.guide, obs))
    total = bounds[0] + 0.5 * (bounds[1] + bounds[2])  # the first is an average of two
    trained = PAIR.system(MutualSupervisionELBO.preset("code"))
    value = elbo(trained, PAIR.rows(20_000))
    error = ((value.var() + total.var()) / 20_000) ** 0.5
    assert abs(value.mean() - total.mean()) < 4 * error


def test_the_elbo_of_rows_that_lack_something():
    system, obs = TRIPLE.system(), TRIPLE.rows(6)
    held = Observations(
        obs.values, {n: torch.arange(6) % (k + 2) != 0 for k, n in enumerate(TRIPLE.names)}
    )
    value = elbo(system, held)
    assert value.isfinite().all()
    assert value[0] == 0  # it holds nothing
    with SameNoise():
        together = elbo(system, held)
        for row in range(1, 6):
            torch.testing.assert_close(elbo(system, held[[row]])[0], together[row])


@pytest.mark.parametrize("factor", [0.2, 7.0])
def test_the_unit_of_the_latent_plays_no_part(factor):
    other = Toy(
        {n: (a / factor, s) for n, (a, s) in PAIR.decoders.items()},
        {n: (factor * a, factor * s) for n, (a, s) in PAIR.encoders.items()},
        PAIR.values,
    )
    obs = PAIR.rows(3)
    for target, given in (("s", "t"), (("s", "t"), ()), ("t", ())):
        one, two = (log_likelihood(t.system(), obs, target, given, 50) for t in (PAIR, other))
        torch.testing.assert_close(one.value, two.value, atol=1e-10, rtol=0)


# ---------------------------------------------------------------- the one joint density


@pytest.mark.parametrize("toy", [PAIR, TRIPLE])
def test_another_objective_gives_the_model_with_its_own_prior(toy):
    system = toy.system()
    one = System(system.model, system.guide, IWAE())
    obs = toy.rows(3)
    for held in (("s",), ("s", "t"), tuple(toy.names)):
        found = log_likelihood(one, obs, held, num_samples=3000)
        assert_within_error(found, exact_of_one_joint(toy, system, held))
    found = log_likelihood(one, obs, "s", "t", num_samples=3000)
    below = [exact_of_one_joint(toy, system, h) for h in (("s", "t"), ("t",))]
    assert_within_error(found, below[0] - below[1])


def test_the_elbo_of_the_one_joint_density():
    system, obs = PAIR.system(), PAIR.rows(20_000)
    value = elbo(System(system.model, system.guide, IWAE()), obs)
    limit = exact_of_one_joint(PAIR, system, ("s", "t"))
    assert value.mean() <= limit + 4 * value.std() / math.sqrt(20_000)


# ---------------------------------------------------------------- what must not matter


def test_several_targets_equal_separate_calls():
    system, obs = TRIPLE.system(), TRIPLE.rows(3)
    targets = [("s",), ("s", "t"), ("s", "t", "r")]
    for target, found in zip(
        targets, log_likelihoods(system, obs, targets, num_samples=3000), strict=True
    ):
        assert_within_error(found, exact(TRIPLE, system, target, ()))


@pytest.mark.filterwarnings("ignore::ppl_mm.results.unreliable.UnreliableLikelihoodWarning")
def test_chunks_and_the_order_of_rows_do_not_matter():
    system = TRIPLE.system()
    present = {"s": torch.arange(9) % 3 > 0, "t": torch.arange(9) % 2 == 0}
    obs = Observations(TRIPLE.rows(9).values, present)
    one, other = (log_likelihood(system, obs, num_samples=30, chunk=c) for c in (10**6, 7))
    for field in FIELDS:
        torch.testing.assert_close(getattr(one, field), getattr(other, field))
    turned = log_likelihood(system, obs[torch.arange(9).flip(0)], num_samples=4000)
    whole = log_likelihood(system, obs, num_samples=4000)
    error = (turned.standard_error.flip(0) ** 2 + whole.standard_error**2).sqrt()
    assert ((turned.value.flip(0) - whole.value).abs() <= 5 * error).all()


def test_every_conditional_is_estimated_once(monkeypatch):
    seen = []
    source_of = likelihood.source_of

    def count(system, obs, names, *rest, once):
        seen.append((names, system.model.given))
        return source_of(system, obs, names, *rest, once=once)

    monkeypatch.setattr(likelihood, "source_of", count)
    log_likelihood(TRIPLE.system(), TRIPLE.rows(2), num_samples=10)
    assert len(seen) == len(set(seen))
    assert set(seen) == {
        (("t",), ()), (("r",), ("t",)), (("s",), ("t", "r")),
        (("s",), ()), (("r",), ("s",)), (("t",), ("s", "r")),
        (("t",), ("s",)), (("r",), ("s", "t")),
    }  # fmt: skip


# ---------------------------------------------------------------- errors


class Told(nn.Module):
    """A model that says how its likelihood is put together."""

    names = ("a", "b")
    modalities = ()

    def __init__(self, alternatives):
        super().__init__()
        self.told = alternatives

    def forward(self, obs):
        """Nothing is drawn: the estimates are told."""

    def alternatives(self, system, target, given):
        return [[Conditional((t,), (g,), self) for t, g in chain] for chain in self.told]


def part(value, error, ess=10.0, k=0.1):
    def column(x):
        return torch.full((2,), x)

    return LogLikelihood(
        column(value), column(error), column(value - 2 * error), column(value + 3 * error),
        column(ess), column(k), column(1.0), torch.full((2,), 5), torch.zeros(2), 5,
        ("a",), (), "", True, column(0.0),
    )  # fmt: skip


def test_errors_by_the_delta_method():
    # J_1 = E_a + E_c, J_2 = E_b + E_c; weights w of the alternatives 1/4 and 3/4.
    told = Told([[("a", "x"), ("c", "x")], [("b", "x"), ("c", "x")]])
    parts = {
        "a": part(math.log(1.0), 0.1, ess=7.0),
        "b": part(math.log(3.0), 0.2, k=0.9),
        "c": part(-2.0, 0.3),
    }
    system = System(told, nn.Linear(1, 1), IWAE())
    obs = Observations({"a": torch.randn(2, 1)})
    found = combine_parts(system, obs, ("a",), (), lambda c, rows: parts[c.target[0]], 5)
    expected = math.sqrt((0.25 * 0.1) ** 2 + (0.75 * 0.2) ** 2 + 0.3**2)
    torch.testing.assert_close(found.value, torch.full((2,), math.log(2.0) - 2.0))
    torch.testing.assert_close(found.standard_error, torch.full((2,), expected))
    torch.testing.assert_close(found.value - found.low, torch.full((2,), 2 * expected))
    torch.testing.assert_close(found.high - found.value, torch.full((2,), 3 * expected))
    assert found.ess.tolist() == [7.0, 7.0]
    assert found.pareto_k.tolist() == [0.9, 0.9]


@pytest.mark.slow  # sixty estimates
def test_standard_errors_are_those_of_repeated_estimates():
    # 60 repeats: a relative standard error of sqrt(2 / 59) = 0.18 of each ratio of variances; 4.
    system, obs = TRIPLE.system(), TRIPLE.rows(2)
    runs = [log_likelihood(system, obs, num_samples=210, seed=s) for s in range(60)]
    spread = torch.stack([r.value for r in runs]).var(0)
    claimed = torch.stack([r.standard_error for r in runs]).square().mean(0)
    assert ((spread / claimed).log().abs() < 4 * 0.18).all()


def test_no_lower_end_is_further_than_log_40_unless_something_is_given():
    """Two chains of two parts, each of which has its lower end 6 below; log 40 is 3.69."""

    def estimate(part, obs):
        columns = {field: torch.ones(len(obs)) for field in FIELDS}
        columns |= {"value": torch.full((len(obs),), -2.0), "draws": torch.ones(len(obs))}
        columns |= {"low": columns["value"] - 6.0, "high": columns["value"] + 0.5}
        columns["refinement"] = torch.zeros(len(obs))
        return LogLikelihood.of(
            columns, 10, part.target, part.given, "", TRIPLE.system().modalities
        )

    system, obs = TRIPLE.system(), TRIPLE.rows(2)
    alone, given = (
        combine_parts(system, obs, *question, estimate, 10)
        for question in ((("s", "t"), ()), (("s", "t"), ("r",)))
    )
    torch.testing.assert_close(alone.value - alone.low, torch.full((2,), math.log(40.0)).double())
    assert (given.value - given.low > 4.0).all()
