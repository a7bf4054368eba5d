"""A user's model, guide and networks are told at the door what they lack or say wrongly."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from ppl_mm import Modality, Observations, Program, System, guides, likelihoods, log_likelihood
from ppl_mm.batch.network_contracts import (
    covariate_sizes,
    reads_covariates,
    reads_elements,
    reads_value,
    width_of,
)
from ppl_mm.objectives import ELBOTerms, MixtureELBO, Term
from ppl_mm.programs.asked import (
    check_rows_of,
    declared,
    declared_names,
    decoders_of,
    latent_dim_of,
    listed_alternatives,
    names_of,
    posterior_of,
    prior_of,
    private_priors,
    strata_of,
)
from ppl_mm.programs.door import check_program, combinable
from ppl_mm.programs.features import declared_features

OBJECTIVE = ELBOTerms([Term(("x",), ("x",))])
WITH_REFERENCE = ELBOTerms([Term(("x",), ("x",), reference=())])


def linear(size):
    return nn.Linear(1, size)


X = Modality("x", likelihoods.Normal(scale=1.0), linear, linear)
ROWS = Observations({"x": torch.zeros(3, 1)})


class Story(nn.Module):
    """z ~ Normal(0, I), x ~ Normal(z, 1)."""

    def forward(self, obs):
        with obs.plates():
            z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            x, scored = obs.filled("x")
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1).mask(scored), obs=x)


class Looks(nn.Module):
    """A guide that gives what its class holds as its posterior."""

    def forward(self, obs):
        with obs.plates():
            pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))


def guide_with(**attributes):
    return type("Own", (Looks,), attributes)()


def model_with(**attributes):
    return type("Own", (Story,), attributes)()


def posterior_of_size(*shape, events=1):
    return lambda self, obs: dist.Normal(torch.zeros(shape), 1.0).to_event(events)


# ---------------------------------------------------------------- names of another type

WRONG_IN_A_GUIDE = {
    "modalities": (("x",), "a sequence of ppl_mm.Modality", r"\('x',\)"),
    "latent_dim": ("2", "an integer of at least 1", "'2'"),
    "site": (0, "the name of a latent site, a string", "0"),
    "posterior": (torch.zeros(2), "a method posterior", "a tensor of float32 of shape"),
    "check": (True, "a method check", "True"),
}


@pytest.mark.parametrize("name", WRONG_IN_A_GUIDE)
def test_a_name_of_a_guide_with_another_type_is_refused_with_what_came(name):
    value, expected, came = WRONG_IN_A_GUIDE[name]
    words = rf"System: the guide Own: expected {name} to be {expected}.*, got {came}"
    with pytest.raises(TypeError, match=words):
        System(Story(), guide_with(**{name: value}), OBJECTIVE)


@pytest.mark.parametrize("family", ["xy", ("xy",), ((1,),), 3], ids=str)
def test_a_family_is_a_tuple_of_tuples_of_names(family):
    rest = {"strata": lambda self, obs, number=None: obs, "posterior": posterior_of_size(1)}
    with pytest.raises(TypeError, match="expected family to be a tuple of tuples of modalities'"):
        System(Story(), guide_with(family=family, **rest), OBJECTIVE)
    System(Story(), guide_with(family=(("x",), ()), **rest), OBJECTIVE)


@pytest.mark.parametrize("sizes", [{"x": 0}, {"x": 1.5}, {"x": True}, [2], 2], ids=str)
def test_private_sizes_are_a_dict_of_integers(sizes):
    rest = {"private_posterior": None, "priors_of_private": None}
    with pytest.raises(TypeError, match="expected private_dim to be a dict from modalities' names"):
        System(Story(), guide_with(private_dim=sizes, **rest), OBJECTIVE)
    System(Story(), guide_with(private_dim={"x": 2}, **rest), OBJECTIVE)


@pytest.mark.parametrize("latent_dim", [0, -1, 2.0, True], ids=str)
@pytest.mark.parametrize(("role", "make"), [("model", model_with), ("guide", guide_with)])
def test_a_latent_size_is_an_integer_of_at_least_one(role, make, latent_dim):
    with pytest.raises(TypeError, match=f"the {role} Own: expected latent_dim to be an integer"):
        check_program(role, make(latent_dim=latent_dim))


def test_what_a_model_conditions_on_is_a_tuple_of_names():
    with pytest.raises(TypeError, match=r"the model Own: expected conditions_on .*, got 'x'"):
        System(model_with(conditions_on="x"), Looks(), OBJECTIVE)
    with pytest.raises(TypeError, match="the model Own: expected alternatives to be a method"):
        System(model_with(alternatives=[]), Looks(), OBJECTIVE)


def test_a_guides_names_mean_nothing_in_a_model():
    check_program("model", model_with(site=0, posterior=1, family="x"))
    check_program("guide", guide_with(conditions_on="x", alternatives=[]))


# ---------------------------------------------------------------- posteriors


WRONG_POSTERIORS = {
    "a tuple": (lambda self, obs: (torch.zeros(3, 1), 1.0), TypeError, "got tuple"),
    "none": (lambda self, obs: None, TypeError, "got NoneType"),
    "torch's own": (
        lambda self, obs: torch.distributions.Normal(torch.zeros(3), 1.0),
        TypeError,
        r"a distribution of pyro.distributions, q\(z \| x_source\), got Normal",
    ),
    "no event": (posterior_of_size(3, 1, events=0), ValueError, r"\(Z,\), got \(\); write .to_ev"),
    "a matrix": (posterior_of_size(3, 1, 1, events=2), ValueError, r"\(Z,\), got \(1, 1\)"),
    "other rows": (posterior_of_size(2, 1), ValueError, r"batch shape \(3,\), got \(2,\)"),
    "a plate": (posterior_of_size(4, 3, 1), ValueError, r"batch shape \(3,\), got \(4, 3\)"),
}


@pytest.mark.parametrize("case", WRONG_POSTERIORS)
def test_a_posterior_that_is_none_of_the_rows_is_refused_by_the_guides_name(case):
    posterior, error, words = WRONG_POSTERIORS[case]
    guide = guide_with(posterior=posterior)
    with pytest.raises(error, match=f"the guide Own: posterior.*{words}"):
        posterior_of(guide, ROWS, "this test")
    with pytest.raises(error, match="the guide Own: posterior"):
        System(Story(), guide, OBJECTIVE).posterior(ROWS)


@pytest.mark.parametrize("shape", [(3, 1), (1, 1), (1,)], ids=str)
def test_a_posterior_may_leave_out_what_all_rows_share(shape):
    q = posterior_of(guide_with(posterior=posterior_of_size(*shape)), ROWS, "this test")
    assert (q.batch_shape, q.event_shape) == (shape[:-1], (1,))


def test_under_terms_a_posterior_may_have_their_plate():
    terms = ROWS.terms([Term(("x",), ("x",)), Term((), ("x",))])
    posterior_of(guide_with(posterior=posterior_of_size(2, 3, 1)), terms, "this test")
    with pytest.raises(ValueError, match=r"batch shape \(2, 3\), got \(3, 3\)"):
        posterior_of(guide_with(posterior=posterior_of_size(3, 3, 1)), terms, "this test")


@pytest.mark.parametrize(
    ("needed_by", "ask"),
    [
        ("System.posterior", lambda system: system.posterior(ROWS)),
        ("a term with a reference", lambda system: system(ROWS)),
        (
            "proposal='defensive'",
            lambda system: log_likelihood(system, ROWS, num_samples=2, proposal="defensive"),
        ),
    ],
)
def test_what_needs_a_posterior_says_so(needed_by, ask):
    system = System(Story(), Looks(), ELBOTerms([Term(("x",), ("x",), reference=("x",))]))
    with pytest.raises(ValueError, match=f"{needed_by} needs a guide with a method posterior"):
        ask(system)


def test_jensen_shannon_asks_for_a_prior_of_normals():
    objective = MixtureELBO(divergence="jensen_shannon")
    rest = {"strata": lambda self, obs, number=None: obs, "posterior": posterior_of_size(3, 1)}
    for attributes in ({}, {"family": (("x",),), **rest}):
        system = System(Story(), guide_with(**attributes), objective)
        with pytest.raises(ValueError, match="needs a mixture of Normal experts"):
            system(ROWS)


# ---------------------------------------------------------------- guides made of others


class Half(Program):
    """A guide of one's own without a prior."""

    def posterior(self, obs):
        return dist.Normal(torch.zeros(len(obs), 2), 1.0).to_event(1)


def test_a_guide_that_needs_its_parts_prior_says_so():
    half = Half([X], latent_dim=2)
    assert combinable("guide", half) is half
    for make in (lambda: guides.Flow(half), lambda: guides.SharedPrivate(half, 2)):
        with pytest.raises(TypeError, match="got a Half, which has no 'prior'"):
            make()


def test_a_part_with_a_wrong_posterior_is_told_inside_a_mixture():
    class Wrong(Half):
        def posterior(self, obs):
            return dist.Normal(torch.zeros(7, 2), 1.0).to_event(1)

    mixture = guides.Mixture(Wrong([X], latent_dim=2), [("x",), ()])
    with pytest.raises(ValueError, match=r"the guide Wrong: posterior.* got \(7,\)"):
        mixture.posterior(ROWS)


# ---------------------------------------------------------------- what programs say of themselves


def test_handlers_around_a_program_change_no_answer():
    program = Half([X], latent_dim=2)
    under = poutine.mask(poutine.scale(program, scale=2.0), mask=True)
    assert declared(under) == declared(program) == (X,)
    assert declared_names(under) == ("x",)
    assert names_of(under, Observations({"y": torch.zeros(1)})) == ("x",)


def test_a_program_that_declares_nothing_has_the_names_of_the_data():
    assert (declared_names(Looks()), names_of(Looks(), ROWS)) == ((), ("x",))
    assert names_of(guide_with(modalities=()), ROWS) == ("x",)


def test_the_first_program_that_has_a_latent_size_says_it():
    small, large = guide_with(latent_dim=2), guide_with(latent_dim=5)
    assert latent_dim_of(Looks(), small, large) == 2
    assert latent_dim_of(large, small) == 5
    assert latent_dim_of(Looks()) is None


def test_decoders_are_a_module_dict_or_nothing():
    program = Looks()
    assert len(decoders_of(program)) == 0
    program.decoders = nn.Linear(1, 1)
    assert len(decoders_of(program)) == 0
    program.decoders = nn.ModuleDict({"x": nn.Linear(1, 1)})
    assert list(decoders_of(program)) == ["x"]


def test_a_prior_that_is_a_submodule_is_found():
    program = Looks()
    assert prior_of(program) is None
    program.prior = nn.Identity()
    assert prior_of(program) is program.prior


def test_a_guide_without_parts_has_none():
    assert strata_of(Looks(), ROWS) is ROWS
    assert private_priors(Looks()) == {}
    assert listed_alternatives(Looks(), Looks(), ("x",), ()) is None


def test_rows_are_checked_by_a_program_that_can():
    seen = []
    assert check_rows_of(guide_with(check=lambda self, obs: seen.append(obs)), ROWS)
    assert seen == [ROWS]
    assert not check_rows_of(Looks(), ROWS)


# ---------------------------------------------------------------- networks


def network_with(**attributes):
    return type("Own", (nn.Identity,), attributes)()


def test_a_network_that_says_nothing_reads_values_alone():
    assert not reads_elements(nn.Identity())
    assert not reads_value(nn.Identity())
    assert (reads_covariates(nn.Identity()), covariate_sizes(nn.Identity())) == ((), {})


@pytest.mark.parametrize("says", [True, False])
def test_a_network_reads_what_it_says(says):
    assert reads_elements(network_with(reads_elements=says)) is says
    assert reads_value(network_with(reads_value=says)) is says


def test_covariates_have_sizes_where_a_network_gives_them():
    assert reads_covariates(network_with(reads_covariates=["batch"])) == ("batch",)
    assert covariate_sizes(network_with(reads_covariates=["batch"])) == {}
    sized = network_with(reads_covariates={"batch": 3, "age": 1})
    assert reads_covariates(sized) == ("batch", "age")
    assert covariate_sizes(sized) == {"batch": 3, "age": 1}


@pytest.mark.parametrize(
    ("trunk", "came"),
    [
        (nn.Identity(), "none"),
        (network_with(out_features="4"), "'4'"),
        (network_with(out_features=0), "0"),
        (network_with(out_features=2.0), "2.0"),
    ],
    ids=["none", "string", "zero", "float"],
)
def test_a_trunk_says_its_width(trunk, came):
    words = rf"expected an attribute out_features, the number .*, got {came}; set it in"
    with pytest.raises(TypeError, match=words):
        width_of(trunk)
    given = Modality("x", X.likelihood, linear, linear, features=lambda: trunk)
    with pytest.raises(TypeError, match=rf"modality 'x': features\(\) must return.*{words}"):
        declared_features(given)
    with pytest.raises(TypeError, match="modality 'x': features"):
        guides.ZeroFilledNetwork([given], 2)


def test_a_proper_trunk_passes():
    trunk = nn.Linear(1, 4)
    assert width_of(trunk) == 4
    given = Modality("x", X.likelihood, linear, linear, features=lambda: trunk)
    assert declared_features(given) is trunk


class PassesOn(nn.Module):
    """A network around another, with its names, as ``torch.compile`` makes one."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def __getattr__(self, name):
        if name == "network":
            return super().__getattr__(name)
        return getattr(self.network, name)


def test_a_network_around_another_reads_what_that_one_does():
    network = PassesOn(
        network_with(
            reads_elements=True, reads_value=True, reads_covariates={"age": 1}, out_features=3
        )
    )
    assert reads_elements(network)
    assert reads_value(network)
    assert covariate_sizes(network) == {"age": 1}
    assert width_of(network) == 3
