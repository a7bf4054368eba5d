r"""The error of imputed cells beside scikit-learn's imputers, on its breast cancer data.

    python benchmarks/imputation.py --seeds 3 --out benchmarks/results/imputation.json

Thirty numbers of 569 tumours are three modalities of ten (means, standard errors, worst values),
the diagnosis is a fourth. A tenth of all cells is removed at random, a fifth of the rows is held
out. The error is that of the numbers removed from held-out rows, in standard deviations of the
columns of the training rows: its root mean square, and its mean absolute value. All methods see the
same cells, the diagnosis among them, which is 0 or 1 where a method takes numbers alone.

    default     mvae with the networks of a data set that is declared from a file
    linear      the same with linear decoders, that is factor analysis, trained on the ELBO of all
                that a row holds
"""

import json
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
from ppl_mm.modality import Modality
from ppl_mm.objectives import Term

SHARE = 0.1  # of the cells that are removed
HELD_OUT, CHOOSING = 113, 57  # test and validation rows
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
    """The data with cells removed, and the split of rows, by a seed."""

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
        """The errors of numbers (569, 30) where they were removed from held-out rows."""
        error = ((filled - self.truth) / self.scale)[self.split == "test"]
        error = error[self.removed[self.split == "test"]]
        return {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.abs(error).mean())}

    def by_sklearn(self, make: Callable[[], Any]) -> dict[str, float]:
        """An imputer of scikit-learn, on standardised columns."""
        benign = (self.frame["diagnosis"] == "benign").where(self.frame["diagnosis"].notna())
        x = np.c_[self.frame[self.names].to_numpy(float), benign.to_numpy(float)]
        known = x[self.split != "test"]
        centre, scale = np.nanmean(known, 0), np.nanstd(known, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            filled = make().fit((known - centre) / scale).transform((x - centre) / scale)
        return self.errors((filled * scale + centre)[:, :-1])

    def by_us(
        self, seed: int, *, linear: bool, epochs: int, learning_rate: float
    ) -> dict[str, float]:
        """A trained mvae, with how many of the intervals of 95 % hold the number, and seconds."""
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
        """The places of the test rows."""
        assert dataset.provenance is not None
        return np.array(dataset.provenance.places["test"])


def with_linear_decoder(modality: Modality) -> Modality:
    """The same modality; if it is one of numbers, with a decoder without hidden layers."""
    made = modality.decoder
    if modality.name not in NUMBERS or not isinstance(made, partial):
        return modality
    return replace(modality, decoder=partial(made.func, **{**made.keywords, "hidden": ()}))


def main(
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of cells, split and training.")] = 3,
    out: Annotated[Path | None, typer.Option(help="A JSON file.")] = None,
    only: Annotated[str, typer.Option(help="Ours to run, with commas between.")] = "default,linear",
) -> None:
    """Print every error, seed by seed, and write them."""
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
        out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
