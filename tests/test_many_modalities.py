"""Of many modalities nothing is built for each of their 2^M - 1 subsets without being asked."""

import time
from functools import partial

import pyro
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ppl_mm import Modality, Observations, fit, guides, likelihoods, networks, objectives, systems
from ppl_mm.batch.subsets import MOST_MODALITIES

ARGUMENTS = {"cvae": {"given": ("m0",)}, "cmmd": {"observed": ("m0",)}, "vae": None}
ALL_SUBSETS = ("mopoe", "svae", "svae_star", "vaevae", "vaevae_a", "vaevae_star")


def declared(number: int) -> list[Modality]:
    return [
        Modality(
            f"m{i}",
            likelihoods.Normal(scale=1.0),
            encoder=partial(networks.MLPEncoder, event_shape=(1,), hidden=(2,)),
            decoder=partial(networks.MLPDecoder, event_shape=(1,), hidden=(2,)),
        )
        for i in range(number)
    ]


@pytest.mark.parametrize("name", sorted(systems.available()))
def test_a_system_of_twenty_modalities_is_built_or_refused_at_once(name: str) -> None:
    options = ARGUMENTS.get(name, {})
    if options is None:
        return
    before = time.process_time()
    if name in ALL_SUBSETS:
        with pytest.raises(ValueError, match=r"20 modalities have 2\^20 - 1 = 1,048,575 subsets.*"):
            systems.build(name, declared(20), 2, **options)
    else:
        systems.build(name, declared(20), 2, **options)
    assert time.process_time() - before < 2  # seconds; the subsets took a minute


def test_subsets_that_are_named_are_built_of_any_number() -> None:
    many = declared(MOST_MODALITIES + 4)
    names = tuple(m.name for m in many)
    chosen = [names, *((n,) for n in names), names[:2]]
    assert len(systems.mopoe(many, 2, subsets=chosen).guide.family) == len(chosen)
    assert len(guides.JointNetwork(many, 2, [names, names[:2]]).subsets) == 2
    system = systems.mvae(many, 2, terms=objectives.subset_terms(k=3))
    rows = Observations({n: torch.zeros(2, 1) for n in names})
    assert len(fit(system, rows, epochs=1, progress=False).history) == 1


@pytest.mark.parametrize(
    ("build", "remedy"),
    [
        (lambda many: guides.MixtureOfProducts(many, 2), r"subsets=\[\.\.\.\]"),
        (lambda many: guides.JointNetwork(many, 2, "all"), r"subsets=\[\.\.\.\]"),
        (lambda many: objectives.chain_terms([m.name for m in many]), "ELBOTerms"),
        (lambda many: objectives.subset_terms(None)([m.name for m in many]), r"subset_terms\(k=3"),
    ],
)
def test_the_number_is_stated_with_the_remedy(build, remedy) -> None:
    build(declared(3))
    with pytest.raises(ValueError, match=f"at most {MOST_MODALITIES} modalities.*{remedy}"):
        build(declared(MOST_MODALITIES + 1))


def test_more_random_subsets_than_there_may_be_are_refused() -> None:
    with pytest.raises(ValueError, match="argument k: expected an integer from 0 to 255 or None"):
        objectives.subset_terms(k=10**9)


class Operations(TorchDispatchMode):
    """Counts the operations on tensors."""

    number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += 1
        return function(*args, **(kwargs or {}))


def test_terms_that_become_the_same_count_once() -> None:
    """Of seventy modalities a row that holds two has their joint term and one of each."""
    names = [f"m{i}" for i in range(70)]
    joint = objectives.Term(names, names)
    singles = [objectives.Term((n,), (n,)) for n in names]
    held = torch.zeros(70, 3, dtype=torch.bool)
    held[[3, 69], 0], held[69, 1] = True, True
    values = {n: torch.zeros(3, 1) for n in names}
    rows = Observations(values, dict(zip(names, held, strict=True)))
    active = rows.terms([joint, joint, *singles]).active
    assert active.sum(0).tolist() == [3, 1, 0]
    assert active[:2, 0].tolist() == [True, False]


def operations(name: str, number: int, share: float) -> int:
    """Those of one step on rows that hold a share of the modalities."""
    system = systems.build(name, declared(number), 2, **LINEAR[name])
    names = [f"m{i}" for i in range(number)]
    held = torch.arange(number)[:, None] % 4 < 4 * share
    present = {n: x.expand(3) for n, x in zip(names, held, strict=True)}
    rows = Observations({n: torch.zeros(3, 1) for n in names}, present)
    loss = system.objective(system.model, system.guide)
    with pyro.validation_enabled(False):
        loss(rows).sum().backward()  # what is worked out once is
        with Operations() as counted:
            loss(rows).sum().backward()
    return counted.number


LINEAR = {
    "cmmd": {"observed": ("m0",)},
    "dmvae": {},
    "meme": {},
    "mmvae": {"strata": 1},
    "mvae": {},
    "mvtcae": {},
}
"""The systems whose mathematics grows with the number of modalities, and no faster."""


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("name", LINEAR)
def test_a_step_takes_operations_in_proportion_to_the_modalities(name: str, share: float) -> None:
    torch.manual_seed(0)
    eight, sixteen, thirty_two = (operations(name, number, share) for number in (8, 16, 32))
    assert thirty_two - sixteen < 2.1 * (sixteen - eight)
