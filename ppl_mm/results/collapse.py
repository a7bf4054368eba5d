"""The share of collapsed coordinates, and its curves for several systems side by side.

Source: Mancisidor et al. 2023 (CMMD), doi:10.1016/j.neunet.2023.10.048, figure 3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.style import COLOURS, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Collapse", "collapse_curves"]

_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Collapse(Result):
    """The epsilon from which on each coordinate is collapsed, and the curve.

    Attributes:
        quantity: The name of v.
        thresholds: The smallest epsilon at which each coordinate is collapsed, (D,).
        delta: The share of rows that may exceed epsilon.
        epsilons: The values at which the curve is drawn, (E,).

    Example:
        >>> values = torch.tensor([[0.1, 2.0], [0.3, 1.0]])  # two rows, two coordinates
        >>> from ppl_mm.evaluation import collapse_of
        >>> found = collapse_of(values, epsilons=torch.tensor([0.2, 0.3, 5.0]))
        >>> found.thresholds, found.fractions
        (tensor([0.3000, 2.0000]), tensor([0.0000, 0.5000, 1.0000]))
    """

    quantity: str
    thresholds: Tensor
    delta: float
    epsilons: Tensor

    def at(self, epsilon: float) -> float:
        """The share of coordinates that are collapsed at epsilon, in [0, 1]."""
        return (self.thresholds <= epsilon).double().mean().item()

    @property
    def fractions(self) -> Float[Tensor, " E"]:
        """The share at each of ``epsilons``, (E,)."""
        collapsed = self.thresholds <= self.epsilons[:, None]
        return collapsed.to(self.epsilons).mean(1)

    def numbers(self) -> Iterator[Number]:
        """The curve: the share of collapsed coordinates at each epsilon."""
        measure = f"collapsed share of {self.quantity}"
        for epsilon, share in zip(self.epsilons.tolist(), self.fractions.tolist(), strict=True):
            yield number(measure, share, epsilon=epsilon)

    def figure(self) -> "Figure":
        """The curve, see :func:`ppl_mm.plotting.collapse_curves`."""
        return collapse_curves({self.quantity: {f"delta {self.delta:g}": self}})

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers for JSON."""
        return {
            "quantity": self.quantity,
            "delta": self.delta,
            "epsilons": self.epsilons.tolist(),
            "fractions": self.fractions.tolist(),
            "thresholds": self.thresholds.tolist(),
        }


@typed
def collapse_curves(panels: Mapping[str, Mapping[str, Collapse]]) -> "Figure":
    """The share of collapsed coordinates against epsilon, with a panel for each question.

    Each system has a curve, of the same colour in every panel; it need not be in all panels.

    Args:
        panels: Title -> system's name -> its curve, see
            :func:`ppl_mm.evaluation.posterior_collapse`.

    Raises:
        ValueError: For no panel, or one without curves.
    """
    from ppl_mm.results.picture import Picture

    if not panels or not all(panels.values()):
        raise ValueError("collapse_curves: expected panels with curves, got none.")
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    figure = Picture(figsize=(3.1 * len(panels) + 1.4, 2.9), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    lines = {}
    for axes, (title, curves) in zip(all_axes, panels.items(), strict=True):
        for name, curve in curves.items():
            i = names.index(name)
            (lines[name],) = axes.plot(
                curve.epsilons.cpu().numpy(),
                100 * curve.fractions.cpu().numpy(),
                label=name,
                color=COLOURS[i % len(COLOURS)],
                linestyle=_DASHES[i // len(COLOURS) % len(_DASHES)],
            )
        axes.set_title(title, fontsize="medium")  # Longer titles than these would overlap.
        axes.set(xlabel="epsilon", ylim=(-3, 103))
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("collapsed coordinates, %")
    figure.legend([lines[n] for n in names], names, loc="outside right center", frameon=False)
    return figure
