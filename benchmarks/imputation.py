r"""Compare imputation errors with those of scikit-learn's imputers, on its breast cancer data.

    python benchmarks/imputation.py --seeds 3 --out benchmarks/results/imputation.json

Thirty numbers of 569 tumours form three modalities of ten (means, standard errors, worst values),
and the diagnosis is a fourth modality. A tenth of all cells is removed at random, and a fifth of
the rows is held out. Errors are measured on the numbers removed from held-out rows, in standard
deviations of the training rows' columns; the root mean square and the mean absolute error are
reported. All methods see the same cells, including the diagnosis, which is 0 or 1 for methods that
take numbers alone.

    default     mvae with the networks of a data set that is declared from a file
    linear      mvae with linear decoders, which is factor analysis, trained on the ELBO of all
                that a row holds
"""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas
import torch
import typer
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - it makes the next one
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from ppl_mm import data, fit, impute, systems
from ppl_mm.data import DataSet
from ppl_mm.files import write_json
from ppl_mm.modality import Modality
from ppl_mm.objectives import Term

SHARE = 0.1  # the share of cells that are removed
HELD_OUT, CHOOSING = 113, 57  # the numbers of test and validation rows
NUMBERS = {"means": "mean_*", "errors": "*_error", "worst": "worst_*"}
SKLEARN: Mapping[str, Callable[[], Any]] = {
    "column means": SimpleImputer,
    "KNNImputer": KNNImputer,
    "IterativeImputer": partial(IterativeImputer, max_iter=30, random_state=0),
}
OURS: Mapping[str, dict[str, Any]] = {
    "default": {"linear": False, "epochs": 300, "learning_rate": 2e-3},
    "linear": {"linear": True, "epochs": 500, "learning_rate": 1e-2},
}


class Cohort:
    """The data with removed cells, and the split of the rows; a seed determines both."""

    def __init__(self, seed: int) -> None:
        bunch = load_breast_cancer()
        self.names = [name.replace(" ", "_") for name in bunch.feature_names]
        self.truth = np.asarray(bunch.data)
        generator = np.random.default_rng(seed)
        frame = pandas.DataFrame(self.truth, columns=self.names)
        frame["diagnosis"] = bunch.target_names[bunch.target]
        removed = generator.random(frame.shape) < SHARE
        self.frame, self.removed = frame.mask(removed), removed[:, :-1]
        order = generator.permutation(len(frame))
        self.split = np.full(len(frame), "train", dtype=object)
        self.split[order[:HELD_OUT]] = "test"
        self.split[order[HELD_OUT : HELD_OUT + CHOOSING]] = "validation"
        self.scale = self.truth[self.split == "train"].std(0)

    def errors(self, filled: np.ndarray) -> dict[str, float]:
        """Return the errors of imputed numbers (569, 30) in the removed cells of held-out rows."""
        error = ((filled - self.truth) / self.scale)[self.split == "test"]
        error = error[self.removed[self.split == "test"]]
        return {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.abs(error).mean())}

    def by_sklearn(self, make: Callable[[], Any]) -> dict[str, float]:
        """Return the errors of a scikit-learn imputer on standardised columns."""
        benign = (self.frame["diagnosis"] == "benign").where(self.frame["diagnosis"].notna())
        x = np.c_[self.frame[self.names].to_numpy(float), benign.to_numpy(float)]
        known = x[self.split != "test"]
        centre, scale = np.nanmean(known, 0), np.nanstd(known, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about convergence
            filled = make().fit((known - centre) / scale).transform((x - centre) / scale)
        return self.errors((filled * scale + centre)[:, :-1])

    def by_us(
        self, seed: int, *, linear: bool, epochs: int, learning_rate: float
    ) -> dict[str, float]:
        """Return a trained mvae's errors, the coverage of its 95 % intervals, and its seconds."""
        declared = {name: {"columns": columns, "kind": "real"} for name, columns in NUMBERS.items()}
        declared["diagnosis"] = {"columns": "diagnosis", "kind": "category"}
        frame = self.frame.assign(split=self.split)
        dataset = data.from_frame(
            frame, declared, label="diagnosis", split={"column": "split"}, quiet=True
        )
        modalities, everything = dataset.modalities, tuple(declared)
        options = {}
        if linear:
            modalities = tuple(with_linear_decoder(m) for m in modalities)
            options = {"terms": [Term(everything, everything)]}
        torch.manual_seed(seed)
        system = systems.build("mvae", modalities, 12 if linear else dataset.latent_dim, **options)
        start = time.perf_counter()
        fit(
            system,
            dataset.train,
            epochs=epochs,
            batch_size=128,
            optimizer=partial(torch.optim.Adam, lr=learning_rate),
            validation=dataset.validation,
            seed=seed,
            progress=False,
        )
        trained = time.perf_counter()
        found = impute(system, dataset.test, tuple(NUMBERS), keep_draws=False, seed=seed)
        filled, inside = np.full_like(self.truth, np.nan), []
        rows = self.rows(dataset)
        for name in NUMBERS:
            columns = [self.names.index(c) for c in dataset.provenance.columns[name].names]
            at = np.ix_(rows, columns)
            filled[at] = found.mean[name].numpy()
            low, high = found.low[name].numpy(), found.high[name].numpy()
            held = (low <= self.truth[at]) & (self.truth[at] <= high)
            inside.append(held[~found.observed[name].numpy()])
        return self.errors(filled) | {
            "within 95 %": float(np.concatenate(inside).mean()),
            "training, s": trained - start,
            "imputing, s": time.perf_counter() - trained,
        }

    def rows(self, dataset: DataSet) -> np.ndarray:
        """Return the positions of the test rows."""
        assert dataset.provenance is not None
        return np.array(dataset.provenance.places["test"])


def with_linear_decoder(modality: Modality) -> Modality:
    """Return the modality; if it holds numbers, its decoder has no hidden layers."""
    made = modality.decoder
    if modality.name not in NUMBERS or not isinstance(made, partial):
        return modality
    return replace(modality, decoder=partial(made.func, **{**made.keywords, "hidden": ()}))


def main(
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of cells, split and training.")] = 3,
    out: Annotated[Path | None, typer.Option(help="A JSON file.")] = None,
    only: Annotated[str, typer.Option(help="Ours to run, with commas between.")] = "default,linear",
) -> None:
    """Print the errors of every seed, and write them."""
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        cohort = Cohort(seed)
        for name, make in SKLEARN.items():
            found.setdefault(name, []).append(cohort.by_sklearn(make))
        for name in only.split(","):
            found.setdefault(name, []).append(cohort.by_us(seed, **OURS[name]))
        for name, errors in found.items():
            shown = ", ".join(f"{key} {value:.3f}" for key, value in errors[-1].items())
            print(f"seed {seed}, {name}: {shown}", flush=True)
    if out is not None:
        write_json(out, found)


if __name__ == "__main__":
    typer.run(main)
