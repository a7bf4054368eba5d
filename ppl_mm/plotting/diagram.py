"""Diagrams of models and guides as graphs of their sites."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pyro import poutine
from pyro.infer.inspect import get_model_relations
from pyro.poutine import Trace
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.plate import ROWS, of_rows
from ppl_mm.processes import one_thread
from ppl_mm.systems import System

if TYPE_CHECKING:
    from graphviz import Digraph

__all__ = ["graph", "save_graph"]

_MOST_ROWS = 8  # enough to tell what a site depends on
_FAMILIES = {"RandomMixture": "Mixture"}  # what a reader calls them
_OBSERVED, _LATENT = "#d9d9d9", "white"


@dataclass
class _Graph:
    """The nodes and edges of one program.

    Attributes:
        sites: Name of a sampled site -> its distribution.
        observed: The sites that the data hold.
        in_rows: The sites that have a value for each row.
        inputs: The modalities that the program conditions on.
        edges: Pairs of names, each from parent to child.
    """

    sites: dict[str, str]
    observed: set[str]
    in_rows: set[str]
    inputs: list[str] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)


@typed
def graph(program: System | nn.Module, obs: Observations) -> "Digraph":
    """Draw the graphical model of a program, or of a system's model and guide side by side.

    An ellipse is a random variable with the family of its distribution; a shaded one is observed.
    A shaded box is a modality that the program conditions on: it is data, but has no density there.
    The plate ``rows`` encloses the variables that each row has; all rows share the others. An arrow
    leads to a variable from the ones that its distribution depends on. Pyro's
    ``get_model_relations`` finds the arrows between random variables. An arrow from a conditioned
    modality is there where other values of that modality change the variable's density.

    Args:
        program: A model, a guide or a system.
        obs: Rows that say which modalities are there; the first eight are used. A modality that
            no row holds is latent: the model draws it.

    Returns:
        A ``graphviz.Digraph``, which a notebook displays. ``.source`` is its text, and
        :func:`save_graph` writes it as SVG, PNG or PDF.

    Raises:
        ModuleNotFoundError: Without the Python package ``graphviz``, the extra ``graph``.
        ValueError: For rows that do not fit the program.

    Example:
        >>> from functools import partial
        >>> from ppl_mm import Modality, Observations, likelihoods, networks, plotting, systems
        >>> x = Modality(
        ...     "x",
        ...     likelihoods.Normal(scale=1.0),
        ...     encoder=partial(networks.MLPEncoder, event_shape=(2,)),
        ...     decoder=partial(networks.MLPDecoder, event_shape=(2,)),
        ... )
        >>> system = systems.mvae([x], latent_dim=1)
        >>> drawn = plotting.graph(system.model, Observations({"x": torch.randn(4, 2)}))
        >>> "z -> x" in drawn.source
        True

    Source: the notation of plates follows Pyro's ``render_model``.
    """
    rows = obs[: min(len(obs), _MOST_ROWS)]
    drawn = _digraph()
    if isinstance(program, System):
        for name, part in (("model", program.model), ("guide", program.guide)):
            with drawn.subgraph(name=f"cluster_{name}") as side:
                side.attr(label=f"<<b>{name}</b>>", labelloc="t", color="transparent")
                _draw(side, _graph_of(part, rows), prefix=f"{name} ")
    else:
        _draw(drawn, _graph_of(program, rows))
    return drawn


@typed
def save_graph(drawn: Any, path: str | Path) -> None:
    """Write a diagram in the format of the file's ending: .svg, .png, .pdf or .gv.

    Args:
        drawn: The diagram that :func:`graph` returns.
        path: The file.

    Raises:
        ValueError: For another ending.
        ModuleNotFoundError: Where the program ``dot`` of Graphviz is not installed, for all
            formats but .gv.
    """
    from graphviz import ExecutableNotFound

    from ppl_mm.files import write_atomically

    path = Path(path)
    ending = path.suffix.removeprefix(".")
    if ending not in ("svg", "png", "pdf", "gv"):
        raise ValueError(f"{path}: expected a file that ends in .svg, .png, .pdf or .gv.")
    try:
        content = drawn.source.encode() if ending == "gv" else drawn.pipe(format=ending)
    except ExecutableNotFound as error:
        raise ModuleNotFoundError(
            f"{path}: the program dot is not installed: apt-get install graphviz (or brew, "
            "conda); a file that ends in .gv needs none."
        ) from error
    write_atomically(path, content)


def _graph_of(program: nn.Module, obs: Observations) -> _Graph:
    """The sites of a program on these rows, and what they depend on."""
    with one_thread(), torch.random.fork_rng(), torch.no_grad():
        relations = get_model_relations(program, (obs,))
        trace = poutine.trace(program).get_trace(obs)
        found = _Graph(
            sites={n: _FAMILIES.get(f, f) for n, f in relations["sample_dist"].items()},
            observed=set(relations["observed"]),
            in_rows={n for n in relations["sample_sample"] if of_rows(trace.nodes[n])},
            edges=[(a, b) for b, above in relations["sample_sample"].items() for a in above],
        )
        for name in obs.names:
            if bool(obs.evidence[name].any()) and name not in found.sites:
                dependent = _dependent(program, obs, trace, name)
                found.inputs += [name] if dependent else []
                found.edges += [(name, site) for site in dependent]
    return found


def _dependent(program: nn.Module, obs: Observations, trace: Trace, name: str) -> list[str]:
    """The sites whose density at their own values changes with the values of a modality."""
    before = _log_probs(program, obs, trace)
    after = _log_probs(program, obs.replace(name, obs[name].roll(1, 0)), trace)
    return [site for site, log_prob in before.items() if not torch.equal(log_prob, after[site])]


def _log_probs(program: nn.Module, obs: Observations, trace: Trace) -> dict[str, Tensor]:
    """The log-density of every site at the trace's values, nats."""
    again = poutine.trace(poutine.replay(program, trace=trace)).get_trace(obs)
    again.compute_log_prob()
    sites = [*again.stochastic_nodes, *again.observation_nodes]
    return {n: again.nodes[n]["log_prob"] for n in sites}


def _digraph() -> "Digraph":
    try:
        from graphviz import Digraph
    except ImportError as error:
        raise ModuleNotFoundError(
            "graph: needs the package graphviz: pip install 'ppl-mm[graph]'"
        ) from error
    return Digraph(
        graph_attr={"fontname": "Helvetica", "rankdir": "TB"},
        node_attr={"fontname": "Helvetica", "fontsize": "11", "style": "filled"},
        edge_attr={"arrowsize": "0.7"},
    )


def _draw(drawn: "Digraph", found: _Graph, prefix: str = "") -> None:
    def node(where: "Digraph", name: str) -> None:
        if name in found.inputs:
            look = {"label": name, "shape": "box", "fillcolor": _OBSERVED}
        else:
            fill = _OBSERVED if name in found.observed else _LATENT
            look = {"label": f"{name}\n{found.sites[name]}", "shape": "ellipse", "fillcolor": fill}
        where.node(prefix + name, **look)

    for name in found.sites:
        if name not in found.in_rows:
            node(drawn, name)
    with drawn.subgraph(name=f"cluster_{prefix}{ROWS}") as plate:
        plate.attr(label="rows", labelloc="b", labeljust="r", color="black", style="rounded")
        for name in [*found.inputs, *(n for n in found.sites if n in found.in_rows)]:
            node(plate, name)
    for above, below in found.edges:
        drawn.edge(prefix + above, prefix + below)
