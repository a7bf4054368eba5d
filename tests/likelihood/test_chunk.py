"""How many pairs are decoded at a time, by what the decoders give."""

import pytest
import torch
from every_system import SYSTEMS, build, complete, kinds_of
from linear_gaussian import LinearGaussian

from ppl_mm import Modality, Observations, guides, likelihoods, networks, systems
from ppl_mm.evaluation import log_likelihood
from ppl_mm.likelihood import chunk as module
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.refined import REFINEMENTS, estimate
from ppl_mm.programs.answerable import conditioned_on

LENGTH, SYMBOLS = 4, 12
STAGES = [refine for refine in REFINEMENTS if refine not in ("none", "annealed")]


def mvae():
    tokens = Modality(
        "string",
        likelihoods.Tokens(),
        lambda d: networks.StringEncoder(d, vocab_size=SYMBOLS),
        lambda d: networks.StringDecoder(d, length=LENGTH, vocab_size=SYMBOLS, feedback="teacher"),
    )
    number = Modality(
        "number",
        likelihoods.Bernoulli(),
        lambda d: networks.MLPEncoder(d, event_shape=(3,), hidden=(4,)),
        lambda d: networks.MLPDecoder(d, event_shape=(3,), hidden=(7,)),
    )
    return systems.mvae([number, tokens], latent_dim=2)


def rows(count):
    strings = torch.randint(SYMBOLS, (count, LENGTH))
    return Observations({"number": torch.ones(count, 3), "string": strings})


def test_it_is_what_the_largest_module_gives(monkeypatch):
    system, obs = mvae(), rows(3)
    assert check_and_size(system, obs, None) == 2**14
    monkeypatch.setattr(module, "_NUMBERS", 10_000)
    assert check_and_size(system, obs.only("number"), None) == 10_000 // 7
    seen = {}  # of the strings' decoder, by hand: numbers by module, its calls added up

    def count(m, inputs, output):
        parts = output if isinstance(output, tuple) else (output,)
        seen[m] = seen.get(m, 0) + sum(p.numel() for p in parts)

    decoder = system.model.decoders["string"].eval()
    hooks = [m.register_forward_hook(count) for m in decoder.modules()]
    decoder(torch.zeros(1, 2))
    for hook in hooks:
        hook.remove()
    assert check_and_size(system, obs, None) == 10_000 // max(seen.values())
    assert max(seen.values()) > LENGTH * SYMBOLS  # the recurrent layers' states


def test_what_is_asked_for_is_taken_and_nothing_stays_behind():
    system, obs = mvae(), rows(3)
    assert check_and_size(system, obs, 5) == 5
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in system.modules())


def test_a_likelihood_decodes_so_many_at_a_time(monkeypatch):
    system, obs, most = mvae(), rows(3).only("number"), []
    hook = system.model.decoders["number"].register_forward_hook(
        lambda m, inputs, output: most.append(len(output))
    )
    whole = log_likelihood(system, obs, "number", num_samples=40)
    assert max(most) == 3 * 40
    most.clear()
    monkeypatch.setattr(module, "_NUMBERS", 7 * 12)
    cut = log_likelihood(system, obs, "number", num_samples=40)
    hook.remove()
    assert max(most) == 12
    torch.testing.assert_close(cut.value, whole.value, atol=1e-12, rtol=0)


def decoded(system, obs, target, given, **options):
    """The result, and the most pairs that a decoder was given at a time."""
    system.check(obs)
    sizes = []
    hooks = [
        d.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
        for d in system.model.decoders.values()
    ]
    found = log_likelihood(system, obs, target, given, num_samples=100, **options)
    for hook in hooks:
        hook.remove()
    return found, max(sizes)


@pytest.mark.parametrize(
    "refine",
    [*STAGES, pytest.param("annealed", marks=pytest.mark.slow)],  # many chains
)
def test_no_stage_decodes_more_at_a_time(refine):
    toy = LinearGaussian(spread=1.3)
    system, obs = toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim)), toy.sample(3)
    more = {"target_standard_error": 0.02, "max_samples": 200} if refine == "auto" else {}
    options = {"refine": refine, **more}
    whole, most = decoded(system, obs, "a", None, **options)
    assert most > 300
    cut, most = decoded(system, obs, "a", None, chunk=300, **options)
    assert most <= 300
    assert torch.equal(cut.refinement, whole.refinement)
    torch.testing.assert_close(cut.value, whole.value, atol=1e-10, rtol=0)


@pytest.mark.slow  # every system
@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
@pytest.mark.parametrize("name", SYSTEMS)
def test_no_system_decodes_more_at_a_time(name):
    system, obs = build(name), complete(3, *kinds_of(name))
    seen = conditioned_on(system.model)
    free = [n for n in obs.names if n not in seen]
    for target, given in {(tuple(free), seen), (free[0], (*seen, *free[1:]))}:
        for refine in ("auto", "annealed"):
            assert decoded(system, obs, target, given, chunk=300, refine=refine)[1] <= 300


def test_rows_are_refined_together_in_so_many_numbers(monkeypatch):
    toy = LinearGaussian(spread=1.3)
    system, obs = toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim)), toy.sample(7)
    whole, seen = log_likelihood(system, obs, num_samples=100), []
    monkeypatch.setattr(estimate, "_NUMBERS", 3 * estimate._DRAWS * toy.latent_dim)
    hook = system.guide.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    cut = log_likelihood(system, obs, num_samples=100)
    hook.remove()
    assert max(seen) == 3
    torch.testing.assert_close(cut.value, whole.value, atol=1e-10, rtol=0)


def test_observations_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="modality 'number'"):
        check_and_size(mvae(), Observations({"number": torch.full((2, 3), 7.0)}), None)
