"""Classifiers with an uncertainty of their own: a Gaussian process on a network's features.

    f_c   ~ GP(0, k)                       c = 1, ..., C
    k     = v exp( - 1/2 sum_d (h_d - h'_d)^2 / l_d^2 )      h: features of an image
    p(c)  = softmax(f(h))_c

The posterior of f is the variational one of M inducing points; far from the training features it
is as wide as the prior. Pyro's own ``VariationalSparseGP``, ``RBF`` and ``MultiClass``.

Source: Hensman, Matthews & Ghahramani 2015, arXiv:1411.2005.
"""

from collections.abc import Mapping

import pyro
import torch
from jaxtyping import Float, Integer, Shaped
from pyro.contrib import gp
from pyro.infer import TraceMeanField_ELBO
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.data.dataset import DataSet
from ppl_mm.oracles.outputs import check_classifiers, features_of
from ppl_mm.programs.answerable import check_held
from ppl_mm.training.minimise import Drawn, minimise, seeded

__all__ = ["GaussianProcessClassifier", "train_gaussian_process", "train_gaussian_processes"]


class GaussianProcessClassifier(nn.Module):
    """A classifier whose last layer is a sparse variational Gaussian process.

    Args:
        classifier: Module whose method ``features`` takes images (B, *event) to (B, D); only that
            is used.
        process: The process, on features, of latent shape (C,).

    Shapes:
        images (B, *event) to the means of f (B, C), which are logits.
    """

    def __init__(self, classifier: nn.Module, process: gp.models.VariationalSparseGP) -> None:
        super().__init__()
        self.classifier, self.process = classifier, process

    def forward(self, images: Shaped[Tensor, "B *D"]) -> Float[Tensor, "B C"]:
        """The means of f, (B, C)."""
        return self.latent(images)[0]

    def latent(
        self, images: Shaped[Tensor, "B *D"]
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C"]]:
        """Means and variances of q(f_c | image), (B, C) each, in float64."""
        features: Tensor = self.classifier.features(images)  # type: ignore[operator]
        with pyro.get_param_store().scope():  # a process enters its parameters by common names
            loc, variance = self.process(features.double())
        return loc.T, variance.T

    def probabilities(
        self,
        images: Shaped[Tensor, "B *D"],
        num_samples: int = 256,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "S B C"]:
        """Draws of the probabilities, p_k = softmax(f_k), f_k ~ q(f | image), (S, B, C).

        Args:
            images: (B, *event).
            num_samples: The number S of draws.
            generator: The generator of the draws, on the CPU; None is torch's own.
        """
        loc, variance = self.latent(images)
        noise = torch.randn(num_samples, *loc.shape, generator=generator, dtype=loc.dtype)
        return (loc + variance.sqrt() * noise.to(loc.device)).softmax(-1)


@typed
def train_gaussian_processes(
    dataset: DataSet,
    classifiers: Mapping[str, nn.Module],
    *,
    num_inducing: int = 100,
    num_steps: int = 2000,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, GaussianProcessClassifier]:
    """A Gaussian process on the features of every classifier, see :func:`train_gaussian_process`.

    Args:
        dataset: A data set with classes.
        classifiers: Modality -> classifier, as :func:`train_classifiers` returns. Each is
            trained on the training rows that hold its modality.
        num_inducing: The number M of inducing points.
        num_steps: The number of steps of Adam.
        seed: The seed of the inducing points, batches and draws.
        progress: Whether to show a bar for each.

    Raises:
        ValueError: For unknown modalities, or a data set without classes.

    Example:
        ``train_gaussian_processes(dataset, train_classifiers(dataset))``
    """
    labels, train = dataset.classes("train").cpu(), dataset.train
    check_classifiers(classifiers, train)
    out = {}
    check_held(train, classifiers)
    for name, classifier in classifiers.items():
        known = train.held_whole(name).cpu() & (labels >= 0)
        out[name] = train_gaussian_process(
            classifier,
            train[name].cpu()[known],
            labels[known],
            dataset.num_classes or int(labels.max()) + 1,
            num_inducing=num_inducing,
            num_steps=num_steps,
            seed=seed,
            progress=f"Gaussian process of {name}" if progress else None,
        )
    return out


@typed
def train_gaussian_process(
    classifier: nn.Module,
    images: Shaped[Tensor, "N *D"],
    labels: Integer[Tensor, " N"],
    num_classes: int,
    *,
    num_inducing: int = 100,
    num_steps: int = 2000,
    batch_size: int = 256,
    lr: float = 0.01,
    seed: int = 0,
    progress: str | None = None,
) -> GaussianProcessClassifier:
    """Fit inducing points, their posterior and the kernel by stochastic variational inference.

    The inducing points begin as features of training images. The length scales, one for each
    feature, begin as the root of the features' summed variances. The learning rate falls to 0. The
    classifier does not change.

    Args:
        classifier: Module with a method ``features``; on its device the process is trained.
        images: (N, *event).
        labels: Classes from 0, (N,).
        num_classes: The number C of processes.
        num_inducing: The number M of inducing points, at most N.
        num_steps: The number of steps of Adam on the ELBO.
        batch_size: The number of images per step, drawn with replacement.
        lr: The learning rate of Adam.
        seed: The seed of the inducing points, batches and draws; torch's own generators are left
            alone, and so is Pyro's parameter store.
        progress: The text before a bar; None for no bar.

    Raises:
        ValueError: For labels that do not fit, fewer images than inducing points, or features
            that are the same for all images.

    Example:
        >>> class Pixels(nn.Module):
        ...     def features(self, images):
        ...         return images.flatten(1)
        >>> images = torch.tensor([-1.0, 1.0]).repeat(50).reshape(100, 1)
        >>> labels = (images[:, 0] > 0).long()
        >>> options = {"num_inducing": 5, "num_steps": 50}
        >>> found = train_gaussian_process(Pixels(), images, labels, 2, **options)
        >>> found(torch.tensor([[-1.0], [1.0]])).argmax(-1)
        tensor([0, 1])
    """
    if (
        labels.shape != (len(images),)
        or not 0 <= int(labels.min()) <= int(labels.max()) < num_classes
    ):
        raise ValueError(
            f"labels: expected one class of 0 to {num_classes - 1} an image, ({len(images)},), got "
            f"{tuple(labels.shape)} from {int(labels.min())} to {int(labels.max())}."
        )
    if len(images) < num_inducing:
        raise ValueError(
            f"num_inducing: expected at most {len(images)}, the number of images, got "
            f"{num_inducing}."
        )
    device = next((p.device for p in classifier.parameters()), images.device)
    features = features_of(classifier, images).double().to(device)
    labels = labels.to(device)
    with seeded(seed, device), pyro.get_param_store().scope():
        process = _process(features, num_classes, num_inducing)
        elbo = TraceMeanField_ELBO()

        def loss(rows: Tensor) -> Tensor:
            process.set_data(features[rows.to(device)], labels[rows.to(device)])
            return elbo.differentiable_loss(process.model, process.guide)

        batches = Drawn(len(features), batch_size, num_steps)
        minimise(process, loss, batches, learning_rate=lr, decay=True, progress=progress)
    return GaussianProcessClassifier(classifier, process).eval()


def _process(
    features: Tensor, num_classes: int, num_inducing: int
) -> gp.models.VariationalSparseGP:
    """The untrained process, its inducing points some of the features, (N, D)."""
    spread = features.var(0).sum().sqrt()
    if not bool(spread > 0):
        raise ValueError("expected features that differ from image to image; all are the same.")
    size = features.shape[1]
    kernel = gp.kernels.RBF(size, features.new_ones(()), spread.repeat(size))
    rows = torch.randperm(len(features))[:num_inducing].to(features.device)
    return gp.models.VariationalSparseGP(
        features[:1],
        None,
        kernel,
        features[rows],
        gp.likelihoods.MultiClass(num_classes),
        latent_shape=torch.Size([num_classes]),
        num_data=len(features),
        whiten=True,
    )
