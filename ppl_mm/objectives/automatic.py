"""Guides that Pyro makes from a model: their set-up, and the rows that they know.

An autoguide runs the model once and then holds the parameters of every latent that it met. For a
latent in the plate of rows it holds one for each row of that batch: it looks at no data, and other
rows have no posterior. A latent that all rows share has one posterior, whatever the batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pyro import poutine
from pyro.infer.autoguide import AutoCallable, AutoGuide, AutoGuideList
from pyro.infer.autoguide.effect import AutoMessenger
from pyro.poutine import Trace
from torch import nn

from ppl_mm.batch.observations import Observations
from ppl_mm.batch.plate import ROWS, of_rows
from ppl_mm.programs.contracts import Guide

__all__ = ["check_rows", "explained_row_errors", "latents_of_rows", "set_up"]


def set_up(guide: Guide, obs: Observations) -> None:
    """Let an autoguide meet its latents on plain rows, before terms or strata multiply them.

    Other guides, and those that are set up, stay as they are; so do torch's random numbers.
    """
    if (isinstance(guide, AutoGuide) and guide.prototype_trace is None) or _unmet(guide):
        with torch.random.fork_rng(devices=[]), poutine.block(), explained_row_errors(guide, obs):
            guide(obs)


def _unmet(guide: Guide) -> bool:
    return isinstance(guide, AutoMessenger) and not any(True for _ in guide.parameters())


@contextmanager
def explained_row_errors(guide: Guide, obs: Observations) -> Iterator[None]:
    """Explain the errors that an autoguide raises inside for rows that it does not know.

    Raises:
        ValueError: For an autoguide that holds latents of other rows.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if not latents_of_rows(guide, obs):
            raise
        raise ValueError(
            f"{type(guide).__name__} fails on these {len(obs)} rows. It holds its latents one by "
            "one for the rows that it was set up with: give it those, all together. (Two guides "
            "of a kind share Pyro's store of parameters, unless "
            "pyro.settings.set(module_local_params=True) or pyro.clear_param_store().)"
        ) from error


def check_rows(guide: Guide, trace: Trace, obs: Observations) -> None:
    """Raise unless a guide draws as many rows as there are.

    Raises:
        ValueError: For a guide that holds latents of other rows.
    """
    for name in trace.stochastic_nodes:
        for frame in trace.nodes[name]["cond_indep_stack"]:
            if frame.name == ROWS and frame.size != len(obs):
                raise ValueError(
                    f"{type(guide).__name__} holds one {name!r} for each of the {frame.size} rows "
                    f"that it was set up with, and these are {len(obs)}: give it those rows, all "
                    "together and in their order, or use a guide that looks at the data, such as "
                    "guides.ProductOfExperts."
                )


def latents_of_rows(guide: Guide, obs: Observations) -> list[tuple[str, str]]:
    """Yield the kind and a site's name of each autoguide within a guide that holds row latents."""
    found = []
    for part in guide.modules() if isinstance(guide, nn.Module) else ():
        if isinstance(part, AutoMessenger):
            trace, shared = poutine.trace(part.model), part.amortized_plates
        elif isinstance(part, AutoGuide) and not isinstance(part, AutoGuideList | AutoCallable):
            hidden = poutine.block(part.model, part._prototype_hide_fn)
            trace, shared = poutine.trace(hidden), ()
        else:
            continue
        with torch.random.fork_rng(devices=[]), torch.no_grad(), poutine.block():
            nodes = trace.get_trace(obs).iter_stochastic_nodes()
        own = [name for name, site in nodes if of_rows(site) and ROWS not in shared]
        found += [(type(part).__name__, name) for name in own[:1]]
    return found
