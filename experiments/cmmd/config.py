"""The options of the CMMD paper's runs, and the task of each of its data sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ppl_mm.experiments.options import Only, Options, of
from ppl_mm.objectives.options import LabelReduction

__all__ = [
    *("BASELINES", "CLASSIFIERS", "CMMD", "FIRST", "LABEL", "SMOKE", "SMOKE_OF_OTHERS", "TASKS"),
    *("Config", "Task", "task_of"),
]

LABEL = "label"
CLASSIFIERS = ("classifier", "matched")
BASELINES = (*CLASSIFIERS, "cca", "dcca", "dccae", "mvcl")
FIRST = "cmmd_first"
CMMD = ("cmmd", FIRST)
_OTHERS = ("vcca", "vcca_private", "mvae", "mmvae", "mmvae_elbo")
_DATASETS = ("two_view_mnist", "mnist_svhn", "mnist_rotated_svhn", "xrmb", "mir_flickr")
_NONE_HELD_OUT = ("mnist_svhn", "mnist_rotated_svhn", "xrmb")
_ITERATED = (*CMMD, *_OTHERS, *(name for name in BASELINES if name != "cca"))


@dataclass(frozen=True)
class Config(Options):
    """The options of one run.

    Attributes:
        system: cmmd, vcca, vcca_private, mvae, mmvae (IWAE) or mmvae_elbo; or a baseline:
            classifier, matched, cca, dcca, dccae or mvcl.
        dataset: two_view_mnist, mnist_svhn, mnist_rotated_svhn, xrmb or mir_flickr.
        split: The split of the data set. For xrmb, 0 is all speakers and 1 to 4 are folds;
            mir_flickr has 1 to 5.
        speaker: The speaker of xrmb whose frames both train (70 %) and test; 0 takes the split's
            speakers.
        observed: The modalities that are observed at test time, joined by +; empty for those of the
            data set's task.
        omega: CMMD's omega.
        scale: The fixed scale of CMMD's Gaussian decoders; with None the scale is learned.
        held_out: Whether CMMD also leaves a tenth of the training rows for validation, which
            chooses omega, if the data set has no validation rows.
        alpha: CMMD's factor of the label's cross-entropy.
        label_reduction: How CMMD reduces the label's term: sum, as in its release, or mean, as in
            its paper.
        num_particles: The K of MMVAE with IWAE.
        epochs: The number of passes through the training rows; CCA makes none.
        batch_size: The number of rows per step (800 in the paper's DCCA and DCCAE).
        latent_dim: The size of z, or the number of projections.
        clip_norm: The largest norm of the gradient; None sets no bound. Unbounded log-variances can
            run away at learning rates above the paper's.
        annealing_epochs: The number of epochs over which beta grows from 0 to 1, in systems that
            have a beta (VCCA, MVAE, MMVAE).
        unlabelled: The number of mir_flickr's photographs without labels. CMMD starts at a first
            stage, trained on them alone; methods that see no label train on them too.
        unlabelled_epochs: The number of epochs of CMMD's first stage.
        num_train: The number of training rows: the first of the data set, or of a random order if
            it has no validation rows. None takes all.
        num_test: The number of rows of the test part and of the validation part; None takes all.
    """

    experiment: ClassVar[str] = "cmmd"
    of_measures: ClassVar[tuple[str, ...]] = ("num_test",)
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "system": (*CMMD, *_OTHERS, *BASELINES),
        "dataset": _DATASETS,
    }
    only: ClassVar[Only] = {
        **of("omega", "alpha", "label_reduction", system=CMMD),
        **of("scale", system=CMMD, dataset=("two_view_mnist", "mnist_svhn", "xrmb")),
        **of("held_out", system=(*CMMD, *CLASSIFIERS), dataset=_NONE_HELD_OUT),
        **of("num_particles", system=("mmvae",)),
        **of("annealing_epochs", system=_OTHERS),
        **of("split", dataset=("xrmb", "mir_flickr")),
        **of("speaker", dataset=("xrmb",), split=(0,)),
        **of("unlabelled", dataset=("mir_flickr",)),
        **of("unlabelled_epochs", dataset=("mir_flickr",), system=CMMD),
        **of("latent_dim", system=(*CMMD, *_OTHERS, *BASELINES[1:])),
        **of("epochs", "batch_size", "lr", system=_ITERATED),
        **of("clip_norm", "precision", system=(*CMMD, *_OTHERS)),
    }

    system: str = "cmmd"
    dataset: str = "two_view_mnist"
    split: int = 0
    speaker: int = 0
    observed: str = ""
    omega: float = 0.4
    scale: float | None = None
    held_out: bool = False
    alpha: float = 10.0
    label_reduction: LabelReduction = "sum"
    num_particles: int = 10
    epochs: int = 1000
    latent_dim: int = 50
    lr: float = 1e-4
    annealing_epochs: int = 0
    unlabelled: int = 0
    unlabelled_epochs: int = 0
    num_train: int | None = None
    num_test: int | None = None
    checkpoint_every: int = 10
    out: str = "runs/cmmd"

    def __post_init__(self) -> None:
        """Refuse what the run does not have, and modalities of other data."""
        super().__post_init__()
        task_of(self)

    @property
    def data_name(self) -> str:
        """The data set with its split or speaker; 0 is left out."""
        split = f"_{self.split}" if self.split else ""
        return f"{self.dataset}{split}" + (f"_speaker_{self.speaker}" if self.speaker else "")

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        parts = [self.data_name, self.system]
        parts += [self.observed] if self.observed else []
        parts += [f"{self.omega:g}", self.label_reduction] if "cmmd" in self.system else []
        parts += [f"scale_{self.scale:g}"] if self.scale else []
        parts += ["held_out"] if self.held_out else []
        return "-".join([*parts, str(self.epochs), str(self.seed)])


@dataclass(frozen=True)
class Task:
    """The task of one data set.

    Attributes:
        observed: The modalities that are observed at test time.
        missing: The modalities that are observed in training only.
        networks: Options of :func:`ppl_mm.systems.cmmd`, after appendix C; the weights are those of
            the release.
        classifier: CMMD's layers from z to the label.
        baseline: The layers of M-x_O, with the sizes of the release's classifier.
        several: Whether a row has several labels; mean average precision then takes the place of
            the error.
        variance: Whether to look for collapse of the decoder's variance, as figure 3 does.
    """

    observed: tuple[str, ...]
    missing: tuple[str, ...]
    networks: dict[str, Any] = field(hash=False)
    classifier: tuple[int, ...] = (50, 50)
    baseline: tuple[int, ...] = (70, 70)
    several: bool = False
    variance: bool = False

    @property
    def views(self) -> tuple[str, str]:
        """The two modalities of methods for two."""
        return self.observed[0], self.missing[0]


def _dense(hidden: tuple[int, ...], prior_hidden: tuple[int, ...]) -> dict[str, Any]:
    sizes: dict[str, Any] = {"hidden": hidden, "prior_hidden": prior_hidden}
    return sizes | {"activation": "softplus", "dropout": 0.2, "init_scale": 1e-3}


# Appendix C gives three modalities the encoder of two views and the decoders of table H.3, which
# see z alone. It does not give the prior; here it is that of the table's other columns.
_CONVOLUTIONAL = _dense(3 * (2500,), ()) | {
    "init_scale": None,
    "vectorised": True,
    "condition_decoder_on_observed": False,
}
TASKS = {
    "two_view_mnist": Task(("rotated",), ("noisy",), _dense(3 * (2500,), 3 * (1024,))),
    "mnist_svhn": Task(("mnist",), ("svhn",), _dense((400,), (400,))),
    "mnist_rotated_svhn": Task(("mnist",), ("rotated", "svhn"), _CONVOLUTIONAL),
    "xrmb": Task(
        ("acoustic",),
        ("articulatory",),
        _dense(3 * (3000,), 3 * (1500,)),
        classifier=(100, 100),
        baseline=(100, 100),
        variance=True,
    ),
    "mir_flickr": Task(
        ("image",),
        ("tags",),
        _dense(4 * (2048,), 4 * (1024,)),
        classifier=(1550, 1550),
        baseline=(1550, 1550),
        several=True,
    ),
}
"""Data set -> its task."""


def task_of(config: Config) -> Task:
    """Return the run's task; ``config.observed`` moves modalities to those that it observes.

    Raises:
        ValueError: If none or all of the data set's modalities would be observed.
    """
    task = TASKS[config.dataset]
    if not config.observed:
        return task
    names, asked = (*task.observed, *task.missing), config.observed.split("+")
    if not set(asked) < set(names):
        raise ValueError(
            f"observed: expected some of {', '.join(names)}, not all, joined by +, got "
            f"{config.observed!r}."
        )
    missing = tuple(n for n in names if n not in asked)
    return replace(task, observed=tuple(n for n in names if n in asked), missing=missing)


SMOKE = Config(
    epochs=1,
    rows=500,
    batch_size=20,
    latent_dim=4,
    num_train=40,
    num_test=40,
    device="cpu",
)
SMOKE_OF_OTHERS = {"num_particles": 2, "unlabelled": 5, "unlabelled_epochs": 1}
