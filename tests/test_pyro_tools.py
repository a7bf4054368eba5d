"""Pyro's own tools on our models: pictures of a model, its dependencies, structured autoguides."""

import copy
import math
import pickle

import pyro
import pytest
import torch
from every_system import KINDS, build, complete, mixed, modalities
from pyro.infer import Predictive, Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.autoguide import AutoStructured
from pyro.infer.inspect import get_dependencies, get_model_relations

from ppl_mm import Observations, likelihoods, models
from ppl_mm.distributions import Decoded

EVERY = tuple(KINDS)
GIVEN = "normal"
MODELS = {
    "SharedLatent": lambda: models.SharedLatent(modalities(*EVERY), 2),
    "SharedPrivate": lambda: models.SharedPrivate(modalities(*EVERY), 2, 2),
    "ConditionalPrior": lambda: models.ConditionalPrior(modalities(*EVERY), 2, (GIVEN,)),
    "ConditionalDecoder": lambda: models.ConditionalDecoder(modalities(*EVERY), 2, (GIVEN,)),
}


def rows(what: str) -> Observations:
    obs = complete(5, *EVERY)
    if what == "blank":
        return Observations.blank(5)
    if what == "given alone":
        return obs.drop(*(n for n in EVERY if n != GIVEN))
    if what == "missing":
        present = {n: torch.arange(5) % 3 != i % 3 for i, n in enumerate(EVERY)}
        return Observations(obs.values, present)
    return obs


@pytest.mark.parametrize("what", ["complete", "missing", "blank", "given alone"])
@pytest.mark.parametrize("name", MODELS)
def test_a_picture_says_each_sites_likelihood_and_dependencies(name, what):
    if what == "blank" and name.startswith("Conditional"):
        return
    model, obs = MODELS[name](), rows(what)
    relations = get_model_relations(model, (obs,))
    targets = [n for n in EVERY if n not in model.conditions_on]
    for n in targets:
        assert relations["sample_dist"][n] == type(KINDS[n].likelihood).__name__
    latents = [n for n in relations["sample_dist"] if n not in targets]
    assert all(relations["sample_dist"][n] == "Normal" for n in latents)
    assert relations["observed"] == [n for n in targets if n in obs.names]
    assert relations["plate_sample"] == {"data": list(relations["sample_dist"])}
    prior = get_dependencies(model, (obs,))["prior_dependencies"]
    for n in targets:
        own = {"u", f"w_{n}"} if name == "SharedPrivate" else {"z"}
        assert set(relations["sample_sample"][n]) == own
        assert set(prior[n]) == {n, *own}


@pytest.mark.filterwarnings("ignore:Found plate statements in guide but not model")
@pytest.mark.parametrize("name", MODELS)
def test_a_structured_autoguide_takes_rows_that_miss_something(name):
    model, obs = MODELS[name](), rows("missing")
    guide = AutoStructured(model)
    loss = Trace_ELBO().differentiable_loss(model, guide, obs)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in guide.parameters())


@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceMeanField_ELBO])
@pytest.mark.parametrize(("system", "given"), [("cvae", "categorical"), ("cmmd", "normal")])
def test_rows_without_what_a_model_conditions_on_are_refused_by_its_name(system, given, elbo):
    built = build(system)
    lacking = [Observations.blank(3), complete(3).drop(given).drop("bernoulli")]
    some = mixed().drop("bernoulli")
    for obs, row in [
        (lacking[0], 0),
        (lacking[1], 0),
        (some, int((~some.present[given]).nonzero()[0])),
    ]:
        message = f"modality '{given}': row {row} lacks it.*'bernoulli'.*cannot be drawn"
        with pytest.raises(ValueError, match=message):
            elbo().loss(built.model, built.guide, obs)
        with pytest.raises(ValueError, match=message):
            Predictive(built.model, num_samples=1)(obs)
        with pytest.raises(ValueError, match=message):  # runs with validation off
            get_model_relations(built.model, (obs,))
    assert math.isfinite(elbo().loss(built.model, built.guide, mixed()))


def test_a_decoded_distribution_is_copied_and_stored():
    p = Decoded(likelihoods.Normal(1.0), torch.nn.Linear(2, 3), torch.zeros(4, 2), name="x")
    for q in (copy.deepcopy(p), pickle.loads(pickle.dumps(p)), p.expand((2, 4))):
        assert isinstance(q, Decoded)
        assert (type(q).__name__, q.name, q.event_shape) == ("Normal", "x", (3,))
    assert repr(p) == "Normal()"


def test_another_class_of_decoded_stays_what_it_is():
    class Twice(Decoded):
        def log_prob(self, value):
            return 2 * super().log_prob(value)

    z, x = torch.randn(4, 2), torch.randn(4, 2)
    args = (likelihoods.Normal(1.0), torch.nn.Identity(), z)
    torch.testing.assert_close(Twice(*args).log_prob(x), 2 * Decoded(*args).log_prob(x))
    with pyro.plate("data", 4):
        assert pyro.sample("x", Twice(*args)).shape == (4, 2)
