"""A missing value has no influence: whatever its storage holds, to the last bit.

The stored values of missing entries are replaced by NaN, infinity, 1e30 or classes that do not
exist, and everything that a system computes must stay the same. Junk alone would miss a network
that keeps a filled row's output, so masked is also compared with absent, up to the rounding of
sums over fewer numbers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pyro
import pytest
import torch
from every_system import (
    KINDS,
    SYSTEMS,
    THREE,
    SameNoise,
    build,
    complete,
    kinds_of,
    likelihood,
    loss_and_gradients,
    mixed,
    modalities,
    targets,
)
from pyro.infer import Trace_ELBO
from torch import Tensor

from ppl_mm import Observations, System, generate, log_likelihood
from ppl_mm.evaluation import accuracy, elbo, predict
from ppl_mm.objectives import IWAE
from ppl_mm.programs.answerable import answerable, conditioned_on

Outputs = dict[str, Tensor]


def junk_like(values: Tensor) -> Tensor:
    """Rows of NaN, infinity, 1e30 and -1e30, in turn; or of indices that do not exist."""
    kinds = [torch.nan, torch.inf, 1e30, -1e30]
    if not values.is_floating_point():
        kinds = [10**9, -7, 99, -(10**9)]
    rows = torch.tensor(kinds, dtype=values.dtype)[torch.arange(len(values)) % 4]
    return rows.reshape(-1, *[1] * (values.dim() - 1)).expand_as(values).clone()


def with_junk(obs: Observations) -> Observations:
    """The same observations whose storage holds junk behind the masks."""
    dirty = obs[:]
    dirty.values = {
        name: torch.where(obs.present[name].reshape(-1, *[1] * (x.dim() - 1)), x, junk_like(x))
        for name, x in obs.values.items()
    }
    return dirty


def assert_equal_but_for_rounding(one: Tensor, other: Tensor, what: str = "") -> None:
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12, msg=lambda m: f"{what}: {m}")


def under(objective: pyro.infer.ELBO, system: System) -> System:
    return System(system.model, system.guide, objective)


def training_outputs(system: System, obs: Observations) -> Outputs:
    out = {}
    objectives = {"own": system.objective, "iwae": IWAE(num_particles=2), "stock": Trace_ELBO()}
    for name, objective in objectives.items():
        torch.manual_seed(1)
        loss, gradients = loss_and_gradients(under(objective, system), obs)
        out |= {f"{name} loss": loss} | {f"{name} {n}": g for n, g in gradients.items()}
    return out


PROPOSALS, DENOMINATORS = ("joint", "prior", "defensive"), ("posterior", "prior")


def measures(system: System, obs: Observations) -> Outputs:
    out = {"elbo": elbo(system, obs)}
    ways = {"refined": {}} | {p: {"refine": "none", "proposal": p} for p in PROPOSALS}
    for way, options in ways.items():
        result = likelihood(system, obs, num_samples=3, **options)
        out |= {way: result.value, f"{way} error": result.standard_error}
    q = system.posterior(obs)
    out |= {"mean": q.mean, "stddev": q.stddev}
    obs = answerable(system.model, obs)
    drawn = generate(system, obs, targets(system), 2)
    out |= {f"sample {name}": value for name, value in drawn.items()}
    first = targets(system)[0]
    out["prediction"] = predict(system, obs, first, obs.names)
    if len(obs.names) > 1:
        first = next(n for n in obs.names if bool(obs.present[n].any()))
        rest = [n for n in obs.names if n != first]
        ways = {"refined": {}} | {d: {"refine": "none", "denominator": d} for d in DENOMINATORS}
        for way, options in ways.items():
            result = log_likelihood(system, obs, first, rest, num_samples=3, **options)
            out[f"conditional, {way}"] = result.value
    return out


def assert_same(one: Outputs, other: Outputs) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.isfinite(value).all(), name
        assert torch.equal(value, other[name]), name


def together(name: str) -> list[tuple[str, ...]]:
    """Likelihoods to test at a time: all, but where a system has one, or many subsets of them."""
    few = dict.fromkeys(("svae", "svae_star", "vaevae", "vaevae_a", "vaevae_star", "meme"), 3)
    size = ({"vae": 1, "mopoe": 4} | few).get(name, len(KINDS))
    kinds = tuple(KINDS)
    parts = [kinds[i : i + size] for i in range(0, len(kinds), size)]
    if size > 1 and len(parts[-1]) == 1:  # no joint posterior of one
        parts[-2:] = [parts[-2] + parts[-1]]
    return parts


def cases() -> list[Any]:
    """Each system with all likelihoods; of one that takes few at a time, the quick suite has one.

    Which one differs from system to system, so that together they have them all.
    """
    out = []
    for position, name in enumerate(SYSTEMS):
        parts = together(name)
        for i, kinds in enumerate(parts):
            marks = () if i == position % len(parts) else pytest.mark.slow
            shown = "all" if len(parts) == 1 else kinds[0]
            out.append(pytest.param(name, kinds, id=f"{name}-{shown}", marks=marks))
    return out


CASES = cases()


def half_missing(kinds: Sequence[str]) -> Observations:
    """Eight rows in which every modality is missing in some and there in others."""
    obs = complete(8, *kinds)
    rows = torch.arange(8)
    present = {kind: (rows * (i + 1)) % 7 < 4 for i, kind in enumerate(kinds)}
    return Observations(obs.values, present)


@pytest.mark.parametrize(("name", "kinds"), CASES)
def test_junk_behind_the_mask_changes_nothing(name: str, kinds: Sequence[str]) -> None:
    system = build(name, modalities(*kinds))
    clean = half_missing(kinds)
    dirty = with_junk(clean)
    system.check(dirty)
    for outputs in (training_outputs, measures):
        assert_same(outputs(system, clean), outputs(system, dirty))


@pytest.mark.parametrize("kind", KINDS)
def test_junk_given_at_construction_is_replaced(kind: str) -> None:
    values = KINDS[kind].draw(8)
    present = {kind: torch.arange(8) % 2 == 0}
    junk = values.clone()
    junk[1::2] = junk_like(values)[:4]
    kept = junk.clone()
    clean, dirty = Observations({kind: values}, present), Observations({kind: junk}, present)
    assert torch.equal(clean[kind], dirty[kind])
    assert not dirty[kind][1::2].any()
    torch.testing.assert_close(junk, kept, rtol=0, atol=0, equal_nan=True)  # the caller's own


@pytest.mark.parametrize(("name", "kinds"), CASES)
def test_values_of_modalities_taken_out_change_nothing(name: str, kinds: Sequence[str]) -> None:
    system = build(name, modalities(*kinds))
    for out in (kinds[::2], kinds[1::2]):
        one, other = complete(3, *kinds), complete(3, *kinds)
        other.values = {**one.values, **{kind: other[kind] for kind in out}}
        one, other = one.without(*out), other.without(*out)
        assert_same(training_outputs(system, one), training_outputs(system, other))
        if not set(out) & set(conditioned_on(system.model)):
            pair = one, other
    assert_same(*(measures(system, obs) for obs in pair))


def changeable(system: System) -> str:
    """A modality that the model does not condition on."""
    return next(n for n in ("normal", "bernoulli") if n not in conditioned_on(system.model))


@pytest.mark.parametrize("name", [n for n in SYSTEMS if n != "vae"])
def test_what_is_not_evidence_does_not_reach_the_posterior(name: str) -> None:
    system = build(name)
    out = changeable(system)
    one, other = complete(3), complete(3)
    other.values = {**one.values, out: other[out]}
    given = tuple(n for n in THREE if n != out)
    for a, b in zip(
        (one.given(*given), one.only(*given)),
        (other.given(*given), other.only(*given)),
        strict=True,
    ):
        assert torch.equal(system.posterior(a).mean, system.posterior(b).mean)
        assert torch.equal(system.posterior(a).stddev, system.posterior(b).stddev)
    assert not torch.equal(system.posterior(one).mean, system.posterior(other).mean)
    for target in targets(system):
        drawn = [generate(system, obs, target, 3, given)[target] for obs in (one, other)]
        assert torch.equal(*drawn)
    assert torch.equal(predict(system, one, out), predict(system, other, out))
    if "categorical" in targets(system):
        rest = [n for n in given if n != "categorical"]
        assert accuracy(system, one, "categorical", rest) == accuracy(
            system, other, "categorical", rest
        )


@pytest.mark.parametrize("name", [n for n in SYSTEMS if n != "vae"])
def test_what_is_not_scored_does_not_reach_a_likelihood(name: str) -> None:
    system = build(name)
    out = changeable(system)
    one, other = complete(3), complete(3)
    other.values = {**one.values, out: other[out]}
    given = conditioned_on(system.model)
    target = [n for n in THREE if n not in (out, *given)]
    results = [
        log_likelihood(system, obs, target, given, num_samples=3).value for obs in (one, other)
    ]
    assert torch.equal(*results)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_row_with_nothing_contributes_exactly_nothing(name: str) -> None:
    kinds = kinds_of(name)
    system = build(name)
    obs = mixed()[-3:].only() if name != "vae" else mixed(*kinds).only()
    for objective in (system.objective, IWAE(num_particles=3), Trace_ELBO()):
        loss, gradients = loss_and_gradients(under(objective, system), obs)
        if isinstance(objective, Trace_ELBO | IWAE):
            # log p(z) - log q(z) of two equal distributions, computed apart: nothing but rounding
            assert abs(loss) < 1e-12
        else:
            assert loss == 0.0
        # The same for the gradients of a prior made of encoders, which sums many of them.
        largest = max(g.abs().max() for g in gradients.values())
        assert largest <= (1e-12 if name == "meme" and isinstance(objective, Trace_ELBO) else 0.0)
    prior = system.model.prior()
    q = system.posterior(obs)
    if name == "meme":  # a mixture, whose variance is a difference
        assert_equal_but_for_rounding(q.mean, prior.mean.expand_as(q.mean))
        assert_equal_but_for_rounding(q.stddev, prior.stddev.expand_as(q.stddev))
    else:
        assert torch.equal(q.mean, prior.mean.expand_as(q.mean))
        assert torch.equal(q.stddev, prior.stddev.expand_as(q.stddev))
    if conditioned_on(system.model):
        with pytest.raises(ValueError, match=r"no row holds .* the model conditions on"):
            likelihood(system, obs)
    else:
        result = log_likelihood(system, obs, num_samples=3)
        assert not result.value.any()
        assert not result.standard_error.any()


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_row_with_nothing_adds_nothing_to_a_batch(name: str) -> None:
    kinds = kinds_of(name)
    system = build(name)
    obs = mixed(*kinds)
    held = torch.stack(list(obs.present.values())).any(0)
    with SameNoise():
        loss, gradients = loss_and_gradients(system, obs)
        rest, others = loss_and_gradients(system, obs[held])
    assert not held.all()
    assert_equal_but_for_rounding(loss, rest)
    for parameter, gradient in gradients.items():
        assert_equal_but_for_rounding(gradient, others[parameter], parameter)


@pytest.mark.parametrize(
    ("name", "absent"), [(name, kind) for name in SYSTEMS for kind in kinds_of(name)]
)
def test_masked_equals_absent_from_the_data(name: str, absent: str) -> None:
    kinds = kinds_of(name)
    system = build(name)
    obs = complete(4, *kinds)
    masked, gone = obs.without(absent), obs.drop(absent)
    assert_same_posterior(system, masked, system, gone)
    assert_equal_but_for_rounding(elbo(system, masked), elbo(system, gone))
    with SameNoise():
        for objective in (system.objective, IWAE(num_particles=2)):
            one = loss_and_gradients(under(objective, system), masked)
            other = loss_and_gradients(under(objective, system), gone)
            assert_equal_but_for_rounding(one[0], other[0])
            for parameter, gradient in one[1].items():
                assert_equal_but_for_rounding(gradient, other[1][parameter], parameter)


def assert_same_posterior(
    one: System, one_obs: Observations, other: System, other_obs: Observations
) -> None:
    p, q = one.posterior(one_obs), other.posterior(other_obs)
    assert_equal_but_for_rounding(p.mean, q.mean)
    assert_equal_but_for_rounding(p.stddev, q.stddev)


@pytest.mark.parametrize("absent", THREE)
def test_masked_equals_a_system_built_without_the_modality(absent: str) -> None:
    # For MVAE: the quotient's bound on variances depends on how many modalities are declared.
    kinds = [kind for kind in THREE if kind != absent]
    whole, part = build("mvae"), build("mvae", modalities(*kinds))
    state = whole.state_dict()
    part.load_state_dict({name: state[name] for name in part.state_dict()})
    obs = complete(4)
    masked, gone = obs.without(absent), obs.drop(absent)
    assert_same_posterior(whole, masked, part, gone)
    with SameNoise():
        loss, gradients = loss_and_gradients(whole, masked)
        other, others = loss_and_gradients(part, gone)
    assert_equal_but_for_rounding(loss, other)
    for parameter, gradient in gradients.items():
        if parameter in others:
            assert_equal_but_for_rounding(gradient, others[parameter], parameter)
        else:
            assert not gradient.any(), parameter
    for target in kinds:
        drawn = [
            log_likelihood(system, o, target, num_samples=3).value
            for system, o in ((whole, masked), (part, gone))
        ]
        assert_equal_but_for_rounding(*drawn)


Change = Callable[[Observations], Observations]


@pytest.mark.parametrize(
    "change",
    [
        lambda obs: obs,
        lambda obs: obs[torch.arange(len(obs)).flip(0)],
        lambda obs: obs.to(torch.float64),
        lambda obs: Observations.collate([obs[:3], obs[3:]]),
    ],
    ids=["as it is", "reordered", "converted", "collated"],
)
def test_junk_stays_behind_the_mask_after_changes(change: Change) -> None:
    system = build("mvae")
    clean = mixed()
    with SameNoise():
        one = loss_and_gradients(system, change(clean))
        other = loss_and_gradients(system, change(with_junk(clean)))
    assert torch.equal(one[0], other[0])
    for parameter, gradient in one[1].items():
        assert torch.equal(gradient, other[1][parameter]), parameter
