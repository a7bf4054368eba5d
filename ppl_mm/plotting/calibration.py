"""The reliability diagram of predicted probabilities.

Source: Guo et al. 2017, arXiv:1706.04599, figure 1; Niculescu-Mizil & Caruana 2005.
"""

from matplotlib.figure import Figure

from ppl_mm.arguments.typed import typed
from ppl_mm.measures.calibration import Calibration
from ppl_mm.plotting.tiles import BLUE, ORANGE, PALE

__all__ = ["reliability_diagram"]


@typed
def reliability_diagram(found: Calibration) -> Figure:
    """What came true against what was predicted, bin by bin, above how much was predicted.

    Points below the dashed line are overconfident. Bars are one standard error.

    Args:
        found: Of :func:`ppl_mm.measures.calibration`.
    """
    bins = found.reliability()
    filled = bins.count > 0
    figure = Figure(figsize=(4.2, 4.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], linestyle="--", color="black", linewidth=0.8)
    above.errorbar(
        bins.predicted[filled].numpy(),
        bins.happened[filled].numpy(),
        yerr=bins.standard_error[filled].numpy(),
        fmt="o-",
        color=BLUE,
        markersize=4,
    )
    given = "" if found.given is None else f" given {' + '.join(found.given) or 'nothing'}"
    above.set(
        title=f"{found.label}{given}\nECE {found.ece()}",
        ylabel="share that came true",
        xlim=(0, 1),
        ylim=(-0.02, 1.02),
    )
    below.hist(found.predicted.flatten().numpy(), bins=found.num_bins, range=(0, 1), color=ORANGE)
    below.set(xlabel="predicted probability", ylabel="predictions")
    for axes in (above, below):
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
