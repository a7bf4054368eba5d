"""The numbers of the CMMD paper's tables, and records by setting."""

from ppl_mm.experiments import tables
from ppl_mm.experiments.cmmd.config import Config
from ppl_mm.experiments.tables import Record, Runs

__all__ = ["FOLDS", "PAPER", "QUOTED", "SPEAKERS", "TITLES", "by_data", "name_of", "settings"]

# Tables of Mancisidor et al. 2023, with errors as shares.
PAPER = {  # Table 2; mir_flickr has mean average precision in %.
    "two_view_mnist": {
        "cmmd": 0.024,
        "vcca": 0.030,
        "vcca_private": 0.024,
        "mvae": 0.060,
        "mmvae": 0.123,
        "classifier": 0.131,
        "cca": 0.191,
        "dcca": 0.047,
        "dccae": 0.044,
        "mvcl": 0.027,
    },
    "xrmb": {
        "cmmd": 0.211,
        "vcca": 0.280,
        "vcca_private": 0.252,
        "mvae": 0.398,
        "mmvae": 0.374,
        "classifier": 0.376,
        "cca": 0.294,
        "dcca": 0.254,
        "dccae": 0.254,
        "mvcl": 0.246,
    },
    "mir_flickr": {
        "cmmd": 64.1,
        "vcca": 60.5,
        "vcca_private": 61.5,
        "mvae": 65.0,
        "mmvae": 50.0,
        "classifier": 48.0,
        "cca": 52.9,
        "dcca": 57.3,
        "dccae": 57.3,
        "mvcl": 56.5,
    },
}
# Table 2's methods that its authors quote; their runs are not made here.
QUOTED = {
    "RBM-MDL": {"two_view_mnist": 0.117, "xrmb": 0.294, "mir_flickr": 47.7},
    "DCCA, pretrained": {"two_view_mnist": 0.029},
    "DCCAE, pretrained": {"two_view_mnist": 0.022},
}
FOLDS: dict[str, dict[str, tuple[float, ...]]] = {  # Table 1: error and RMSE of each fold.
    "classifier": {"error": (0.399, 0.365, 0.549, 0.480)},
    "vcca": {"error": (0.402, 0.406, 0.554, 0.472)},
    "mvae": {"error": (0.455, 0.442, 0.568, 0.517), "rmse": (1.07, 1.06, 1.09, 1.07)},
    "mmvae_elbo": {"error": (0.549, 0.494, 0.619, 0.591), "rmse": (1.29, 1.28, 1.17, 1.23)},
    "mmvae": {"error": (0.489, 0.470, 0.602, 0.537), "rmse": (0.77, 0.79, 0.83, 0.82)},
    "cmmd": {"error": (0.324, 0.312, 0.474, 0.382), "rmse": (0.74, 0.75, 0.77, 0.80)},
}
SPEAKERS = {  # Table 8: RMSE and error.
    7: (0.80, 0.158),
    16: (0.76, 0.214),
    20: (0.73, 0.162),
    21: (0.78, 0.258),
    23: (0.79, 0.268),
    28: (0.57, 0.225),
    31: (0.77, 0.206),
    35: (0.78, 0.202),
}
TITLES = {
    "cmmd": "CMMD",
    "vcca": "VCCA",
    "vcca_private": "VCCA-private",
    "mvae": "MVAE",
    "mmvae_elbo": "MMVAE ELBO",
    "mmvae": "MMVAE",
    "classifier": "classifier M-x_O",
    "matched": "classifier, CMMD's networks",
    "cca": "linear CCA",
    "dcca": "DCCA",
    "dccae": "DCCAE",
    "mvcl": "MVCL",
}


def settings(records: list[Record]) -> list[Runs]:
    """Group the records that differ in the seed alone; options that a record lacks are defaults."""
    return tables.settings(tables.filled(records, Config), list(TITLES))


def by_data(records: list[Record]) -> dict[str, list[Record]]:
    """Group records by data set, with the fold or the speaker of XRMB."""
    found: dict[str, list[Record]] = {}
    for r in records:
        dataset, split = r["config"].get("dataset", "two_view_mnist"), r["config"].get("split", 0)
        fold = f"_{split}" if dataset == "xrmb" and split else ""
        fold += f"_speaker_{r['config']['speaker']}" if r["config"].get("speaker") else ""
        found.setdefault(f"{dataset}{fold}", []).append(r)
    return found


def name_of(runs: Runs) -> str:
    """A setting's name in tables and pictures."""
    config = runs[0]["config"]
    title = TITLES[config["system"]]
    if config["system"] == "cmmd":
        title += f" from {config['observed']}" if config["observed"] else ""
        title += f", omega {config['omega']:g}"
        title += "" if config["label_reduction"] == "sum" else ", mean label"
        title += f", scale {config['scale']:g}" if config.get("scale") else ""
    return f"{title} ({len(runs)} seeds)" if len(runs) > 1 else title
