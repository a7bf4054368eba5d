"""MEME's bound with three modalities: by hand for every pattern, and against closed forms."""

import itertools
import math

import pytest
import torch
from every_system import SameNoise
from torch.distributions import Normal
from toy_meme import PAIR, TRIPLE, Noise, Recording, random_toy

from ppl_mm import Observations
from ppl_mm.objectives import MutualSupervisionELBO
from ppl_mm.objectives.directions import Direction

EXACT = {"atol": 1e-10, "rtol": 1e-10}
NAMES = "str"
SUBSETS = [s for k in (1, 2, 3) for s in itertools.combinations(NAMES, k)]


def pseudo_density(system, toy, name, z):
    slope, scale = toy.encoders[name]
    u = system.model.prior.pseudo_inputs(name).flatten()
    return Normal(slope * u, scale).log_prob(z[..., None]).logsumexp(-1) - math.log(len(u))


def expert(toy, name, x):
    slope, scale = toy.encoders[name]
    return Normal(slope * x, scale)


def prior_by_hand(system, toy, i, held, x, z, kind):
    """log p_i(z | x_held) at z, (M,)."""
    others = [n for n in toy.names if n != i]
    given = [n for n in others if n in held]
    if kind == "product" and given:
        parts = [expert(toy, j, x[j]) for j in given]
        precision = sum(p.scale**-2 for p in parts)
        loc = sum(p.loc * p.scale**-2 for p in parts) / precision
        return Normal(loc, precision**-0.5).log_prob(z)
    each = [
        expert(toy, j, x[j]).log_prob(z) if j in given else pseudo_density(system, toy, j, z)
        for j in others
    ]
    return torch.stack(each).logsumexp(0) - math.log(len(others))


def row_by_hand(system, toy, held, x, noise, options):
    """The value of one row, for noise (M,)."""
    kind, estimator = options["conditional_prior"], options["estimator"]
    alpha, total = options.get("alpha", 1.0), []
    for i in held:
        q = expert(toy, i, x[i])
        z = q.loc + q.scale * noise
        score = {n: Normal(toy.decoders[n][0] * z, toy.decoders[n][1]).log_prob(x[n]) for n in held}
        l = sum((score[n] for n in held if n != i), torch.zeros_like(z))  # noqa: E741
        r = score[i] + prior_by_hand(system, toy, i, held, x, z, kind) - q.log_prob(z)
        log_z = l.logsumexp(0) - math.log(len(z))
        w = l.softmax(0)
        value = (w * (r - l)).sum() if estimator == "symmetric" else len(z) * w[0] * (r - l)[0]
        total.append(value + alpha * log_z)
    return torch.stack(total).mean()


@pytest.mark.parametrize("estimator", ["symmetric", "single"])
@pytest.mark.parametrize("kind", ["mixture", "product"])
def test_every_pattern_by_hand(kind, estimator):
    options = {"conditional_prior": kind, "estimator": estimator, "alpha": 3.0}
    objective = MutualSupervisionELBO(4, **options)
    system = TRIPLE.system(objective)
    n = len(SUBSETS)
    present = {m: torch.tensor([m in s for s in SUBSETS]) for m in NAMES}
    obs = Observations({m: torch.randn(n, 1) for m in NAMES}, present)
    noise = torch.randn(4, 1, n)
    with torch.no_grad(), Noise(noise):
        value = objective.bound(system.model, system.guide, obs)
    for row, held in enumerate(SUBSETS):
        x = {m: obs[m][row, 0] for m in NAMES}
        expected = row_by_hand(system, TRIPLE, held, x, noise[:, 0, row], options)
        torch.testing.assert_close(value[row], expected.detach(), **EXACT)


@pytest.mark.parametrize("kind", ["mixture", "product"])
def test_two_modalities_of_either_kind_are_the_same(kind):
    options = {"conditional_prior": kind, "estimator": "symmetric"}
    objective = MutualSupervisionELBO(4, **options)
    system, noise = PAIR.system(objective), torch.randn(4, 1, 3)
    present = {"s": torch.tensor([True, True, False]), "t": torch.tensor([True, False, True])}
    obs = Observations(PAIR.rows(3).values, present)
    with torch.no_grad(), Noise(noise):
        value = objective.bound(system.model, system.guide, obs)
    x = {n: torch.tensor(v) for n, v in PAIR.values.items()}
    for row, held in enumerate([("s", "t"), ("s",), ("t",)]):
        mixture = options | {"conditional_prior": "mixture"}
        expected = row_by_hand(system, PAIR, held, x, noise[:, 0, row], mixture)
        torch.testing.assert_close(value[row], expected.detach(), **EXACT)


@pytest.mark.parametrize("num_particles", [1, 2, 5, 50])
def test_every_direction_is_below_its_conditional(num_particles):
    for seed in range(4):
        toy = random_toy(seed, NAMES)
        objective = Recording(num_particles)
        system = toy.system(objective)
        for held in SUBSETS:
            with torch.no_grad():
                system(toy.rows(2000).only(*held))
            for i in held:
                each = objective.each[NAMES.index(i)]
                limit = toy.conditional(system, i, [n for n in held if n != i])
                assert each.mean() <= limit + 4 * each.std() / math.sqrt(2000) + 1e-9


def test_the_order_of_modalities_plays_no_part():
    obs, values = TRIPLE.rows(4).without("t"), []
    for names in ("str", "rts"):
        system = TRIPLE.system(MutualSupervisionELBO(3), names=names)
        with SameNoise():
            values.append(system(obs))
    torch.testing.assert_close(*values, **EXACT)


@pytest.mark.parametrize("kind", ["mixture", "product"])
@pytest.mark.parametrize("given", [(), ("t",), ("t", "r")])
def test_conditional_priors_integrate_to_one(kind, given):
    system = TRIPLE.system()
    direction = Direction(system.model, "s", given, kind)
    grid = torch.linspace(-12, 12, 4001)
    obs = TRIPLE.rows(len(grid)).scoring()
    from pyro import poutine

    trace = poutine.trace(poutine.condition(direction, data={"z": grid[:, None]})).get_trace(obs)
    trace.compute_log_prob()
    density = trace.nodes["z"]["log_prob"].exp()
    assert torch.trapezoid(density, grid).item() == pytest.approx(1.0, abs=1e-9)


def test_the_closed_divergence_is_used_where_the_prior_is_one_normal():
    for toy, kind, closed in (
        (PAIR, "mixture", True),
        (TRIPLE, "product", True),
        (TRIPLE, "mixture", False),
    ):
        options = {"conditional_prior": kind, "kl": "analytic"}
        plain, none = (Recording(5, beta=b, **options) for b in (1.0, 0.0))
        for objective in (plain, none):
            system = toy.system(objective)
            with torch.no_grad(), Noise(torch.linspace(-1, 1, 5)[:, None, None]):
                system(toy.rows())
        spread = (plain.r - none.r).std(0)
        assert (spread < 1e-12).all() if closed else (spread > 1e-6).all()
