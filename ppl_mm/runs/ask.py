"""Samples and likelihoods of a trained run: a picture, and a table of rows."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from ppl_mm import plotting
from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.files import write_atomically
from ppl_mm.likelihood.log_likelihood import log_likelihood
from ppl_mm.measures import generation
from ppl_mm.results.log_likelihood import LogLikelihood
from ppl_mm.runs.folder import DRAWN, SHOWN, Run, examples, numbers
from ppl_mm.runs.records import write_csv
from ppl_mm.runs.tables import drawn_table

__all__ = ["generate", "likelihood"]


@typed
def generate(
    run: Run,
    targets: Sequence[str],
    given: Sequence[str],
    path: Path,
    *,
    num_samples: int = 6,
    rows: int | None = None,
    seed: int = 0,
    npz: Path | None = None,
    csv: Path | None = None,
    covariates: Mapping[str, str] | None = None,
) -> dict[str, Shaped[Tensor, "{num_samples} N ..."]]:
    """Draw modalities of test rows given others, and write a picture.

    Args:
        run: A trained run.
        targets: The modalities to draw.
        given: The modalities to condition on; with none, the draws are from the prior.
        path: The picture.
        num_samples: The number of draws per row.
        rows: The number of test rows, from the first on; by default one row of each class.
        seed: The seed of the draws.
        npz: A file for the values; with None they are not written.
        csv: A file for the values as a table, a line for each row and draw.
        covariates: Covariates that all rows are given in place of their own, as the user's files
            write them, such as ``{"site": "b"}``.

    Raises:
        ValueError: If a covariate or its class is unknown.

    Returns:
        Target -> the likelihood's mean or mode at each draw of z, (num_samples, rows, *event).
    """
    test = run.dataset.test
    obs = examples(run, rows) if given else Observations.blank(rows or SHOWN, test)
    obs = obs.with_covariates(_read(run, covariates or {}, len(obs)))
    drawn = generation.generate(
        run.system, obs, targets, num_samples, given=given, mean=True, seed=seed
    )
    like = test[:DRAWN]
    picture = plotting.samples(
        run.system, obs, drawn, given, tiles=run.tiles, like=like, words=run.words
    )
    plotting.save(picture, path)
    if npz is not None:
        file = io.BytesIO()
        arrays: dict[str, Any] = {name: values.cpu().numpy() for name, values in drawn.items()}
        np.savez(file, **arrays)
        write_atomically(npz, file.getvalue())
    if csv is not None:
        drawn_table(run, drawn, csv)
    return drawn


@typed
def likelihood(
    run: Run,
    target: Sequence[str],
    given: Sequence[str] = (),
    *,
    proposal: str | Sequence[str] = "joint",
    refine: Literal["auto", "none", "laplace", "variational", "adaptive", "annealed"] = "auto",
    num_samples: int | None = None,
    rows: int | None = None,
    seed: int = 0,
    path: Path | None = None,
) -> LogLikelihood:
    """Estimate log p(target | given) of test rows.

    Args:
        run: A trained run.
        target: The modalities that are scored.
        given: The modalities to condition on.
        proposal: See :func:`ppl_mm.log_likelihood`.
        refine: See there.
        num_samples: The number of draws per row; the configuration's by default.
        rows: The number of test rows, from the first on; the configuration's by default.
        seed: The seed of the draws.
        path: A CSV file for one line per row; with None it is not written.
    """
    num_samples, rows = numbers(run, num_samples, rows)
    test = run.dataset.test[:rows]
    options: dict[str, Any] = {"refine": refine, "seed": seed}
    result = log_likelihood(run.system, test, target, given, num_samples, proposal, **options)
    if path is not None:
        fields = ("value", "standard_error", "low", "high", "ess", "pareto_k")
        columns = [getattr(result, name).tolist() for name in (*fields, "log_weight_variance")]
        names = ("row", *fields, "log_weight_variance", "stage")
        lines = zip(range(len(test)), *columns, result.stage, strict=True)
        write_csv(path, [dict(zip(names, line, strict=True)) for line in lines])
    return result


def _read(run: Run, given: Mapping[str, str], size: int) -> dict[str, Tensor]:
    """Return covariates of ``size`` rows that all have these values."""
    known = {} if run.dataset.provenance is None else run.dataset.provenance.covariates
    found = {}
    for name, text in given.items():
        if name not in known:
            raise ValueError(unknown_name("covariate", name, known))
        value = known[name].value(text)
        found[name] = value.expand(size, *value.shape)
    return found
