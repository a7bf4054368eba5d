"""The parts of a loss: the share of each modality and latent, and of each term."""

import torch
from pyro.infer import ELBO, Trace_ELBO
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.objectives import Reweighted, trace_pair
from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.weights import divergence
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating
from ppl_mm.training.callbacks import Callback
from ppl_mm.training.state import Training

__all__ = ["LossParts", "elbo_by_site", "loss_parts"]

_SMALL = 1e-4  # Rounding, as a share of the loss.


class LossParts(Callback):
    """Add the parts of the loss to the history after each epoch.

    They are those of :func:`loss_parts`, the KL of each latent as ``KL/z``, and the norm of the
    last step's gradient after clipping as ``gradient_norm``. They cost about as much as one step.

    Args:
        rows: The rows whose loss it is; by default the first 256 training rows, transformed.

    Example:
        >>> from ppl_mm import data, fit, systems
        >>> digits = data.load("digits")
        >>> system = systems.vae(digits.modalities[:1], digits.latent_dim)
        >>> rows = digits.train.drop("bottom", "label")
        >>> options = {"epochs": 1, "batch_size": 600, "progress": False}
        >>> result = fit(system, rows, callbacks=[LossParts()], **options)
        >>> list(result.history[0])
        ['epoch', 'loss', 'bound', 'seconds', 'gradient_norm', 'share/z', 'share/top', 'KL/z']
    """

    def __init__(self, rows: Observations | None = None) -> None:
        self.part_rows = rows
        self.found: dict[str, float] = {}

    def after_step(self, training: Training) -> None:
        """Measure at the epoch's last step, with its beta."""
        if training.step == training.steps:
            rows = training.some_rows() if self.part_rows is None else self.part_rows
            self.found = {"gradient_norm": training.gradient_norm()}
            self.found |= loss_parts(training.system, rows)
            sites = elbo_by_site(training.system, rows)
            self.found |= {name: x for name, x in sites.items() if name.startswith("KL/")}

    def after_epoch(self, training: Training) -> None:
        """Add the parts to the epoch's row."""
        training.history[-1] |= self.found


def loss_parts(system: System, obs: Observations, *, seed: int = 0) -> dict[str, float]:
    """The parts of a system's loss, in nats per row: by site, and by term where there are several.

        The share of a site is the derivative of the loss by the logarithm of a factor of the site's
        log-probability, in model and guide:

            share/s  =  d loss / d c_s  at c = 1,   c_m log p(x_m | z),  c_z (log p(z) - log q(z))

        An ELBO is linear in these factors: ``share/m`` is minus the modality's weighted
        log-likelihood, ``share/z`` the KL times beta, and they add up to the loss. Under importance
        weights they are means by the normalised weights. ``share/rest`` is what no site has, such
        as an MMD; it is absent where the shares add up. ``term/...`` names the parts that
        ``objective.by_term`` has; they add up too.

    Args:
        system: The system; the current stage and annealing of its objective count. Of Pyro's own
            objectives it takes ``Trace_ELBO`` and ``TraceMeanField_ELBO``; others have no parts.
        obs: The rows.
        seed: The seed of the draws.

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.load("digits")
        >>> system = systems.jmvae(digits.modalities, digits.latent_dim)
        >>> parts = loss_parts(system, digits.test[:5])
        >>> sorted(name for name in parts if name.startswith("share/"))
        ['share/bottom', 'share/label', 'share/top', 'share/z']
        >>> loss = sum(x for name, x in parts.items() if name.startswith("share/"))
        >>> terms = sum(x for name, x in parts.items() if name.startswith("term/"))
        >>> abs(loss - terms) < 1e-3 * abs(loss)
        True
    """
    objective = system.objective
    if not isinstance(getattr(objective, "elbo", objective), Objective | Trace_ELBO):
        return {}
    rows = obs.to(system)
    with evaluating(system, seed), _Factors() as factors, torch.enable_grad():
        terms = _terms(objective, system, rows)
        loss = torch.stack([term.sum() for term in terms.values()]).sum()
        slopes = torch.autograd.grad(loss, list(factors.found.values()), allow_unused=True)
    found = zip(factors.found, slopes, strict=True)
    shares = {name: _mean(slope, rows) for name, slope in found if slope is not None}
    rest = _mean(loss, rows) - sum(shares.values())
    if abs(rest) > _SMALL * sum(map(abs, shares.values())):
        shares["rest"] = rest
    parts = {f"share/{name}": share for name, share in shares.items()}
    if len(terms) > 1:
        parts |= {f"term/{name}": _mean(value, rows) for name, value in terms.items()}
    return parts


def _terms(objective: ELBO, system: System, rows: Observations) -> dict[str, Tensor]:
    """The loss by term: of every row, or one number."""
    if isinstance(objective, Objective):
        found = objective.by_term(system.model, system.guide, rows)
        return {name: -value for name, value in found.items()}
    assert isinstance(objective, Trace_ELBO | Reweighted)
    return {"bound": objective.differentiable_loss(system.model, system.guide, rows)}


def _mean(value: Tensor, rows: Observations) -> float:
    return float(value.detach().sum()) / len(rows)


class _Factors(Messenger):
    """Inside, each site's log-probability has a factor 1, which ``found`` has by site."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Tensor] = {}

    def _pyro_sample(self, msg: Message) -> None:
        if type(msg["fn"]).__name__ != "_Subsample":
            one = self.found.setdefault(msg["name"], torch.ones((), requires_grad=True))
            msg["scale"] = msg["scale"] * one


def elbo_by_site(system: System, obs: Observations, *, seed: int = 0) -> dict[str, float]:
    """Estimate the ELBO of log p(x_present) site by site with one draw: means over rows, in nats.

        The result has E_q[log p(x_m | z)] of each modality as ``log p/m``, and KL(q || p) of each
        latent as ``KL/z``.

    Args:
        system: The system of model and guide.
        obs: The rows; a modality that a row lacks counts as 0.
        seed: The seed of the draws.

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, digits.latent_dim)
        >>> list(elbo_by_site(system, digits.test[:5]))
        ['log p/top', 'log p/bottom', 'log p/label', 'KL/z']
    """
    with evaluating(system, seed):
        p, q = trace_pair(system.model, system.guide, obs.to(system))
        p.compute_log_prob()
        found = {
            f"log p/{name}": _mean(p.nodes[name]["log_prob"], obs) for name in p.observation_nodes
        }
        for name in q.stochastic_nodes:
            if name in p.nodes:
                found[f"KL/{name}"] = _mean(divergence(p.nodes[name], q.nodes[name]), obs)
    return found
