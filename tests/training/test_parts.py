"""The parts of a loss: they add up to it, and are what they are called."""

from functools import partial

import pytest
import torch
from every_system import build, complete, kinds_of
from linear_gaussian import LinearGaussian
from toy_runs import QUIET, rows, toy

from ppl_mm import fit, objectives, systems
from ppl_mm.objectives import Reweighted, Stages, WithMMD, subset_terms
from ppl_mm.systems.evaluating import evaluating
from ppl_mm.training import Callback, LossParts, elbo_by_site, loss_parts

NO_ELBO = ("cmmd", "meme", "mmvae", "mmvae_plus")  # an MMD, or importance weights


def added(parts, kind):
    return sum(value for name, value in parts.items() if name.startswith(f"{kind}/"))


def loss_of(system, obs):
    with evaluating(system, 0):
        return system.objective.loss(system.model, system.guide, obs) / len(obs)


@pytest.mark.parametrize("name", sorted(systems.available()))
def test_shares_and_terms_add_up_to_the_loss(name):
    system, obs = build(name), complete(16, *kinds_of(name))
    parts = loss_parts(system, obs)
    loss = loss_of(system, obs)
    assert added(parts, "share") == pytest.approx(loss, rel=1e-9)
    assert ("share/rest" in parts) == (name in NO_ELBO)
    if added(parts, "term"):
        assert added(parts, "term") == pytest.approx(loss, rel=1e-9)


def test_the_share_of_a_site_is_its_weighted_log_probability_and_kl():
    system = toy(objectives.ELBOTerms(subset_terms(), weights={"b": 3.0, "c": 0.0}, beta=0.5))
    system.objective.terms = system.objective.terms(("a", "b", "c"))[:1]  # all : all
    parts, sites = loss_parts(system, rows()), elbo_by_site(system, rows())
    for name, weight in {"a": 1.0, "b": 3.0}.items():
        assert parts[f"share/{name}"] == pytest.approx(-weight * sites[f"log p/{name}"])
    assert parts["share/z"] == pytest.approx(0.5 * sites["KL/z"])
    assert parts.get("share/c", 0.0) == 0.0


def test_shares_under_importance_weights_are_their_weighted_means():
    system = toy(objectives.IWAE(5))
    parts = loss_parts(system, rows())
    with evaluating(system, 0):
        p, q = objectives.trace_pair(system.model, system.guide, rows(), num_particles=5)
        p.compute_log_prob()
        q.compute_log_prob()
        each = {n: p.nodes[n]["log_prob"] for n in ("a", "b", "c")}
        each["z"] = p.nodes["z"]["log_prob"] - q.nodes["z"]["log_prob"]
        weights = sum(each.values()).softmax(0)
    for name, value in each.items():
        assert parts[f"share/{name}"] == pytest.approx(-float((weights * value).sum() / 24))


def test_dreg_has_the_shares_of_iwae():
    assert loss_parts(toy(objectives.DReG(5)), rows()) == loss_parts(
        toy(objectives.IWAE(5)), rows()
    )


def test_an_mmd_and_a_stage_have_their_parts():
    elbo = objectives.ELBOTerms(subset_terms())
    parts = loss_parts(toy(WithMMD(elbo, mmd_weight=100.0)), rows())
    assert parts["term/MMD"] == pytest.approx(parts["share/rest"])
    staged = Stages([objectives.IWAE(5), elbo], epochs=[1])
    first = loss_parts(toy(staged), rows())
    staged.epoch = 1
    assert "term/a from a" not in first
    assert loss_parts(toy(staged), rows()) == loss_parts(toy(elbo), rows())


def test_pyros_own_elbo_has_shares_and_an_enumerating_one_none():
    from pyro.infer import Trace_ELBO, TraceEnum_ELBO

    system = toy(Reweighted(Trace_ELBO(max_plate_nesting=1), weights={"a": 2.0}))
    parts = loss_parts(system, rows())
    assert added(parts, "share") == pytest.approx(loss_of(system, rows()), rel=1e-9)
    assert {"share/a", "share/b", "share/c", "share/z"} == parts.keys()
    system = LinearGaussian().system(system.guide, TraceEnum_ELBO(max_plate_nesting=1))
    assert loss_parts(system, rows()) == {}


def test_the_history_has_them_with_the_epochs_own_beta_and_the_run_is_the_same():
    class Look(Callback):
        def after_step(self, training):
            norms.append(training.gradient_norm())

    norms, watched, plain = [], toy(), toy()
    options = {"epochs": 2, "batch_size": 24, "annealing_epochs": 4, **QUIET}
    options["optimizer"] = partial(torch.optim.SGD, lr=1e-9)
    history = fit(watched, rows(), callbacks=[LossParts(), Look()], **options).history
    fit(plain, rows(), **options)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name])
    for step, row in enumerate(history):
        beta = objectives.linear_annealing(step, epochs=4, steps_per_epoch=1)
        whole = loss_parts(plain, rows())
        assert row["share/z"] == pytest.approx(beta * whole["share/z"], rel=1e-4)
        assert row["share/a"] == pytest.approx(whole["share/a"], rel=1e-4)
        assert row["gradient_norm"] == norms[step]
