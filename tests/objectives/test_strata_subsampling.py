"""Some of a mixture's components a row, at random: the same expectation for less work."""

import math

import pytest
import torch
from every_system import SameNoise
from toy_mixture import Scene, declare, private_scene, rows

from ppl_mm import Observations, guides, models
from ppl_mm.batch.observations import DrawnStrata
from ppl_mm.batch.subsets import non_empty_subsets
from ppl_mm.objectives import IWAE, DReG, MixtureELBO

FAMILY = non_empty_subsets("abc")
NUM_ROWS = 8000


def products(num_rows):
    declared = declare(num_rows, "abc")
    guide = guides.MixtureOfProducts(declared, 1)
    return Scene(models.SharedLatent(declared, 1), guide, rows(num_rows, "abc"))


def private(num_rows):
    return private_scene(num_rows, names="abc")


CASES = {
    "iwae": (products, IWAE, {"num_particles": 2}),
    "dreg": (products, DReG, {"num_particles": 2, "beta": 1.5}),
    "mixture": (products, MixtureELBO, {"divergence": "mixture"}),
    "components": (products, MixtureELBO, {"divergence": "components", "beta": 0.7}),
    "jensen_shannon": (products, MixtureELBO, {"divergence": "jensen_shannon"}),
    "mmvae_plus": (private, DReG, {"num_particles": 2, "private": "auxiliary"}),
    "private, components": (private, MixtureELBO, {"divergence": "components"}),
}
every_case = pytest.mark.parametrize(("make", "objective", "options"), CASES.values(), ids=CASES)
every_number = pytest.mark.parametrize("number", [1, 2])


def mixed(num_rows, names="abc"):
    """Every pattern of missingness in turn; the pattern of every row."""
    pattern = torch.arange(num_rows) % 8
    present = {n: (pattern >> i) % 2 == 0 for i, n in enumerate(names)}
    return Observations(rows(num_rows, names).values, present), pattern


def assert_equal_means(one, other, sigmas=4):
    error = ((one.var(0) + other.var(0)) / len(one)).sqrt()
    assert ((one.mean(0) - other.mean(0)).abs() <= sigmas * error + 1e-12).all()


# ---------------------------------------------------------------- unbiased


@every_case
@every_number
def test_value_and_gradient_have_the_expectation_of_all_strata(make, objective, options, number):
    found = []
    obs, pattern = mixed(NUM_ROWS)
    for seed, strata in ((0, number), (1, None)):
        scene = make(NUM_ROWS).seeing(obs)
        value = scene.backward(objective(strata=strata, **options), seed)
        experts = {
            n: p for n, p in scene.guide.named_parameters() if n.count(".") > 2 or p.dim() > 1
        }
        found.append((value, {n: p.grad for n, p in experts.items()}))
    (value, gradients), (whole, others) = found
    for p in range(8):
        assert_equal_means(value[pattern == p], whole[pattern == p])
        for name, gradient in gradients.items():
            assert_equal_means(gradient[pattern == p], others[name][pattern == p])


@pytest.mark.slow
@every_case
def test_shared_parameters_gradients_have_the_expectation_of_all_strata(make, objective, options):
    # 300 steps of 40 rows each way; decoders, auxiliary priors.
    obs, _ = mixed(40)
    found = []
    for strata in (2, None):
        scene = make(40).seeing(obs)
        steps = [scene.shared_gradients(objective(strata=strata, **options), s) for s in range(300)]
        found.append({n: torch.stack([step[n] for step in steps]) for n in steps[0]})
    for name, gradient in found[0].items():
        assert gradient.any()
        assert_equal_means(gradient, found[1][name])


# ---------------------------------------------------------------- which components


def test_every_allowed_component_is_as_likely_and_none_is_drawn_twice():
    obs, pattern = mixed(NUM_ROWS)
    whole, some = obs.strata(FAMILY), obs.strata(FAMILY, 3)
    assert some.drawn.shape == some.log_weight.shape == (3, NUM_ROWS)
    allowed = whole.log_weight > -torch.inf
    held = some.log_weight > -torch.inf
    assert allowed.gather(0, some.drawn)[held].all()
    ordered = some.drawn.sort(0).values
    assert (ordered[1:] != ordered[:-1]).all()
    for p in range(8):
        column = pattern == p
        count = int(allowed[:, column][:, 0].sum())
        n, k = int(column.sum()), min(3, count)
        assert (held[:, column].sum(0) == k).all()
        torch.testing.assert_close(
            some.log_weight[:, column][held[:, column]], torch.full((n * k,), -math.log(k))
        )
        drawn = some.drawn[:, column][held[:, column]]
        share = torch.bincount(drawn, minlength=7) / n
        expected = allowed[:, column][:, 0] * k / count
        error = (expected * (1 - expected) / n).sqrt()
        assert ((share - expected).abs() <= 4 * error).all()


def test_masks_are_those_of_the_drawn_components():
    obs, _ = mixed(80)
    whole, some = obs.strata(FAMILY), obs.strata(FAMILY, 2)
    for s in range(2):
        for b in range(80):
            c = int(some.drawn[s, b])
            for n in "abc":
                assert some.source[n][s, b] == whole.source[n][c, b]
                assert some.scored[n][s, b] == whole.scored[n][c, b]


@pytest.mark.parametrize("number", [7, 8, None])
def test_as_many_as_there_are_is_all_of_them(number):
    obs, _ = mixed(8)
    found = obs.strata(FAMILY, number)
    assert not isinstance(found, DrawnStrata)
    assert found.log_weight.shape == (7, 8)
    with SameNoise():
        one, other = (
            IWAE(2, strata=n).bound(*(lambda s: (s.model, s.guide, obs))(products(8).seeing(obs)))
            for n in (number, None)
        )
    assert torch.equal(one, other)


@every_case
@every_number
def test_rows_that_allow_no_more_than_are_drawn_have_the_full_value(
    make, objective, options, number
):
    # A row of one modality allows one component, and a row of nothing the prior: exact for any
    # number. Two modalities allow three products, or two experts.
    obs, pattern = mixed(8)
    count = [bin(7 ^ int(p)).count("1") for p in pattern]
    allowed = [max(1, 2**c - 1 if make is products else c) for c in count]
    with SameNoise():
        some, whole = (
            make(8).seeing(obs).backward(objective(strata=n, **options), 0) for n in (number, None)
        )
    fewer = torch.tensor([a <= number for a in allowed])
    assert fewer.sum() >= 4
    torch.testing.assert_close(some[fewer], whole[fewer], atol=1e-10, rtol=0)
    assert (some[~fewer] != whole[~fewer]).any()


def test_the_divergence_of_mmjsd_does_not_depend_on_what_is_drawn():
    # Without reconstructions nothing is random: the divergence is of all experts.
    scene = products(6)
    objective = MixtureELBO("jensen_shannon", strata=1, weights=dict.fromkeys("abc", 0.0))
    values = [scene.backward(objective, seed) for seed in range(3)]
    whole = MixtureELBO("jensen_shannon", weights=dict.fromkeys("abc", 0.0))
    for value in values:
        torch.testing.assert_close(value, scene.backward(whole, 0), atol=1e-12, rtol=0)


# ---------------------------------------------------------------- less work, and errors


def test_decoders_run_on_so_many_strata_only():
    seen = []
    scene = products(10)
    scene.model.decoders["a"].register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    for number in (1, 2, None):
        IWAE(3, strata=number).bound(scene.model, scene.guide, scene.obs)
    assert seen == [3 * 10, 3 * 2 * 10, 3 * 7 * 10]


@pytest.mark.parametrize("strata", [0, -1, True])
@pytest.mark.parametrize("make", [IWAE, DReG, lambda **o: MixtureELBO("mixture", **o)])
def test_a_wrong_number_is_an_error(make, strata):
    with pytest.raises((ValueError, TypeError), match=r"strata: .*of at least 1"):
        make(strata=strata)


def test_the_tighter_form_needs_all_strata():
    with pytest.raises(ValueError, match="the tighter form is no average over strata"):
        IWAE(2, form="tighter", strata=1)
