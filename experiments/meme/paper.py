"""The numbers of MEME's paper, and runs by setting."""

from ppl_mm.experiments.meme.experiment import Config
from ppl_mm.experiments.meme.likelihood import BOTH
from ppl_mm.experiments.tables import Record, Runs, length

__all__ = ["EPOCHS", "FRACTIONS", "PAPER", "TITLES", "TRUTH", "name_of", "rows_of"]

TITLES = {"meme": "MEME", "mmvae": "MMVAE", "mvae": "MVAE"}
FRACTIONS = (1, 0.5, 0.25, 0.125, 0.0625)
EPOCHS = {"mnist_svhn": "100", "cub": "300"}
# Tables 3 to 6 of Joy et al. 2022, on MNIST-SVHN and CUB, by the modality of unpaired rows, at the
# fractions above. MMVAE learns from pairs alone there, so it has the first value only.
PAPER: dict[str, dict[str, tuple[float, ...]]] = {
    "coherence, mnist to svhn": {
        "MEME, svhn": (0.625, 0.551, 0.323, 0.172, 0.143),
        "MEME, mnist": (0.625, 0.572, 0.485, 0.470, 0.451),
        "MEME, split": (0.625, 0.625, 0.503, 0.467, 0.387),
        "MMVAE": (0.581,),
        "MVAE, svhn": (0.123, 0.110, 0.112, 0.105, 0.105),
        "MVAE, mnist": (0.123, 0.111, 0.112, 0.116, 0.116),
        "MVAE, split": (0.123, 0.108, 0.101, 0.101, 0.101),
    },
    "coherence, svhn to mnist": {
        "MEME, svhn": (0.752, 0.726, 0.652, 0.557, 0.477),
        "MEME, mnist": (0.752, 0.715, 0.603, 0.546, 0.446),
        "MEME, split": (0.752, 0.718, 0.621, 0.568, 0.503),
        "MMVAE": (0.735,),
        "MVAE, svhn": (0.498, 0.305, 0.268, 0.220, 0.188),
        "MVAE, mnist": (0.498, 0.365, 0.350, 0.302, 0.249),
        "MVAE, split": (0.498, 0.338, 0.273, 0.249, 0.169),
    },
    "latent accuracy, mnist": {
        "MEME, svhn": (0.908, 0.881, 0.870, 0.815, 0.795),
        "MEME, mnist": (0.908, 0.882, 0.844, 0.824, 0.807),
        "MEME, split": (0.908, 0.914, 0.893, 0.883, 0.856),
        "MMVAE": (0.886,),
        "MVAE, svhn": (0.892, 0.895, 0.890, 0.887, 0.880),
        "MVAE, mnist": (0.892, 0.895, 0.898, 0.896, 0.895),
        "MVAE, split": (0.892, 0.898, 0.895, 0.894, 0.898),
    },
    "latent accuracy, svhn": {
        "MEME, svhn": (0.648, 0.549, 0.295, 0.149, 0.113),
        "MEME, mnist": (0.648, 0.581, 0.398, 0.384, 0.362),
        "MEME, split": (0.648, 0.675, 0.507, 0.432, 0.316),
        "MMVAE": (0.499,),
        "MVAE, svhn": (0.131, 0.106, 0.107, 0.105, 0.102),
        "MVAE, mnist": (0.131, 0.106, 0.106, 0.107, 0.101),
        "MVAE, split": (0.131, 0.107, 0.109, 0.104, 0.100),
    },
    "mutual information, mnist": {
        "MEME, svhn": (0.075, 0.086, 0.101, 0.102, 0.103),
        "MEME, mnist": (0.073, 0.087, 0.101, 0.099, 0.104),
        "MMVAE": (0.105,),
        "MVAE, svhn": (0.110, 0.107, 0.106, 0.106, 0.142),
        "MVAE, mnist": (0.110, 0.102, 0.100, 0.100, 0.093),
    },
    "mutual information, svhn": {
        "MEME, svhn": (0.036, 0.047, 0.071, 0.107, 0.134),
        "MEME, mnist": (0.036, 0.048, 0.085, 0.111, 0.142),
        "MMVAE": (0.042,),
        "MVAE, svhn": (0.163, 0.166, 0.165, 0.164, 0.176),
        "MVAE, mnist": (0.163, 0.175, 0.170, 0.174, 0.182),
    },
    "correlation, image to caption": {
        "MEME, image": (0.064, 0.042, 0.026, 0.029),
        "MEME, caption": (0.064, 0.062, 0.048, 0.052),
        "MEME, split": (0.064, 0.046, 0.031, 0.027),
        "MMVAE": (0.060,),
        "MVAE, image": (-0.002, -0.000, 0.001, -0.001),
        "MVAE, caption": (-0.002, -0.000, 0.000, 0.001),
        "MVAE, split": (-0.002, 0.000, 0.000, -0.001),
    },
    "correlation, caption to image": {
        "MEME, image": (0.074, 0.058, 0.051, 0.046),
        "MEME, caption": (0.074, 0.059, 0.050, 0.053),
        "MEME, split": (0.074, 0.061, 0.047, 0.049),
        "MMVAE": (0.058,),
        "MVAE, image": (-0.002, -0.002, -0.002, -0.001),
        "MVAE, caption": (0.002, -0.001, -0.003, -0.002),
        "MVAE, split": (-0.002, -0.002, -0.002, -0.002),
    },
}
TRUTH = 0.106  # The paper's score of real pairs.


def rows_of(records: list[Record]) -> dict[tuple[str, str], dict[float, Runs]]:
    """Return (system and scheme, length) -> fraction -> seeds.

    Complete rows belong to every scheme of their system's runs of that length, or to none.
    """
    schemes: dict[tuple[str, str], set[str]] = {}
    for record in records:
        kind = name_of(record), length(record["config"])
        few = {record["config"]["scheme"]} if record["config"]["fraction"] < 1 else set()
        schemes[kind] = schemes.get(kind, set()) | few
    found: dict[tuple[str, str], dict[float, Runs]] = {}
    for record in sorted(records, key=lambda r: (name_of(r), -r["config"]["fraction"])):
        config = record["config"]
        name, made = name_of(record), length(config)
        complete = sorted(schemes[name, made]) or ["-"]
        for scheme in complete if config["fraction"] == 1 else [config["scheme"]]:
            row = found.setdefault((f"{name}, {scheme}", made), {})
            row.setdefault(config["fraction"], []).append(record)
    return found


def name_of(record: Record) -> str:
    """Return the system's name, with the options of it that were set."""
    config = Config(**record["config"])
    title = TITLES[config.system]
    if config.system != "meme":
        return title if config.family == "normal" else f"{title} ({config.family})"
    alone = "" if config.direction == BOTH else f", {config.direction} alone"
    return f"{title} ({config.preset}{alone})"
