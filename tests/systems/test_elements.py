"""Rows that miss single elements, under every system and every likelihood."""

from typing import Any

import pytest
import torch
from every_system import (
    KINDS,
    SYSTEMS,
    build,
    complete,
    kinds_of,
    likelihood,
    loss_and_gradients,
    modality,
    targets,
)
from torch import Tensor

from ppl_mm import Observations, fit, generate, likelihoods, networks
from ppl_mm.programs.answerable import answerable

WHOLE = ("categorical", "one_hot", "tokens")
"""The kinds whose elements are not independent given z, or that have but one."""


def held_at_random(obs: Observations, share: float = 0.3) -> dict[str, Tensor]:
    """Masks of elements, at least one True a row."""
    masks = {}
    for name in obs.names:
        if name not in WHOLE:
            mask = torch.rand(obs[name].shape) >= share
            mask.view(len(obs), -1)[:, 0] |= ~mask.flatten(1).any(1)
            masks[name] = mask
    return masks


def with_junk(obs: Observations, masks: dict[str, Tensor], junk: float) -> Observations:
    """The rows, whose missing elements hold ``junk`` in storage."""
    values = {n: x.masked_fill(~masks[n], junk) if n in masks else x for n, x in obs.values.items()}
    return Observations(values, obs.present, masks)


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_is_missing_changes_no_bit(name: str) -> None:
    system = build(name)
    rows = complete(7, *kinds_of(name))
    masks = held_at_random(rows)
    found = []
    for junk in (float("nan"), 1e30):
        torch.manual_seed(1)
        found.append(loss_and_gradients(system, with_junk(rows, masks, junk)))
    assert torch.isfinite(found[0][0])
    assert torch.equal(found[0][0], found[1][0])
    for parameter, gradient in found[0][1].items():
        assert gradient.isfinite().all()
        assert torch.equal(gradient, found[1][1][parameter])


@pytest.mark.parametrize("name", SYSTEMS)
def test_masks_that_are_true_throughout_are_no_masks(name: str) -> None:
    system = build(name)
    rows = complete(5, *kinds_of(name))
    part = with_junk(rows, held_at_random(rows), 0.0)
    masked = Observations.collate([rows, part])[: len(rows)]  # masks that a batch's others need
    assert all(mask.all() for mask in masked.elements.values())
    assert masked.elements
    found = []
    for obs in (rows, masked):
        torch.manual_seed(1)
        found.append(loss_and_gradients(system, obs))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_trains_scores_and_generates(name: str) -> None:
    system = build(name)
    rows = complete(12, *kinds_of(name))
    obs = with_junk(rows, held_at_random(rows), float("nan"))
    before = [p.clone() for p in system.parameters()]
    fit(system, obs, epochs=2, batch_size=6, seed=0)
    assert all(p.isfinite().all() for p in system.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, system.parameters(), strict=True))
    found = likelihood(system, obs, num_samples=20, refine="none")
    assert found.value.isfinite().all()
    asked = answerable(system.model, obs)
    drawn = generate(system, asked, targets(system), num_samples=2)
    assert all(x.isfinite().all() for x in drawn.values())


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(WHOLE)))
def test_the_log_mass_of_the_observed_elements(kind: str) -> None:
    system = build("vae", [modality(kind)])
    rows = complete(6, kind)
    masks = held_at_random(rows, 0.5)
    obs = with_junk(rows, masks, float("nan") if rows[kind].is_floating_point() else 0)
    z = torch.randn(6, 2)
    decoder = system.model.decoders[kind]
    p = KINDS[kind].likelihood(decoder(z), 1, rows[kind].shape[1:]).base_dist
    each = p.log_prob(rows[kind])
    expected = torch.where(masks[kind], each, 0.0).flatten(1).sum(1)
    import pyro

    trace = pyro.poutine.trace(pyro.condition(system.model, {"z": z})).get_trace(obs)
    trace.compute_log_prob()
    torch.testing.assert_close(trace.nodes[kind]["log_prob"], expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["one_hot", "tokens"])
def test_likelihoods_that_do_not_factorise_refuse_by_name(kind: str) -> None:
    system = build("mvae", [modality(kind), modality("normal")])
    rows = complete(4, kind, "normal")
    masks = {kind: torch.ones_like(rows[kind], dtype=torch.bool)}
    masks[kind][1, 0] = False
    obs = Observations(rows.values, elements=masks)
    message = rf"modality '{kind}': elements are missing .* does not factorise over elements"
    for ask in (lambda: fit(system, obs, epochs=1), lambda: likelihood(system, obs)):
        with pytest.raises(ValueError, match=message):
            ask()
    with pytest.raises(ValueError, match=message):
        system(obs)
    whole = Observations(rows.values, {kind: masks[kind].flatten(1).all(1)})  # the remedy
    assert torch.isfinite(system(whole))


def test_a_likelihood_of_ones_own_with_dependent_elements_refuses() -> None:
    import pyro.distributions as dist

    class Full(likelihoods.Likelihood):
        elementwise = True

        def __call__(self, parameters: Any, batch_dims: int = 1, event_shape: Any = None) -> Any:
            return dist.MultivariateNormal(parameters, torch.eye(3))

    system = build("vae", [modality("normal", likelihood=Full())])
    rows = complete(4, "normal")
    obs = with_junk(rows, held_at_random(rows), float("nan"))
    with pytest.raises(ValueError, match=r"'normal': .* likelihood Full does not factorise"):
        fit(system, obs, epochs=1)


class Gamma(likelihoods.Likelihood):
    """Positive numbers, of which 0 is none."""

    elementwise = True

    def __call__(self, parameters: Any, batch_dims: int = 1, event_shape: Any = None) -> Any:
        import pyro.distributions as dist

        rate = parameters.exp()
        return dist.Gamma(2.0 * torch.ones_like(rate), rate).to_event(rate.dim() - batch_dims)


def test_zero_need_not_lie_in_the_support() -> None:
    system = build("mvae", [modality("normal", likelihood=Gamma()), modality("categorical")])
    rows = complete(8, "normal", "categorical")
    rows = rows.replace("normal", rows["normal"].exp())
    obs = with_junk(rows, held_at_random(rows), -1.0)
    fit(system, obs, epochs=1)
    loss, gradients = loss_and_gradients(system, obs)
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in gradients.values())


def test_an_encoder_may_ask_which_elements_are_observed() -> None:
    encoder = networks.MLPEncoder(2, event_shape=(3,), hidden=(4,), elements=True)
    x = torch.randn(5, 3)
    held = torch.rand(5, 3) < 0.5
    torch.testing.assert_close(encoder(x), encoder(x, torch.ones_like(held)), rtol=0, atol=0)
    assert not torch.equal(encoder(x)[0], encoder(x, held)[0])
    for name in ("mvae", "jmvae", "mopoe", "cmmd"):
        declared = [
            modality(
                "normal",
                encoder=lambda d: networks.MLPEncoder(d, event_shape=(3,), elements=True),
                features=None
                if name != "cmmd"
                else lambda: networks.MLPFeatures(event_shape=(3,), elements=True),
            ),
            modality("bernoulli"),
        ]
        system = build(name, declared)
        rows = complete(6, "normal", "bernoulli")
        zeros = Observations(
            {**rows.values, "normal": rows["normal"].masked_fill(~held[:1].expand(6, 3), 0.0)}
        )
        obs = Observations(zeros.values, elements={"normal": held[:1].expand(6, 3)})
        told, untold = (system.posterior(x).mean for x in (obs, zeros))
        assert not torch.equal(told, untold), name
        system.check(obs)
