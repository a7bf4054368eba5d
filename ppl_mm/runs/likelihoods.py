"""Log-likelihoods of a run row by row, in a file, so that runs can be compared in pairs."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ppl_mm.files import write_atomically
from ppl_mm.modality import Modality
from ppl_mm.results.log_likelihood import COLUMNS, LogLikelihood

__all__ = ["LIKELIHOODS", "read", "write"]

LIKELIHOODS = "likelihoods.npz"
"""The name of the file in a run folder."""

_FACTS = ("target", "given", "num_samples", "proposal", "row_ids")


def write(path: Path, results: Sequence[LogLikelihood]) -> None:
    """Write results: the columns of result i as ``i.value`` and so on, their meaning as JSON."""
    arrays = {
        f"{i}.{name}": getattr(result, name).cpu().numpy()
        for i, result in enumerate(results)
        for name in COLUMNS
    }
    facts = [{name: getattr(result, name) for name in _FACTS} for result in results]
    file = io.BytesIO()
    np.savez_compressed(file, facts=np.array(json.dumps(facts)), **arrays)
    write_atomically(path, file.getvalue())


def read(path: Path, modalities: Sequence[Modality]) -> list[LogLikelihood]:
    """Read the file of :func:`write`; return an empty result if there is no file.

    Rows that hold the same count as sharing their draws, as those of refined proposals do.

    Raises:
        ValueError: If the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        with np.load(path) as file:
            found = []
            for i, facts in enumerate(json.loads(str(file["facts"]))):
                columns = {name: torch.from_numpy(file[f"{i}.{name}"]) for name in COLUMNS}
                about = {n: tuple(facts[n]) for n in ("target", "given", "row_ids")}
                asked = (about["target"], about["given"], facts["proposal"])
                made = LogLikelihood.of(columns, facts["num_samples"], *asked, modalities)
                which = {key: i for i, key in enumerate(dict.fromkeys(about["row_ids"]))}
                draws = torch.tensor([which[key] for key in about["row_ids"]])
                found.append(replace(made.sharing(draws), row_ids=about["row_ids"]))
            return found
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: the file is damaged ({error}).") from error
