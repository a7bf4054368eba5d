"""Models x guides x objectives, ours and Pyro's: each cell is right, or refused in one sentence.

With one latent number a row the exact posterior is a Normal, which most guides can be. Then every
bound is log p(x) at every draw, to rounding. docs/pyro.md is this table in words.
"""

import math
import re

import pyro
import pytest
import torch
from exact_autoguides import AUTOGUIDES, exact_autoguide
from linear_gaussian import NAMES, LinearGaussian
from pyro.contrib.gp.kernels import RBF
from pyro.infer import (
    SVI,
    EnergyDistance,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    Trace_MMD,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    TraceTailAdaptive_ELBO,
    TraceTMC_ELBO,
)
from pyro.infer.autoguide import AutoDiscreteParallel, AutoGuideList, AutoNormal
from torch import nn

from ppl_mm import System, fit, guides, log_likelihood
from ppl_mm.evaluation import elbo
from ppl_mm.objectives import (
    IWAE,
    ConditionalMMD,
    DReG,
    ELBOTerms,
    MixtureELBO,
    MutualSupervisionELBO,
    Reweighted,
    Stages,
    Term,
    WithMMD,
    subset_terms,
)

pytestmark = [  # of Pyro: our plates draw no rows, and its messengers trace the data
    pytest.mark.filterwarnings("ignore:Found plate statements in guide"),
    pytest.mark.filterwarnings("ignore:Found non-auxiliary vars in guide"),
]

FULL = [Term(NAMES, NAMES)]
quiet = {"max_plate_nesting": 2, "strict_enumeration_warning": False}
vector = {"num_particles": 3, "max_plate_nesting": 2, "vectorize_particles": True}

BOUNDS = {  # log p(x), of all rows, with the exact posterior
    "ELBOTerms": lambda: ELBOTerms(FULL),
    "ELBOTerms, 3 particles": lambda: ELBOTerms(FULL, num_particles=3),
    "IWAE": lambda: IWAE(3),
    "IWAE, tighter": lambda: IWAE(3, form="tighter"),
    "DReG": lambda: DReG(2),
    "MixtureELBO": MixtureELBO,
    "MixtureELBO of components": lambda: MixtureELBO("components"),
    "Stages": lambda: Stages([MixtureELBO(), ELBOTerms(FULL)], epochs=[1]),
    "Reweighted": lambda: Reweighted(Trace_ELBO()),
    "Trace_ELBO": Trace_ELBO,
    "Trace_ELBO, 3 particles": lambda: Trace_ELBO(**vector),
    "TraceMeanField_ELBO": TraceMeanField_ELBO,
    "TraceGraph_ELBO": TraceGraph_ELBO,
    "TraceEnum_ELBO": lambda: TraceEnum_ELBO(**quiet),
    "TraceTMC_ELBO": lambda: TraceTMC_ELBO(**quiet),
    "RenyiELBO": lambda: RenyiELBO(alpha=0.5, num_particles=3, max_plate_nesting=2),
    "ReweightedWakeSleep": lambda: ReweightedWakeSleep(num_particles=2, max_plate_nesting=2),
}
OTHERS = {  # other numbers
    "ELBOTerms of subsets": lambda: ELBOTerms(subset_terms(1)),
    "ELBOTerms with references": lambda: ELBOTerms([*FULL, Term(NAMES, (), ("a",))]),
    "WithMMD": lambda: WithMMD(ELBOTerms(FULL), mmd_weight=1.0),
    "MixtureELBO, Jensen-Shannon": lambda: MixtureELBO("jensen_shannon"),
    "MutualSupervisionELBO": lambda: MutualSupervisionELBO(2),
    "ConditionalMMD": lambda: ConditionalMMD(0.5),
    "TraceTailAdaptive_ELBO": lambda: TraceTailAdaptive_ELBO(**vector),
    "Trace_MMD": lambda: Trace_MMD(kernel=RBF(1), num_particles=4, max_plate_nesting=2),
    "EnergyDistance": EnergyDistance,
}
JIT = (JitTrace_ELBO, JitTraceMeanField_ELBO, JitTraceGraph_ELBO, JitTraceEnum_ELBO)
OURS = ("exact", "ProductOfExperts", "MixtureOfExperts")
ONE_SITE = (  # one density for the latents of all rows together
    "AutoDiagonalNormal",
    "AutoMultivariateNormal",
    "AutoLowRankMultivariateNormal",
    "AutoLaplaceApproximation",
    "AutoIAFNormal",
    "AutoStructured",
    "AutoGaussian",
)
MESSENGERS = tuple(name for name in AUTOGUIDES if name.endswith("Messenger"))
POINTS = ("AutoDelta", "AutoLaplaceApproximation")  # no density: -log p(x, z) at a point
AT_POSTERIOR = (
    "exact",
    "AutoNormal",
    "AutoNormalMessenger",
    "AutoGuideList",
    "AutoDiagonalNormal",
    "AutoMultivariateNormal",
    "AutoLowRankMultivariateNormal",
)


class UsersModel(nn.Module):
    """The same story without a base class of ours."""

    def __init__(self, toy):
        super().__init__()
        self.noise = toy.noise
        self.weight = nn.ParameterDict({n: w.clone() for n, w in toy.weight.items()})
        self.bias = nn.ParameterDict({n: b.clone() for n, b in toy.bias.items()})

    def forward(self, obs):
        with obs.plates():
            z = pyro.sample("z", pyro.distributions.Normal(torch.zeros(1), 1.0).to_event(1))
            for name in self.weight:
                x, scored = obs.filled(name)
                loc = z @ self.weight[name].T + self.bias[name]
                fn = pyro.distributions.Normal(loc, self.noise[name]).to_event(1)
                pyro.sample(name, fn.mask(scored), obs=x)


MODELS = {"ours": lambda toy: toy.model(), "a user's": UsersModel}


def build_guide(name, toy, model, obs):
    if name == "exact":
        return toy.exact_guide()
    if name in OURS:
        return getattr(guides, name)(toy.modalities, 1)
    return exact_autoguide(name, toy, model, obs)


def refusal(guide, objective):
    """What a cell says where it cannot be; None where it can."""
    if objective == "MutualSupervisionELBO":
        return "a model of two modalities at least whose prior is a PseudoInputPrior"
    if objective == "ConditionalMMD":
        return "a model that conditions on some modalities"
    if objective == "MixtureELBO, Jensen-Shannon" and guide != "MixtureOfExperts":
        return "needs a mixture of Normal experts"
    if guide in OURS:
        return None
    if objective == "ELBOTerms with references":
        return "a guide with a method posterior(obs)"
    if guide in ONE_SITE and objective in ("IWAE", "IWAE, tighter", "DReG"):
        return "all rows share latent site"
    if objective == "DReG":
        return "it needs reparameterised draws, no transforms"
    if guide in MESSENGERS:  # what Pyro says
        return {
            "TraceEnum_ELBO": "does not support GuideMessenger",
            "ReweightedWakeSleep": "does not support detach",
            "EnergyDistance": "requires fully reparametrized guides",
        }.get(objective)
    return None


CELLS = [("ours", guide) for guide in (*OURS, *AUTOGUIDES)]
CELLS += [("a user's", guide) for guide in (*OURS, "AutoNormal", "AutoDiagonalNormal")]


@pytest.mark.parametrize(("model", "guide"), CELLS)
def test_every_objective_of_a_model_and_a_guide(model, guide):
    toy = LinearGaussian(latent_dim=1)
    obs = toy.sample(3)
    program = MODELS[model](toy)
    own = build_guide(guide, toy, program, obs)
    optimizer = pyro.optim.SGD({"lr": 0.0})
    for name, make in {**BOUNDS, **OTHERS}.items():
        svi = SVI(program, own, optimizer, loss=make())
        said = refusal(guide, name)
        if said is None:
            value = svi.step(obs)
            assert_right(toy, obs, guide, name, value[0] if isinstance(value, tuple) else value)
        else:
            with pytest.raises((ValueError, TypeError, NotImplementedError), match=re.escape(said)):
                svi.step(obs)


def assert_right(toy, obs, guide, objective, value):
    if objective == "TraceTailAdaptive_ELBO":
        assert value == math.inf  # a gradient and no value
        return
    assert math.isfinite(value), objective
    if objective not in BOUNDS or (objective == "RenyiELBO" and guide in ONE_SITE):
        return  # Pyro's RenyiELBO takes the density of all rows from every row
    if guide in AT_POSTERIOR:
        exact = -toy.log_p(obs, NAMES).sum().item()
        assert value == pytest.approx(exact, abs=1e-9), objective
    if guide in POINTS:
        assert value == pytest.approx(-log_joint_at_mean(toy, obs), abs=1e-9), objective


def log_joint_at_mean(toy, obs):
    """log p(x, z) at the posterior's mean: log p(x) + log p(z | x), by Bayes."""
    posterior = toy.exact_guide().posterior(obs)
    return (toy.log_p(obs, NAMES) + posterior.log_prob(posterior.mean)).sum().item()


def test_gradients_of_an_autoguide_are_those_of_the_closed_form():
    # log q - log p at z = m + s eps has d/dm = (z - mean) / variance, q's own density being the
    # same at every m.
    toy = LinearGaussian(latent_dim=1)
    obs, model = toy.sample(4), toy.model()
    guide = exact_autoguide("AutoNormal", toy, model, obs)
    posterior = toy.exact_guide().posterior(obs)
    guide.locs.z = posterior.mean + 0.5
    torch.manual_seed(5)
    ELBOTerms(FULL)(model, guide)(obs).backward()
    torch.manual_seed(5)
    z = guide(obs)["z"].detach()
    expected = (z - posterior.mean) / posterior.covariance_matrix[..., 0]
    torch.testing.assert_close(guide.locs.z_unconstrained.grad, expected)


# ---------------------------------------------------------------- rows that miss something


@pytest.mark.parametrize("guide", AUTOGUIDES)
def test_autoguides_on_rows_that_miss_anything(guide):
    toy = LinearGaussian(latent_dim=1)
    obs, model = toy.mixed(), toy.model()
    own = exact_autoguide(guide, toy, model, obs)
    expected = -toy.log_p(obs, NAMES).sum().item()
    losses = [MixtureELBO().loss(model, own, obs), Trace_ELBO().loss(model, own, obs)]
    if guide in ONE_SITE:  # a row without anything takes no part in the term
        with pytest.raises(ValueError, match="not every row takes part in every term"):
            ELBOTerms(FULL).loss(model, own, obs)
    elif guide not in POINTS:
        losses.append(ELBOTerms(FULL).loss(model, own, obs))
    for loss in losses:
        assert math.isfinite(loss)
        if guide in AT_POSTERIOR:
            assert loss == pytest.approx(expected, abs=1e-9)


def test_a_modality_that_the_data_lack_altogether():
    toy = LinearGaussian(latent_dim=1)
    obs, model = toy.sample(4).drop("b"), toy.model()
    with pytest.raises(ValueError, match="draws site 'b', which the model lacks"):
        ELBOTerms(FULL).loss(model, AutoNormal(model), obs)
    guide = exact_autoguide("AutoNormal", toy, pyro.poutine.block(model, hide=["b"]), obs)
    loss = ELBOTerms(FULL).loss(model, guide, obs)
    assert loss == pytest.approx(-toy.log_p(obs, ("a", "c")).sum().item(), abs=1e-9)


# ---------------------------------------------------------------- an autoguide knows its rows


@pytest.mark.parametrize("guide", AUTOGUIDES)
@pytest.mark.parametrize("size", [2, 5])
def test_other_rows_are_refused(guide, size):
    toy = LinearGaussian(latent_dim=1)
    model, obs = toy.model(), toy.sample(4)
    own = exact_autoguide(guide, toy, model, obs)
    for objective in (ELBOTerms(FULL), MixtureELBO()):
        with pytest.raises(ValueError, match="rows that it was set up with"):
            objective.loss(model, own, toy.sample(size))


@pytest.mark.parametrize("guide", ["AutoNormal", "AutoNormalMessenger", "AutoDiagonalNormal"])
def test_terms_and_strata_do_not_multiply_what_an_autoguide_holds(guide):
    toy = LinearGaussian(latent_dim=1)
    model, obs = toy.model(), toy.sample(4)
    own = AUTOGUIDES[guide][0](model)
    before = torch.get_rng_state()
    objective = ELBOTerms(subset_terms(1), num_particles=2)
    objective.loss(model, own, obs)
    sizes = {parameter.numel() for parameter in own.parameters()}
    assert sizes == {4}
    torch.set_rng_state(before)
    assert math.isfinite(elbo(System(model, own, objective), obs).sum())


@pytest.mark.parametrize("guide", AUTOGUIDES)
def test_fit_refuses_what_holds_one_latent_a_row(guide):
    toy = LinearGaussian(latent_dim=1)
    system = System(toy.model(), AUTOGUIDES[guide][0](toy.model()), ELBOTerms(FULL))
    with pytest.raises(ValueError, match=r"fit: \w+ holds one 'z' for each row of one batch"):
        fit(system, toy.sample(6), epochs=1, progress=False, device="cpu", precision="64-true")
    assert not list(system.guide.parameters())  # nor is it set up on some rows by the way


@pytest.mark.parametrize("guide", ["AutoNormal", "AutoNormalMessenger", "AutoGuideList"])
def test_measures_of_an_autoguide_on_its_rows(guide):
    toy = LinearGaussian(latent_dim=1)
    model, obs = toy.model(), toy.sample(4)
    system = System(model, exact_autoguide(guide, toy, model, obs), ELBOTerms(FULL))
    expected = toy.log_p(obs, NAMES)
    torch.testing.assert_close(elbo(system, obs), expected)
    torch.testing.assert_close(log_likelihood(system, obs, num_samples=10).value, expected)


# ---------------------------------------------------------------- more than one latent


class Scaled(nn.Module):
    """A shared positive factor of the noise, with z a row: bounded support and a global latent."""

    def __init__(self, toy):
        super().__init__()
        self.toy = toy
        self.bias = nn.ParameterDict({n: b.clone() for n, b in toy.bias.items()})

    def forward(self, obs):
        factor = pyro.sample("factor", pyro.distributions.LogNormal(0.0, 0.5))
        with obs.plates():
            z = pyro.sample("z", pyro.distributions.Normal(torch.zeros(1), 1.0).to_event(1))
            for name, bias in self.bias.items():
                x, scored = obs.filled(name)
                scale = (self.toy.noise[name] * factor)[..., None]
                fn = pyro.distributions.Normal(z @ self.toy.weight[name].T + bias, scale)
                pyro.sample(name, fn.to_event(1).mask(scored), obs=x)


def of_factor(toy, model, kind=AutoNormal):
    """An autoguide of what all rows share, and our guide of the rows' own latent."""
    guide = AutoGuideList(model)
    guide.append(kind(pyro.poutine.block(model, expose=["factor"])))
    guide.append(guides.ProductOfExperts(toy.modalities, 1))
    return guide


@pytest.mark.parametrize("kind", ["AutoNormal", "AutoDiagonalNormal", "AutoDelta"])
def test_an_autoguide_of_what_rows_share_beside_ours_of_the_rows(kind):
    toy = LinearGaussian(latent_dim=1, spread=1.5)
    obs, model = toy.sample(40), Scaled(toy)
    guide = of_factor(toy, model, getattr(pyro.infer.autoguide, kind))
    losses = []
    for objective in (Trace_ELBO(), MixtureELBO()):  # both by draws alone
        torch.manual_seed(1)
        guide(obs)
        torch.manual_seed(2)
        losses.append(objective.loss(model, guide, obs))
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    system = System(model, guide, ELBOTerms(FULL))
    result = fit(
        system,
        obs,
        epochs=3,
        batch_size=16,
        optimizer=lambda p: torch.optim.Adam(p, lr=0.02),
        progress=False,
        device="cpu",
        precision="64-true",
    )
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert ("surrogate" if kind == "AutoDelta" else "bound") in result.history[0]


@pytest.mark.parametrize("kind", ["AutoNormal", "AutoDiagonalNormal", "AutoNormalMessenger"])
def test_the_density_of_a_transformed_latent_counts(kind):
    toy = LinearGaussian(latent_dim=1)
    obs, model = toy.sample(3), Scaled(toy)
    guide = getattr(pyro.infer.autoguide, kind)(model)
    guide(obs)
    losses = []
    for objective in (Trace_ELBO(), ELBOTerms(FULL), MixtureELBO("components")):
        torch.manual_seed(2)
        losses.append(objective.loss(model, guide, obs))
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-10)


class Broken(guides.ProductOfExperts):
    def forward(self, obs):
        raise ValueError("of its own")


def test_what_a_guide_within_an_autoguide_says_is_left_as_it_is():
    toy = LinearGaussian(latent_dim=1)
    model = Scaled(toy)
    guide = AutoGuideList(model)
    guide.append(AutoNormal(pyro.poutine.block(model, expose=["factor"])))
    guide.append(Broken(toy.modalities, 1))
    with pytest.raises(ValueError, match=r"^of its own$"):
        ELBOTerms(FULL).loss(model, guide, toy.sample(3))


def test_mean_field_elbo_that_drops_a_density_is_refused():
    toy = LinearGaussian(latent_dim=1)
    model = Scaled(toy)
    system = System(model, of_factor(toy, model), TraceMeanField_ELBO())
    with pytest.raises(ValueError, match="drops the density of the guide's transformed site"):
        fit(system, toy.sample(8), epochs=1, progress=False, device="cpu", precision="64-true")


class Hierarchy(nn.Module):
    """mu ~ N(0, 1), z ~ N(mu, 1) a row, x_a ~ N(z, 1)."""

    def forward(self, obs):
        normal = pyro.distributions.Normal
        with obs.plates():
            mu = pyro.sample("mu", normal(torch.zeros(1), 1.0).to_event(1))
            z = pyro.sample("z", normal(mu, 1.0).to_event(1))
            x, scored = obs.filled("c")
            pyro.sample("c", normal(z, 1.0).to_event(1).mask(scored), obs=x)


class FromTheData(nn.Module):
    """The exact posterior drawn upwards: z given x, then mu given z."""

    def forward(self, obs):
        normal = pyro.distributions.Normal
        with obs.plates():
            z = pyro.sample("z", normal(2 / 3 * obs["c"], (2 / 3) ** 0.5).to_event(1))
            pyro.sample("mu", normal(z / 2, 0.5**0.5).to_event(1))


@pytest.mark.parametrize("make", [lambda: ELBOTerms([Term(("c",), ("c",))]), MixtureELBO])
def test_no_closed_kl_is_taken_given_what_the_guide_draws_later(make):
    # KL( q(z) || p(z | mu) ) at a mu that the guide drew given z is not what the ELBO has. Draws
    # are of Normals and the value their quadratic: 4 standard errors.
    one = LinearGaussian(latent_dim=1).sample(1).drop("a", "b")
    obs = one[torch.zeros(4000, dtype=torch.int64)]
    value = make().bound(Hierarchy(), FromTheData(), obs)
    exact = pyro.distributions.Normal(0.0, 3**0.5).log_prob(one["c"]).item()
    error = value.std() / math.sqrt(len(value))
    assert abs(value.mean() - exact) < 4 * error + 1e-9


# ---------------------------------------------------------------- fit and System


NOT_BY_FIT = {
    **{kind.__name__: (lambda kind=kind: kind(), "compiles functions of tensors") for kind in JIT},
    "TraceGraph_ELBO": (TraceGraph_ELBO, "TraceGraph_ELBO has no differentiable_loss"),
    "RenyiELBO": (BOUNDS["RenyiELBO"], "RenyiELBO has no differentiable_loss"),
    "ReweightedWakeSleep": (BOUNDS["ReweightedWakeSleep"], "has no differentiable_loss"),
    "TraceTailAdaptive_ELBO": (OTHERS["TraceTailAdaptive_ELBO"], "a gradient and no value"),
    "Reweighted(JitTrace_ELBO)": (
        lambda: Reweighted(JitTrace_ELBO()),
        "JitTrace_ELBO compiles functions of tensors",
    ),
}


@pytest.mark.parametrize("objective", NOT_BY_FIT)
def test_fit_refuses_by_name_what_it_cannot_train_with(objective):
    toy = LinearGaussian(latent_dim=1)
    make, said = NOT_BY_FIT[objective]
    system = toy.system(guides.ProductOfExperts(toy.modalities, 1), make())
    for train in (lambda: fit(system, toy.sample(4), epochs=1), lambda: system(toy.sample(4))):
        with pytest.raises(TypeError, match=said):
            train()


def test_energy_distance_is_no_elbo():
    toy = LinearGaussian(latent_dim=1)
    with pytest.raises(TypeError, match=r"expected a pyro\.infer\.ELBO, got an EnergyDistance"):
        toy.system(guides.ProductOfExperts(toy.modalities, 1), EnergyDistance())


@pytest.mark.parametrize("kind", JIT)
def test_jit_of_pyro_is_refused_by_name_in_stock_svi(kind):
    toy = LinearGaussian(latent_dim=1)
    guide = guides.ProductOfExperts(toy.modalities, 1)
    svi = SVI(toy.model(), guide, pyro.optim.Adam({"lr": 0.01}), loss=kind(**quiet))
    with pytest.raises(TypeError, match=r"Pyro's JIT \(JitTrace_ELBO and the like"):
        svi.step(toy.sample(4))


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        (Trace_ELBO(), "bound"),
        (TraceMeanField_ELBO(), "bound"),
        (TraceEnum_ELBO(**quiet), "bound"),
        (TraceTMC_ELBO(**quiet), "bound"),
        (Trace_MMD(kernel=RBF(1), num_particles=2, max_plate_nesting=2), "surrogate"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_fit_says_which_of_pyros_objectives_bound(objective, kind):
    toy = LinearGaussian(latent_dim=1)
    system = toy.system(guides.ProductOfExperts(toy.modalities, 1), objective)
    result = fit(system, toy.sample(8), epochs=1, progress=False, device="cpu", precision="64-true")
    assert kind in result.history[0]


class WithMu(nn.Module):
    """A model with a latent that our guides lack."""

    def forward(self, obs):
        normal = pyro.distributions.Normal
        with obs.plates():
            mu = pyro.sample("mu", normal(torch.zeros(1), 1.0).to_event(1))
            z = pyro.sample("z", normal(mu, 1.0).to_event(1))
            x, scored = obs.filled("a")
            pyro.sample(
                "a", normal(z.expand(*z.shape[:-1], 3), 1.0).to_event(1).mask(scored), obs=x
            )


class Elsewhere(guides.ProductOfExperts):
    """A guide of a latent by another name."""

    def forward(self, obs):
        with obs.plates():
            pyro.sample("latent", self.posterior(obs))


STOCK = [Trace_ELBO(), TraceMeanField_ELBO(), TraceEnum_ELBO(**quiet), Reweighted(Trace_ELBO())]


@pytest.mark.parametrize("objective", STOCK, ids=lambda value: type(value).__name__)
def test_pyros_objectives_on_sites_that_do_not_match(objective):
    toy = LinearGaussian(latent_dim=1)
    obs = toy.sample(4)
    for model, guide, said in (
        (WithMu(), guides.ProductOfExperts(toy.modalities, 1), "is no bound here: .* site 'mu'"),
        (toy.model(), Elsewhere(toy.modalities, 1), "draws site 'latent', which the model lacks"),
    ):
        system = System(model, guide, objective)
        with pytest.raises(ValueError, match=said):
            fit(system, obs, epochs=1, progress=False, device="cpu", precision="64-true")
        with pytest.raises(ValueError, match=said):
            system(obs)


class OfClasses(nn.Module):
    """A discrete latent a row."""

    def __init__(self):
        super().__init__()
        self.loc = nn.Parameter(torch.tensor([-1.0, 1.0]))

    def forward(self, obs):
        with obs.plates():
            k = pyro.sample("k", pyro.distributions.Categorical(torch.ones(2)))
            x, scored = obs.filled("c")
            fn = pyro.distributions.Normal(self.loc[k][..., None], 1.0).to_event(1)
            pyro.sample("c", fn.mask(scored), obs=x)


class Guess(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(2))

    def forward(self, obs):
        with obs.plates():
            pyro.sample("k", pyro.distributions.Categorical(logits=self.logits))


def test_draws_without_a_gradient_are_refused_by_our_objectives_in_training_alone():
    obs = LinearGaussian(latent_dim=1).sample(4).drop("a", "b")
    system = System(OfClasses(), Guess(), ELBOTerms([Term(("c",), ("c",))]))
    for train in (lambda: fit(system, obs, epochs=1, progress=False), lambda: system(obs)):
        with pytest.raises(ValueError, match="site 'k', a Categorical, has no reparameterised"):
            train()
    assert math.isfinite(elbo(system, obs).sum())


def test_a_discrete_autoguide_is_for_pyros_enumeration():
    obs, model = LinearGaussian(latent_dim=1).sample(4).drop("a", "b"), OfClasses()
    guide = AutoDiscreteParallel(model)
    loss = TraceEnum_ELBO(max_plate_nesting=1)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), loss=loss)
    values = [svi.step(obs) for _ in range(10)]
    assert all(math.isfinite(value) for value in values)
    system = System(model, guide, ELBOTerms([Term(("c",), ("c",))]))
    with pytest.raises(ValueError, match="site 'k', a Categorical, has no reparameterised"):
        system(obs)
