"""Stock Pyro inference and plain torch optimisers see the same programs and the same losses."""

import math

import pyro
import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, TraceMeanField_ELBO

from ppl_mm import Observations, guides, models
from ppl_mm.objectives import IWAE, ELBOTerms, Reweighted, Term, subset_terms

OBJECTIVES = {
    "ELBOTerms": lambda: ELBOTerms(subset_terms(1)),
    "ELBOTerms with references": lambda: ELBOTerms(
        [Term(NAMES, NAMES), Term(NAMES, (), ("a",), 0.1)], rows="require", num_particles=2
    ),
    "IWAE": lambda: IWAE(num_particles=3),
    "Trace_ELBO": Trace_ELBO,
    "TraceMeanField_ELBO": TraceMeanField_ELBO,
    "Reweighted": lambda: Reweighted(TraceMeanField_ELBO(), weights={"a": 3.0}, beta=0.5),
}
every_objective = pytest.mark.parametrize("make", OBJECTIVES.values(), ids=OBJECTIVES)


def build(seed=0, spread=1.3):
    toy = LinearGaussian(spread=spread, seed=seed)
    return toy, toy.model(), guides.ProductOfExperts(toy.modalities, 2)


def parameters(*modules):
    return [p for m in modules for p in m.parameters()]


# ---------------------------------------------------------------- one loss, two routes


@every_objective
def test_svi_and_module_give_the_same_loss_and_gradients(make):
    toy, model, guide = build()
    obs, results = toy.mixed(), []
    objective = make()
    pyro.set_rng_seed(7)
    loss = objective(model, guide)(obs)
    loss.backward()
    results.append((loss.item(), [p.grad.clone() for p in parameters(model, guide)]))
    for p in parameters(model, guide):
        p.grad = None
    grabbed = []

    class Grab(torch.optim.SGD):
        def step(self, *args, **kwargs):
            grabbed.extend(p.grad.clone() for g in self.param_groups for p in g["params"])

    svi = SVI(model, guide, pyro.optim.PyroOptim(Grab, {"lr": 0.1}), loss=objective)
    pyro.set_rng_seed(7)
    value = svi.step(obs)
    assert value == pytest.approx(results[0][0], abs=1e-10)
    # SVI keeps parameters in a set: compare the gradients by their norms, each of which differs.
    expected = sorted(g.norm().item() for g in results[0][1])
    assert sorted(g.norm().item() for g in grabbed) == pytest.approx(expected, abs=1e-10)


@every_objective
def test_svi_steps_move_every_parameter_and_lower_the_loss(make):
    _, model, guide = build()
    obs = LinearGaussian(seed=5).sample(40)  # rows of another model: there is much to learn
    before = [p.detach().clone() for p in parameters(model, guide)]
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), loss=make())
    losses = [svi.step(obs) for _ in range(20)]
    after = parameters(model, guide)
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert sum(losses[-5:]) < sum(losses[:5])


@every_objective
def test_module_route_trains_as_well(make):
    _, model, guide = build()
    obs = LinearGaussian(seed=5).sample(40)
    module = make()(model, guide)
    assert {id(p) for p in module.parameters()} == {id(p) for p in parameters(model, guide)}
    before = [p.detach().clone() for p in module.parameters()]
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = module(obs)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert sum(losses[-5:]) < sum(losses[:5])


def test_two_systems_train_side_by_side_with_an_empty_store():
    systems = [build(seed) for seed in (0, 1)]
    obs = LinearGaussian(seed=5).sample(20)
    svis = [
        SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss=TraceMeanField_ELBO())
        for _, model, guide in systems
    ]
    for turn, svi in enumerate(svis):
        before = [[p.detach().clone() for p in parameters(*s[1:])] for s in systems]
        svi.step(obs)
        for i, system in enumerate(systems):
            pairs = zip(before[i], parameters(*system[1:]), strict=True)
            moved = [not torch.equal(a, b) for a, b in pairs]
            assert all(moved) if i == turn else not any(moved)
    assert len(pyro.get_param_store()) == 0


def test_two_programs_of_one_class_in_one_trace_show_all_their_parameters():
    (toy, _, one), (_, _, two) = (build(seed) for seed in (0, 1))
    with pyro.poutine.trace(param_only=True) as shown:
        for guide in (one, two):
            with pyro.poutine.block(hide=["z"]):
                guide(toy.sample(2))
    found = {id(site["value"].unconstrained()) for site in shown.trace.nodes.values()}
    assert found == {id(p) for p in parameters(one, two)}


# ---------------------------------------------------------------- stock objectives, unmodified


@pytest.mark.parametrize("pattern", ["complete", "mixed"])
def test_mean_field_elbo_equals_the_full_term_at_the_same_noise(pattern):
    toy, model, guide = build()
    obs = toy.sample(6) if pattern == "complete" else toy.mixed()
    losses = []
    for objective in (TraceMeanField_ELBO(), ELBOTerms([Term(NAMES, NAMES)])):
        torch.manual_seed(3)
        losses.append(objective.differentiable_loss(model, guide, obs).detach())
    torch.testing.assert_close(*losses, atol=1e-10, rtol=0)


def test_trace_elbo_has_the_same_expectation_as_the_full_term():
    # Both are quadratics of Normals at each draw: the variance is finite. 500 copies of each row
    # are 500 draws; losses are sums over rows, so each copy is run through its per-row values.
    toy, model, guide = build()
    rows = toy.mixed()
    obs = rows[torch.arange(len(rows)).repeat(500)]
    terms = ELBOTerms([Term(NAMES, NAMES)]).bound(model, guide, obs).detach()
    stock = torch.tensor([Trace_ELBO().loss(model, guide, rows) for _ in range(500)])
    ours = -terms.reshape(500, len(rows)).sum(1)
    difference = ours.mean() - stock.mean()
    error = ((ours.var() + stock.var()) / 500).sqrt()
    assert abs(difference) < 4 * error


def test_exact_posterior_gives_log_evidence_under_trace_elbo():
    toy = LinearGaussian()
    obs = toy.mixed()
    loss = Trace_ELBO().loss(toy.model(), toy.exact_guide(), obs)
    assert -loss == pytest.approx(toy.log_p(obs, NAMES).sum().item(), abs=1e-9)


@pytest.mark.parametrize("num_particles", [1, 4])
def test_vectorised_particles_of_stock_objectives(num_particles):
    toy = LinearGaussian()
    obs = toy.mixed()
    objective = Trace_ELBO(
        num_particles=num_particles, vectorize_particles=True, max_plate_nesting=2
    )
    loss = objective.loss(toy.model(), toy.exact_guide(), obs)
    assert -loss == pytest.approx(toy.log_p(obs, NAMES).sum().item(), abs=1e-9)


def test_expanded_scales_of_encoders_train():
    toy, model, guide = build()
    _, scale = guide.encoders["a"](toy.sample(4)["a"])
    assert scale.stride(0) == 0
    ELBOTerms(subset_terms())(model, guide)(toy.mixed()).backward()
    gradients = [e.log_scale.grad for e in guide.encoders.values()]
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients)


# ---------------------------------------------------------------- prediction and MCMC


@pytest.mark.parametrize("held", [NAMES, ("a",), ()])
def test_predictive_draws_what_the_data_lack(held):
    toy, model, guide = build()
    complete = toy.sample(3)
    obs = Observations({n: complete[n] for n in held}) if held else Observations.blank(3)
    draws = Predictive(model, guide=guide, num_samples=5)(obs)
    assert draws["z"].shape == (5, 3, 2)
    for name in NAMES:
        assert draws[name].shape == (5, 3, toy.sizes[name])
        drawn = draws[name].std(0)  # an observed site comes back as it was observed
        assert (drawn == 0).all() if name in held else (drawn > 0).all()


def test_predictive_on_rows_with_missing_modalities():
    toy, model, guide = build()
    obs = toy.mixed()
    draws = Predictive(model, guide=guide, num_samples=2000, parallel=True)(obs)
    assert draws["z"].shape == (2000, *draws["z"].shape[1:-2], len(obs), 2)
    nothing = ~torch.stack(list(obs.present.values())).any(0)
    z = draws["z"].reshape(2000, len(obs), 2)[:, nothing]
    # Rows without data: z is standard Normal; 4 standard errors of its mean and its square.
    assert z.mean().abs() < 4 / math.sqrt(z.numel())
    assert (z.square().mean() - 1).abs() < 4 * math.sqrt(2 / z.numel())


@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated")
def test_nuts_compiled_asks_for_parameters_that_do_not_learn():
    toy = LinearGaussian({"a": 2}, latent_dim=1)
    model, obs = toy.model(), toy.sample(3)

    def run():
        kernel = NUTS(model, jit_compile=True, ignore_jit_warnings=True)
        mcmc = MCMC(kernel, num_samples=3, warmup_steps=2, disable_progbar=True)
        mcmc.run(obs)
        return mcmc.get_samples()["z"]

    with pytest.raises(TypeError, match=r"call requires_grad_\(False\) first"):
        run()
    model.requires_grad_(False)
    assert run().shape == (3, 3, 1)


def test_nuts_recovers_the_exact_posterior_mean():
    toy = LinearGaussian({"a": 2}, latent_dim=1)
    obs, model = toy.sample(3), models.SharedLatent(toy.modalities, 1)
    kernel = NUTS(model, max_plate_nesting=1, jit_compile=False)
    mcmc = MCMC(kernel, num_samples=150, warmup_steps=50, disable_progbar=True)
    mcmc.run(obs)
    z = mcmc.get_samples()["z"]
    exact = toy.exact_guide().posterior(obs)
    # Draws are correlated; 5 standard errors with an effective size of at least a quarter.
    error = exact.stddev / math.sqrt(150 / 4)
    assert ((z.mean(0) - exact.mean).abs() < 5 * error).all()
