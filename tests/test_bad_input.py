"""Wrong input is refused at the public edge, by a message that names it and the way out."""

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from every_system import KINDS, LATENT_DIM, build, complete, modalities, modality
from pyro.infer import Trace_ELBO
from safetensors.torch import save_file
from torch import nn

from ppl_mm import (
    Observations,
    System,
    data,
    fit,
    generate,
    guides,
    likelihoods,
    log_likelihood,
    models,
    networks,
    objectives,
)
from ppl_mm.data.idx import read_idx
from ppl_mm.evaluation import accuracy, elbo, predict
from ppl_mm.objectives import ELBOTerms, Term
from ppl_mm.training import DivergedError

Table = list[tuple[str, Callable[[], Any], type[Exception], str]]

ROWS = 4
PAIR = ("bernoulli", "categorical")
X = partial(torch.ones, ROWS, 2)


def pair() -> System:
    return build("mvae", modalities(*PAIR))


def rows() -> Observations:
    return complete(ROWS, *PAIR)


def train(system: System, obs: Any, **options: Any) -> Any:
    return fit(system, obs, **{"epochs": 1, "batch_size": 4, "progress": False, **options})


def fit_pair(**options: Any) -> Any:
    return train(pair(), rows(), **options)


def fit_on(kind: str, values: torch.Tensor) -> Any:
    return train(build("vae", [modality(kind)]), Observations({kind: values}))


def fit_with(kind: str, **changes: Any) -> Any:
    """Train one modality with other networks than its own."""
    return train(build("vae", [modality(kind, **changes)]), complete(ROWS, kind))


def likelihood(**options: Any) -> Any:
    return log_likelihood(pair(), rows(), **{"num_samples": 2, **options})


class OneTensor(nn.Module):
    """An encoder without a scale."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, latent_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


class RawScale(OneTensor):
    """An encoder that forgot the exponential: its scale may be negative."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loc = self.linear(x)
        return loc, -torch.ones_like(loc)


class WithParam(nn.Module):
    """A user's model that keeps a parameter in Pyro's store."""

    def __init__(self) -> None:
        super().__init__()
        self.model = models.SharedLatent(modalities("normal"), LATENT_DIM)

    def forward(self, obs: Observations) -> None:
        pyro.param("shift", torch.zeros(()))
        self.model(obs)


class AnotherSite(nn.Module):
    """A guide for a model with another latent."""

    def __init__(self) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(LATENT_DIM))

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            pyro.sample("zeta", dist.Normal(self.loc, 1.0).to_event(1))


def model_and_guide(model_dim: int, guide_dim: int) -> System:
    declared = modalities("normal")
    return System(
        models.SharedLatent(declared, model_dim),
        guides.ProductOfExperts(declared, guide_dim),
        Trace_ELBO(),
    )


def normal_system(model: nn.Module | None = None, guide: nn.Module | None = None) -> System:
    declared = modalities("normal")
    return System(
        model or models.SharedLatent(declared, LATENT_DIM),
        guide or guides.ProductOfExperts(declared, LATENT_DIM),
        Trace_ELBO(),
    )


def by_terms(*terms: Term, **options: Any) -> Any:
    whole = pair()
    return train(System(whole.model, whole.guide, ELBOTerms(list(terms), **options)), rows())


OBSERVATIONS: Table = [
    ("no modality", lambda: Observations({}), ValueError, r"at least one modality.*blank"),
    ("no rows", lambda: Observations({"x": torch.ones(0, 2)}), ValueError, "at least one row"),
    (
        "a tensor for a dict",
        lambda: Observations(X()),
        TypeError,
        "values as a dict.*got Tensor",
    ),
    (
        "a tensor for a dict of masks",
        lambda: Observations({"x": X()}, torch.ones(ROWS, dtype=torch.bool)),
        TypeError,
        "present as a dict",
    ),
    (
        "unequal lengths",
        lambda: Observations({"x": X(), "y": torch.ones(3)}),
        ValueError,
        r"number of rows: \{'x': 4, 'y': 3\}",
    ),
    ("a scalar", lambda: Observations({"x": torch.tensor(1.0)}), ValueError, "'x'.*scalar"),
    (
        "a NumPy array",
        lambda: Observations({"x": np.ones((4, 2))}),
        TypeError,
        "'x'.*ndarray.*from_arrays",
    ),
    ("a name that is no string", lambda: Observations({1: X()}), TypeError, "strings, got 1"),
    ("complex values", lambda: Observations({"x": X() * 1j}), TypeError, "'x'.*real.*complex"),
    (
        "NaN where observed",
        lambda: Observations({"x": torch.tensor([0.0, torch.nan])}),
        ValueError,
        "'x': row 1.*NaN.*missing",
    ),
    (
        "infinity where observed",
        lambda: Observations({"x": torch.tensor([[0.0], [torch.inf]])}),
        ValueError,
        "'x': row 1.*infinity",
    ),
    (
        "a mask of elements",
        lambda: Observations({"x": X()}, {"x": X() > 0}),
        ValueError,
        r"'x'.*\(B,\) = \(4,\), got \(4, 2\).*flatten",
    ),
    (
        "a mask of numbers",
        lambda: Observations({"x": X()}, {"x": torch.ones(ROWS)}),
        TypeError,
        "'x'.*boolean mask.*float64",
    ),
    (
        "a NumPy mask",
        lambda: Observations({"x": X()}, {"x": np.ones(ROWS, dtype=bool)}),
        TypeError,
        "'x'.*boolean mask tensor.*ndarray",
    ),
    (
        "a mask of an unknown modality",
        lambda: Observations({"image": X()}, {"imgae": torch.ones(ROWS, dtype=torch.bool)}),
        ValueError,
        "mask 'imgae'.*Did you mean 'image'",
    ),
    (
        "a mask on another device",
        lambda: Observations({"x": X()}, {"x": torch.ones(ROWS, dtype=torch.bool, device="meta")}),
        ValueError,
        "'x': values are on cpu, the mask on meta",
    ),
    (
        "modalities on two devices",
        lambda: Observations({"x": X(), "y": torch.ones(ROWS, device="meta")}),
        ValueError,
        "different devices.*'y': 'meta'",
    ),
    (
        "blank without rows",
        lambda: Observations.blank(0),
        ValueError,
        "num_rows: .*at least 1, got 0",
    ),
    (
        "elements of an unknown modality",
        lambda: Observations({"x": X()}, elements={"y": torch.ones(ROWS, dtype=torch.bool)}),
        ValueError,
        "unknown modality in elements 'y'",
    ),
    (
        "a mask of rows for elements",
        lambda: Observations({"x": X()}, elements={"x": torch.ones(ROWS, dtype=torch.bool)}),
        ValueError,
        "'x': expected elements of the shape of its values.*goes to present",
    ),
    (
        "elements that are numbers",
        lambda: Observations({"x": X()}, elements={"x": torch.ones_like(X())}),
        TypeError,
        "'x': expected elements as a dense boolean tensor.*torch.float.*~x.isnan",
    ),
    (
        "text",
        lambda: Observations.from_arrays({"caption": np.array(["a bird", "a fish"])}),
        TypeError,
        "'caption'.*numbers.*symbol indices",
    ),
    (
        "a list of text",
        lambda: Observations.from_arrays({"caption": ["a bird", None]}),
        TypeError,
        "'caption'.*symbol indices",
    ),
    (
        "rows of different shapes",
        lambda: Observations.from_arrays({"x": [[1.0], [1.0, 2.0]]}),
        ValueError,
        "'x': rows of different shapes.*pad",
    ),
    (
        "every row None",
        lambda: Observations.from_arrays({"x": [None, None], "y": [1, 2]}),
        ValueError,
        "'x': every row is None; leave",
    ),
    (
        "an empty list",
        lambda: Observations.from_arrays({"x": []}),
        ValueError,
        "'x'.*at least one row",
    ),
    ("a number", lambda: Observations.from_arrays({"x": 3.0}), TypeError, "'x'.*array.*float"),
    (
        "an array without rows",
        lambda: Observations.from_arrays({"x": np.float64(3.0)}),
        (ValueError, TypeError),
        "'x'.*array",
    ),
    (
        "every modality None",
        lambda: Observations.from_arrays({"x": None}),
        ValueError,
        "at least one modality",
    ),
    ("values of no such name", lambda: rows()["bernuli"], ValueError, "Did you mean 'bernoulli'"),
    ("only no such name", lambda: rows().only("label"), ValueError, "unknown modality 'label'"),
    ("without no such name", lambda: rows().without("y"), ValueError, "unknown modality 'y'"),
    ("given no such name", lambda: rows().given("y"), ValueError, "unknown modality 'y'"),
    ("scoring no such name", lambda: rows().scoring("y"), ValueError, "unknown modality 'y'"),
    ("dropping no such name", lambda: rows().drop("y"), ValueError, "unknown modality 'y'"),
    ("no row chosen", lambda: rows()[2:2], ValueError, "at least one row of 4"),
    ("a row too far", lambda: rows()[4], IndexError, "out of bounds"),
    (
        "replacing by other rows",
        lambda: rows().replace("bernoulli", torch.ones(3, 1, 3, 3)),
        ValueError,
        "'bernoulli'.*4 rows, got 3",
    ),
    (
        "replacing by an array",
        lambda: rows().replace("bernoulli", np.ones((4, 1, 3, 3))),
        TypeError,
        "'bernoulli'.*ndarray",
    ),
    ("no terms", lambda: rows().terms([]), ValueError, "at least one term"),
    (
        "terms with unknown rows=",
        lambda: rows().terms([Term(PAIR, PAIR)], rows="drop"),
        ValueError,
        "rows: expected 'restrict' or 'require', got 'drop'",
    ),
    (
        "a plate on a plate",
        lambda: rows().terms([Term(PAIR, PAIR)]).strata([PAIR]),
        ValueError,
        "strata needs observations without a plate of terms",
    ),
    (
        "rows under a plate",
        lambda: rows().strata([PAIR])[0],
        ValueError,
        "row indexing.*without a plate of strata",
    ),
    ("no strata", lambda: rows().strata([]), ValueError, "empty family"),
    (
        "a string for a tuple in strata",
        lambda: rows().strata(["bernoulli"]),
        TypeError,
        r"strata, argument family\[0\]: .*strings, got 'bernoulli'; put it in a list",
    ),
    ("a reference without terms", lambda: rows().at_reference(), AttributeError, "at_reference"),
    ("nothing to join", lambda: Observations.collate([]), ValueError, "at least one batch"),
    (
        "joining two shapes",
        lambda: Observations.collate([Observations({"x": X()}), Observations({"x": X()[:, :1]})]),
        ValueError,
        "'x': batches disagree on its shape",
    ),
]

DECLARATIONS: Table = [
    ("a name with a space", lambda: modality("normal", name="my x"), ValueError, "'my x'.*name"),
    ("a reserved name", lambda: modality("normal", name="z"), ValueError, "'z'.*latent site"),
    ("a private latent's name", lambda: modality("normal", name="w_x"), ValueError, "'w_x'"),
    ("a plate's name", lambda: modality("normal", name="terms"), ValueError, "'terms'.*plate"),
    ("a name that torch has", lambda: modality("normal", name="type"), ValueError, "'type'.*torch"),
    (
        "a likelihood's class",
        lambda: modality("normal", likelihood=likelihoods.Normal),
        TypeError,
        r"'normal'.*likelihood such as likelihoods.Bernoulli\(\).*make one of it: Normal",
    ),
    (
        "a network for a function",
        lambda: modality("normal", encoder=nn.Linear(3, 4)),
        TypeError,
        "'normal'.*encoder: expected a function.*lambda size",
    ),
    (
        "a network for a trunk's function",
        lambda: modality("normal", features=nn.Linear(3, 4)),
        TypeError,
        "'normal'.*features: expected a function.*write lambda",
    ),
    (
        "a negative weight",
        lambda: modality("normal", weight=-1.0),
        ValueError,
        "'normal'.*weight.*-1.0",
    ),
    ("a scale of zero", lambda: likelihoods.Normal(scale=0.0), ValueError, "Normal.*above 0"),
    ("a negative scale", lambda: likelihoods.Laplace(scale=-1.0), ValueError, "Laplace.*above 0"),
    (
        "a name twice",
        lambda: build("mvae", modalities("normal", "normal")),
        ValueError,
        "'normal' is declared 2 times",
    ),
    ("no modalities", lambda: build("mvae", []), ValueError, "at least one modality"),
    (
        "one modality, no list",
        lambda: build("mvae", modality("normal")),
        TypeError,
        "sequence of Modality objects, got a Modality 'normal'; put it in a list",
    ),
    (
        "a name, no modality",
        lambda: build("mvae", ["normal"]),
        TypeError,
        r"modalities\[0\]: expected a Modality, got 'normal'",
    ),
    ("latent size 0", lambda: build("mvae", latent_dim=0), ValueError, "latent_dim.*got 0"),
    ("latent size 2.0", lambda: build("mvae", latent_dim=2.0), TypeError, "latent_dim.*2.0"),
    ("an unknown system", lambda: build("mvea"), ValueError, "system 'mvea'.*Did you mean 'mvae'"),
    (
        "vae of two modalities",
        lambda: build("vae", modalities(*PAIR)),
        ValueError,
        "vae: expected one modality, got 2.*use mvae",
    ),
    (
        "vae of one modality, no list",
        lambda: build("vae", modality("normal")),
        TypeError,
        "put it in a list",
    ),
    (
        "a prior of another size",
        lambda: build("mvae", prior=dist.Normal(torch.zeros(3), 1.0)),
        ValueError,
        r"prior: expected shape \(2,\)",
    ),
    (
        "a prior that is no Normal",
        lambda: build("mvae", prior=dist.Laplace(0.0, 1.0)),
        TypeError,
        "prior expert must be a diagonal normal one, got laplace",
    ),
    (
        "a learned prior as an expert",
        lambda: build("mvae", prior=nn.Linear(1, 1)),
        TypeError,
        "prior expert must be a diagonal normal one, got Linear",
    ),
    (
        "a function for a model",
        lambda: System(lambda obs: None, pair().guide, Trace_ELBO()),
        TypeError,
        "argument model: expected a torch.nn.Module, got a function; write it as the forward",
    ),
    (
        "no objective",
        lambda: System(pair().model, pair().guide, nn.MSELoss()),
        TypeError,
        "argument objective: expected a pyro.infer.ELBO, got a MSELoss",
    ),
    (
        "two latent sizes",
        lambda: model_and_guide(3, 1),
        ValueError,
        "model's latent_dim is 3, the guide's 1",
    ),
    ("no particles", lambda: objectives.IWAE(num_particles=0), ValueError, "num_particles.*0"),
    (
        "a term of a string",
        lambda: Term("image", ("image",)),
        TypeError,
        "source must be a tuple.*'image'",
    ),
    (
        "an unknown term option",
        lambda: ELBOTerms([Term((), ())], rows="all"),
        ValueError,
        "rows: expected 'restrict' or 'require', got 'all'",
    ),
    (
        "an unknown mean",
        lambda: ELBOTerms([Term((), ())], mean="sum"),
        ValueError,
        "mean: expected 'batch', 'rows' or 'terms', got 'sum'",
    ),
    (
        "a negative number of subsets",
        lambda: objectives.subset_terms(k=-1),
        ValueError,
        "k: .*from 0 to 255.*-1",
    ),
    (
        "unknown random subsets",
        lambda: objectives.subset_terms(uniform_over="sizes"),
        ValueError,
        "uniform_over: expected 'size' or 'subset'",
    ),
]

TRAINING: Table = [
    ("a dict", lambda: train(pair(), rows().values), TypeError, "got a dict.*Observations"),
    (
        "a data set",
        lambda: train(pair(), data.load("digits")),
        TypeError,
        "data: expected Observations or a sequence of Observations, got a DataSet.*train",
    ),
    ("no streams", lambda: train(pair(), []), ValueError, "at least one stream of rows"),
    (
        "a stream of tensors",
        lambda: train(pair(), [rows(), torch.zeros(3)]),
        TypeError,
        r"fit, argument data\[1\]: expected Observations, got a tensor",
    ),
    (
        "no system",
        lambda: train(pair().model, rows()),
        TypeError,
        "fit, argument system: expected a System, got a SharedLatent",
    ),
    (
        "nothing observed",
        lambda: train(pair(), rows().only()),
        ValueError,
        "no row of the data holds any modality",
    ),
    (
        "an undeclared modality",
        lambda: train(pair(), Observations({"bernouli": KINDS["bernoulli"].draw(2)})),
        ValueError,
        "'bernouli'.*Did you mean 'bernoulli'",
    ),
    ("no epochs", lambda: fit_pair(epochs=0), ValueError, "epochs: .*at least 1, got 0"),
    ("half an epoch", lambda: fit_pair(epochs=0.5), TypeError, "epochs: .*0.5"),
    ("no batch", lambda: fit_pair(batch_size=0), ValueError, "batch_size: .*at least 1, got 0"),
    (
        "no patience",
        lambda: fit_pair(patience=0, validation=rows()),
        ValueError,
        "patience: .*at least 1.*got 0",
    ),
    ("patience for nothing", lambda: fit_pair(patience=2), ValueError, "patience needs validation"),
    ("clipping to zero", lambda: fit_pair(clip_norm=0.0), ValueError, "clip_norm: .*above 0"),
    (
        "negative annealing",
        lambda: fit_pair(annealing_epochs=-1),
        ValueError,
        "annealing_epochs: .*-1",
    ),
    (
        "checkpoints never",
        lambda: fit_pair(checkpoint_every=0),
        ValueError,
        "checkpoint_every: .*got 0",
    ),
    ("an unknown device", lambda: fit_pair(device="gpu"), ValueError, "device: .*'cuda'.*'gpu'"),
    ("an unknown precision", lambda: fit_pair(precision="8"), ValueError, "[Pp]recision.*'8'"),
    (
        "an optimiser itself",
        lambda: fit_pair(optimizer=torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)),
        TypeError,
        "optimizer: .*SGD itself",
    ),
    (
        "Pyro's optimiser",
        lambda: fit_pair(optimizer=pyro.optim.Adam({"lr": 0.1})),
        TypeError,
        "optimizer: .*Pyro's optimisers",
    ),
    (
        "validation rows of another system",
        lambda: fit_pair(validation=complete(2, "normal")),
        ValueError,
        "unknown modality in the batch 'normal'",
    ),
    (
        "validation that is a dict",
        lambda: fit_pair(validation=rows().values),
        TypeError,
        "expected Observations.*got a dict.*wrap",
    ),
    (
        "a transform to something else",
        lambda: fit_pair(transform=lambda obs: obs.values),
        TypeError,
        "expected Observations, got dict",
    ),
    (
        "resume without a file's name",
        lambda: fit_pair(resume=True),
        ValueError,
        "resume=True needs checkpoint=",
    ),
    (
        "resume from no file",
        lambda: fit_pair(resume=True, checkpoint="no-such-file.pt"),
        FileNotFoundError,
        "no-such-file.pt: no checkpoint",
    ),
    (
        "unknown names in terms",
        lambda: by_terms(Term(("bernuli",), ("categorical",))),
        ValueError,
        "term 'bernuli'.*Did you mean 'bernoulli'",
    ),
    (
        "weights of unknown modalities",
        lambda: by_terms(Term(PAIR, PAIR), weights={"categorial": 2.0}),
        ValueError,
        "weights 'categorial'.*Did you mean 'categorical'",
    ),
    (
        "negative objective weights",
        lambda: by_terms(Term(PAIR, PAIR), weights={"categorical": -2.0}),
        ValueError,
        "'categorical'.*at least 0, got -2.0",
    ),
    (
        "negative beta",
        lambda: by_terms(Term(PAIR, PAIR), beta=-1.0),
        ValueError,
        "beta: .*at least 0, got -1.0",
    ),
    (
        "grey under Bernoulli",
        lambda: fit_on("bernoulli", torch.rand(4, 1, 3, 3)),
        ValueError,
        "'bernoulli'.*0 or 1.*SoftBernoulli",
    ),
    (
        "bytes under SoftBernoulli",
        lambda: fit_on("soft_bernoulli", 255 * torch.rand(4, 1, 2, 2)),
        ValueError,
        "'soft_bernoulli'.*Divide 8-bit pixels by 255",
    ),
    (
        "integers under Bernoulli",
        lambda: fit_on("bernoulli", torch.ones(4, 1, 3, 3).long()),
        ValueError,
        "'bernoulli'.*floating-point.*int64",
    ),
    (
        "classes as floats",
        lambda: fit_on("categorical", torch.tensor([0.0, 1.0])),
        ValueError,
        r"'categorical'.*integer class indices.*\.long",
    ),
    (
        "a negative class",
        lambda: fit_on("categorical", torch.tensor([0, -1])),
        ValueError,
        "'categorical'.*at least 0",
    ),
    (
        "a class too many",
        lambda: fit_on("categorical", torch.tensor([0, 3])),
        ValueError,
        "'categorical'.*support.*number of classes",
    ),
    (
        "classes in a column",
        lambda: fit_on("categorical", torch.ones(4, 1).long() * 2),
        ValueError,
        r"'categorical'.*Class indices have shape \(N,\)",
    ),
    (
        "two ones in a row",
        lambda: fit_on("one_hot", torch.tensor([[1.0, 1.0, 0.0]])),
        ValueError,
        "'one_hot'.*exactly one 1",
    ),
    (
        "one-hot rows too wide",
        lambda: fit_on("one_hot", torch.eye(4)),
        ValueError,
        r"'one_hot': the decoder's event shape is \(3,\), the data's \(4,\)",
    ),
    (
        "a symbol too many",
        lambda: fit_on("tokens", torch.full((4, 4), 5)),
        ValueError,
        "'tokens'.*support",
    ),
    (
        "symbols as floats",
        lambda: fit_on("tokens", torch.ones(4, 4)),
        ValueError,
        r"'tokens'.*integers.*\.long",
    ),
    (
        "parts of counts",
        lambda: fit_on("poisson", torch.full((4, 2), 0.5)),
        ValueError,
        "'poisson'.*whole numbers",
    ),
    (
        "a decoder of another shape",
        lambda: fit_with("normal", decoder=lambda size: nn.Linear(size, 5)),
        ValueError,
        r"'normal': the decoder's event shape is \(5,\), the data's \(3,\)",
    ),
    (
        "a decoder of another input",
        lambda: fit_with("normal", decoder=lambda size: nn.Linear(7, 3)),
        RuntimeError,
        r"decoder or likelihood of modality 'normal', given z of shape \(1, 2\)",
    ),
    (
        "a decoder without a scale",
        lambda: fit_with("normal_learned", decoder=lambda s: nn.Linear(s, 3)),
        ValueError,
        r"Normal\(scale=None\).*pair",
    ),
    (
        "a decoder with two outputs",
        lambda: fit_with("multi_label", decoder=KINDS["normal_learned"].decoder),
        TypeError,
        "MultiLabel: the decoder must return logits as one tensor",
    ),
    (
        "an encoder of another shape",
        lambda: fit_with("normal", encoder=partial(networks.MLPEncoder, event_shape=(4,))),
        ValueError,
        r"encoder of modality 'normal', given values of shape \(4, 3\)",
    ),
    (
        "an encoder of another size",
        lambda: fit_with("normal", encoder=lambda size: networks.MLPEncoder(5, event_shape=(3,))),
        ValueError,
        r"'normal'.*encoder's loc of shape.*\(4, 2\), got \(4, 5\)",
    ),
    (
        "an encoder without a scale",
        lambda: fit_with("normal", encoder=OneTensor),
        TypeError,
        r"'normal'.*pair \(loc, scale\), got Tensor",
    ),
    (
        "an encoder's negative scale",
        lambda: fit_with("normal", encoder=RawScale),
        ValueError,
        "'normal'.*scale.*above 0.*exp or softplus",
    ),
    (
        "a parameter in Pyro's store",
        lambda: train(normal_system(WithParam()), complete(4, "normal")),
        ValueError,
        "'shift' is a pyro.param.*torch.nn.Parameter",
    ),
    (
        "Pyro's objective on data without a modality",
        lambda: train(System(pair().model, pair().guide, Trace_ELBO()), complete(4, "bernoulli")),
        ValueError,
        "do not hold modality 'categorical'.*Trace_ELBO.*ppl_mm.objectives",
    ),
    (
        "another latent site",
        lambda: train(normal_system(guide=AnotherSite()), complete(4, "normal")),
        (ValueError, Warning),
        "zeta",
    ),
]

EVALUATION: Table = [
    (
        "likelihood of a dict",
        lambda: log_likelihood(pair(), rows().values),
        TypeError,
        "expected Observations.*got a dict.*wrap",
    ),
    (
        "likelihood of a data set",
        lambda: log_likelihood(pair(), data.load("digits")),
        TypeError,
        "expected Observations, got a DataSet.*test",
    ),
    (
        "generation from a dict",
        lambda: generate(pair(), rows().values, "categorical"),
        TypeError,
        "expected Observations.*got a dict.*wrap",
    ),
    (
        "prediction from a dict",
        lambda: predict(pair(), rows().values, "categorical"),
        TypeError,
        "expected Observations.*got a dict.*wrap",
    ),
    (
        "ELBO of a dict",
        lambda: elbo(pair(), rows().values),
        TypeError,
        "expected Observations.*got a dict.*wrap",
    ),
    (
        "an unknown target",
        lambda: likelihood(target="categoricl"),
        ValueError,
        "target modality 'categoricl'.*Did you mean 'categorical'",
    ),
    (
        "an unknown given",
        lambda: likelihood(given="bernuli"),
        ValueError,
        "given modality 'bernuli'.*Did you mean 'bernoulli'",
    ),
    (
        "target and given overlap",
        lambda: likelihood(target="bernoulli", given=PAIR),
        ValueError,
        "'bernoulli' is both target and given",
    ),
    ("no target", lambda: likelihood(target=()), ValueError, "at least one target"),
    ("no samples", lambda: likelihood(num_samples=0), ValueError, "num_samples: .*got 0"),
    ("no chunk", lambda: likelihood(chunk=0), ValueError, "chunk: .*got 0"),
    (
        "an unknown proposal",
        lambda: likelihood(proposal="defensiv"),
        ValueError,
        "proposal 'defensiv'.*Did you mean 'defensive'",
    ),
    (
        "a proposal of unknown names",
        lambda: likelihood(proposal=["x"]),
        ValueError,
        "proposal 'x'; known: bernoulli, categorical",
    ),
    (
        "an unknown denominator",
        lambda: likelihood(given="categorical", denominator="joint"),
        ValueError,
        "denominator: expected 'posterior' or 'prior', got 'joint'",
    ),
    (
        "likelihood of an undeclared modality",
        lambda: log_likelihood(build("vae", [modality("bernoulli")]), rows()),
        ValueError,
        "unknown modality in the batch 'categorical'",
    ),
    (
        "ELBO of grey under Bernoulli",
        lambda: elbo(pair(), Observations({"bernoulli": torch.rand(4, 1, 3, 3)})),
        ValueError,
        "'bernoulli'.*SoftBernoulli",
    ),
    (
        "ELBO in batches of 0",
        lambda: elbo(pair(), rows(), batch_size=0),
        ValueError,
        "batch_size: .*got 0",
    ),
    (
        "prediction in batches of 0",
        lambda: predict(pair(), rows(), "categorical", batch_size=0),
        ValueError,
        "batch_size: .*got 0",
    ),
    (
        "prediction of an unknown target",
        lambda: predict(pair(), rows(), "categoricl"),
        ValueError,
        "'categoricl'.*Did you mean 'categorical'",
    ),
    (
        "prediction from an unknown given",
        lambda: predict(pair(), rows(), "categorical", "image"),
        ValueError,
        "unknown modality 'image'",
    ),
    (
        "accuracy of an unknown label",
        lambda: accuracy(pair(), rows(), "categoricl"),
        ValueError,
        "'categoricl'.*Did you mean 'categorical'",
    ),
    (
        "accuracy without labels",
        lambda: accuracy(pair(), rows().without("categorical"), "categorical"),
        ValueError,
        "'categorical': no row has a label",
    ),
    (
        "no draws",
        lambda: generate(pair(), rows(), "categorical", 0),
        ValueError,
        "num_samples: .*got 0",
    ),
    (
        "generating an unknown target",
        lambda: generate(pair(), rows(), "bernuli"),
        ValueError,
        "'bernuli'.*Did you mean 'bernoulli'",
    ),
    (
        "generating from what is not there",
        lambda: generate(pair(), rows().drop("categorical"), "bernoulli", given="categorical"),
        ValueError,
        "unknown modality 'categorical'; known: bernoulli",
    ),
]

DATA: Table = [
    (
        "an unknown data set",
        lambda: data.load("binary_mnst"),
        ValueError,
        "data set 'binary_mnst'.*Did you mean 'binary_mnist'",
    ),
    (
        "a fraction above 1",
        lambda: data.weakly_supervised(rows(), 1.5),
        ValueError,
        r"fraction: .*from 0 to 1, got 1\.5",
    ),
    (
        "a negative probability",
        lambda: data.keep_modalities(rows(), -0.1),
        ValueError,
        r"probability: .*from 0 to 1, got -0\.1",
    ),
]

TABLE = OBSERVATIONS + DECLARATIONS + TRAINING + EVALUATION + DATA


@pytest.mark.parametrize(
    ("wrong", "kind", "message"), [pytest.param(*row[1:], id=row[0]) for row in TABLE]
)
def test_wrong_input_is_refused(wrong: Callable[[], Any], kind: Any, message: str) -> None:
    with pytest.raises(kind, match=f"(?s){message}"):
        wrong()


LIMITED = [name for name, kind in KINDS.items() if kind.invalid is not None]


@pytest.mark.parametrize("function", [train, elbo, log_likelihood])
@pytest.mark.parametrize("kind", LIMITED)
def test_values_outside_the_support_are_refused(kind: str, function: Callable[..., Any]) -> None:
    values = KINDS[kind].draw(ROWS)
    values[-1] = KINDS[kind].invalid
    with pytest.raises(ValueError, match=f"modality '{kind}': expected"):
        function(build("vae", [modality(kind)]), Observations({kind: values}))


@pytest.mark.parametrize("kind", KINDS)
def test_values_outside_the_support_do_not_matter_where_missing(kind: str) -> None:
    values = KINDS[kind].draw(ROWS)
    if KINDS[kind].invalid is not None:
        values[-1] = KINDS[kind].invalid
    present = torch.arange(ROWS) < ROWS - 1
    train(build("vae", [modality(kind)]), Observations({kind: values}, {kind: present}))


def test_a_data_set_whose_files_are_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="PPL_MM_DATA"):
        data.load("mnist", folder=tmp_path)


def test_truncated_idx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3]))
    with pytest.raises(ValueError, match=r"images-idx3-ubyte: expected 24 bytes.*download"):
        read_idx(path)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "system.safetensors"
    pair().save(path)
    return path


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    path = tmp_path / "run.pt"
    fit_pair(checkpoint=path)
    return path


def test_loading_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing.safetensors: no such file"):
        System.load(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_loading_a_truncated_file_is_refused(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"system.safetensors: truncated, damaged, or"):
        System.load(saved)


def test_loading_a_corrupt_header_is_refused(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[8:40] = b"\xff" * 32
    saved.write_bytes(content)
    with pytest.raises(ValueError, match=r"system.safetensors: truncated, damaged, or"):
        System.load(saved)


def test_loading_a_pickle_is_refused(saved: Path) -> None:
    saved.write_bytes(pickle.dumps({"weights": [1.0]}))
    with pytest.raises(ValueError, match=r"another copy of what System.save wrote"):
        System.load(saved)


def test_loading_other_tensors_is_refused(saved: Path) -> None:
    save_file({"x": torch.ones(3)}, saved)
    with pytest.raises(ValueError, match="no system; the file is of the format"):
        System.load(saved)


def test_loading_with_other_modalities_is_refused(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"saved with modalities \['bernoulli', 'categorical'\]"):
        System.load(saved, modalities=modalities("bernoulli", "normal"))


def test_loading_into_another_size_is_refused(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"has shape .* the system's .*saved sizes"):
        System.load(saved, system=build("mvae", modalities(*PAIR), latent_dim=3))


def test_loading_into_another_system_is_refused(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"system lacks 'guide.*another system"):
        System.load(saved, system=build("vae", [modality("bernoulli")]))


def test_loading_own_networks_without_them_is_refused(tmp_path: Path) -> None:
    build("vae", [modality("negative_binomial")]).save(tmp_path / "own")
    with pytest.raises(ValueError, match=r"'negative_binomial' uses networks.*modalities="):
        System.load(tmp_path / "own")


def test_loading_a_system_put_together_by_hand_alone_is_refused(tmp_path: Path) -> None:
    normal_system().save(tmp_path / "own")
    with pytest.raises(ValueError, match=r"put together by hand.*system=that_system"):
        System.load(tmp_path / "own")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_resuming_from_a_truncated_checkpoint_is_refused(stopped: Path, share: float) -> None:
    content = stopped.read_bytes()
    stopped.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"run.pt: truncated, damaged, or"):
        fit_pair(epochs=2, checkpoint=stopped, resume=True)


def test_resuming_from_something_else_is_refused(stopped: Path) -> None:
    torch.save({"weights": torch.ones(3)}, stopped)
    with pytest.raises(ValueError, match=r"run.pt: no checkpoint of fit"):
        fit_pair(epochs=2, checkpoint=stopped, resume=True)


@pytest.mark.parametrize(
    ("options", "message"), [({"seed": 1}, "seed=0"), ({"batch_size": 2}, "batch_size=4")]
)
def test_resuming_with_other_settings_is_refused(
    stopped: Path, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"saved with {message}.*needs the same"):
        fit_pair(epochs=2, checkpoint=stopped, resume=True, **options)


def test_resuming_with_other_data_is_refused(stopped: Path) -> None:
    with pytest.raises(ValueError, match="saved with num_rows=4, resumed with 7"):
        train(pair(), complete(7, *PAIR), epochs=2, checkpoint=stopped, resume=True)


def test_resuming_another_system_is_refused(stopped: Path) -> None:
    larger = build("mvae", modalities(*PAIR), latent_dim=3)
    with pytest.raises(ValueError, match=r"saved with recipe.latent_dim=2, resumed with 3"):
        train(larger, rows(), epochs=2, checkpoint=stopped, resume=True)


def test_a_run_that_diverges_stops_in_the_last_good_state() -> None:
    system = build("mvae", modalities("normal", "poisson"))
    obs = complete(8, "normal", "poisson")
    train(system, obs, epochs=2)
    good = {name: value.clone() for name, value in system.state_dict().items()}
    system.guide.eval()
    wild = partial(torch.optim.SGD, lr=1e200)
    with pytest.raises(DivergedError, match=r"diverged in epoch 1.*Lower the learning rate") as e:
        train(system, obs, epochs=5, optimizer=wild, annealing_epochs=3)
    assert e.value.result.history == []
    for name, value in system.state_dict().items():
        assert torch.equal(value, good[name]), name
    assert system.model.training
    assert not system.guide.training
    assert system.objective.annealing == 1.0
