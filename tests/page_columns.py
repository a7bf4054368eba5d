"""What each page shows of the paper's tables and figures: columns, rows of the paper, pictures."""

from collections.abc import Iterable

__all__ = ["PICTURES", "TEXT"]


def papers(*names: str) -> list[str]:
    """The rows of a page that have the paper's numbers of these systems."""
    return [f"| *{name}, paper* |" for name in names]


def all_of(tables: Iterable[str], *texts: str) -> dict[str, list[str]]:
    return {name: list(texts) for name in tables}


_LIKELIHOODS = (
    "| log p(x1) | log p(x1,x2) | log p(x1\\|x2) | variance, p(x1) | variance, p(x1,x2) | "
    "variance, p(x1\\|x2) | Pareto k > 0.7 |"
)
_IMAGES = ("### BinaryMNIST", "### MNIST", "### FashionMNIST", "### MultiMNIST")
_FIRST = papers("VAE", "BiVCCA", "JMVAE", "MVAE-Q", "MVAE")
_BOTH = papers("JMVAE", "MVAE")
_SHARES = "| method | λ label | image term | epochs | 50 % |"
_TRANSLATED = (
    "| English, real | Vietnamese, drawn | Vietnamese, likeliest | a person's translation |"
)
_BACK = "| Vietnamese, real | English, drawn | English, likeliest | a person's translation |"

MVAE = {
    "table-1": [
        "|  | (Binary)MNIST | FashionMNIST | MultiMNIST | CelebA |",
        *papers("VAE", "CVAE", "BiVCCA", "JMVAE", "MVAE-Q", "MVAE", "JMVAE19", "MVAE19"),
    ],
    **all_of(("table-2", "table-3"), _LIKELIHOODS, *_IMAGES, *_FIRST),
    **all_of(("table-6", "table-7"), _LIKELIHOODS, *_IMAGES, *_BOTH),
    **all_of(("table-2-celeba", "table-3-celeba"), _LIKELIHOODS, "### CelebA", *_FIRST),
    **all_of(("table-6-celeba", "table-7-celeba"), _LIKELIHOODS, "### CelebA", *_BOTH),
    "table-8": [_SHARES, *papers("AE", "NN", "LOGREG", "RBM", "VAE", "JMVAE", "MVAE")],
    "table-9": [_SHARES, *papers("NN", "LOGREG", "RBM", "VAE", "JMVAE", "MVAE")],
    "table-10": [_SHARES, "Digits alone:", "All positions:", *papers("JMVAE", "MVAE")],
    "table-4": [
        "| paired | share | rows | words | epochs | log p(en,vi) | log p(en) | log p(vi) | ELBO | ",
        "| *paper* |",
    ],
    "table-5": [_TRANSLATED, _BACK],
    "table-11": ["| English, real | Vietnamese, real | English, drawn | Vietnamese, drawn |"],
    "table-12": [_TRANSLATED],
    "table-13": [_BACK],
    "figure-4": ["| given | image | gray | edge | mask | obscured | watermark |"],
    "figure-9": [
        "| kept | λ label | epochs | accuracy | log p(x1) by x1 | log p(x1\\|x2) by x1 | ",
        "| attribute | commoner value | kept ",
    ],
    "figure-10": [
        "Each term with noise of its own:",
        "Each term with the row's noise:",
        "| subsets k | λ label | epochs | log p(x1,x2) by x1 | log p(x1,x2) by x1 variance | ",
    ],
}

_PAIRS = "| system, unpaired rows hold | epochs | 1 | 0.5 |"
_OF_PAIRS = papers(*(f"{s}, {m}" for s in ("MEME", "MVAE") for m in ("svhn", "mnist", "split")))
_OF_BIRDS = papers(*(f"{s}, {m}" for s in ("MEME", "MVAE") for m in ("image", "caption", "split")))
_TWO = papers(*(f"{s}, {m}" for s in ("MEME", "MVAE") for m in ("svhn", "mnist")))

MEME = {
    "table-2": ["| log-likelihood, nats | code, both ways, 1 epoch |", "code, mnist alone, "],
    "table-3": [
        *("Coherence, mnist to svhn:", "Coherence, svhn to mnist:", _PAIRS),
        *(*_OF_PAIRS, *papers("MMVAE")),
    ],
    "table-4": [
        *("Latent accuracy, mnist:", "Latent accuracy, svhn:", _PAIRS),
        *(*_OF_PAIRS, *papers("MMVAE")),
    ],
    "table-5": [
        *("Correlation, image to caption:", "Correlation, caption to image:", "Real pairs:"),
        *(_PAIRS, *_OF_BIRDS, *papers("MMVAE")),
    ],
    "table-6": [
        *("Mutual information, mnist:", "Mutual information, svhn:", _PAIRS),
        *(*_TWO, *papers("MMVAE")),
    ],
    "table-7": [
        *("Latent accuracy, mnist:", "Latent accuracy, svhn:", "Coherence, mnist to svhn:"),
        *papers("MMVAE (laplace)"),
    ],
    **all_of(("figure-8", "figure-8-cub"), "| system, unpaired rows hold | epochs | 1 |"),
}

_SUBSETS = "| system | epochs | m | s | t | ms | mt | st | mst | mean |"
_CROSSED = "m\\|s | m\\|t | m\\|st | s\\|m | s\\|t | s\\|mt | t\\|m | t\\|s | t\\|ms |"
_THREE = papers("CMMD", "MVAE", "MMVAE", "MoPoE")
_THREE += papers("MVAE, impartial", "MMVAE, impartial", "MoPoE, impartial")
_QUOTED = papers("RBM-MDL", "DCCA, pretrained", "DCCAE, pretrained")
_METHODS = [f"| {name}" for name in ("classifier M-x_O", "linear CCA", "DCCA", "DCCAE", "MVCL")]
_METHODS += [f"| {name}" for name in ("VCCA", "VCCA-private", "MVAE", "MMVAE", "CMMD")]

CMMD = {
    "table-1": [
        *("| method | fold 1 | fold 2 | fold 3 | fold 4 | mean |", "four folds: error"),
        "four folds: RMSE",
        *papers("classifier M-x_O", "VCCA", "MVAE", "MMVAE ELBO", "MMVAE", "CMMD"),
    ],
    "table-2": [
        "| method | epochs | error, test | error, validation | paper | RMSE, noisy digit |",
        *(*_METHODS, *_QUOTED),
    ],
    "table-2-xrmb": [
        "| method | epochs | error, mean of speakers | paper | RMSE, movements |",
        *(*_METHODS, _QUOTED[0]),
    ],
    "table-2-flickr": [
        "| method | epochs | mAP in %, test | paper | the same over all pairs | RMSE, tags |",
        *(*_METHODS, _QUOTED[0]),
    ],
    "table-3": ["| method | epochs | accuracy |", *papers("MVAE", "MMVAE", "CMMD")],
    "table-4": [
        "| method | epochs | accuracy |",
        *papers("CMMD from mnist", "CMMD from mnist+rotated"),
    ],
    **all_of(("table-5", "table-h.1"), _SUBSETS, *_THREE),
    "table-6": [f"| system | epochs | {_CROSSED} mean |", *_THREE],
    "table-h.2": [f"|  | {_CROSSED}", *papers("CMMD"), "| *omega, paper* | 0.9 | 0 | 0.2 | 0.6 |"],
    "table-8": ["| speaker | RMSE | paper | error | paper |", "| mean |", "| standard deviation |"],
    "table-7": ["| tags | made by CMMD | made by MVAE | made by MMVAE |"],
    "table-c.1": ["| tags | made by CMMD |"],
    "section-4.4": ["| omega | divergence | ms a step, here | ms a step, paper |"],
    "figure-5": ["| speaker | setting | omega | error | mean variance | RMSE |", "| omega 1 |"],
    "figure-6": ["| rows | omega | error | RMSE |", "| each speaker | 0 |", "| folds | 1 |"],
    **all_of(
        ("figure-c.1", "figure-c.1-three"),
        "| experiment | omega | validation error | omega, paper |",
    ),
}
CMMD |= {
    f"figure-c.1-{name}": CMMD["figure-c.1"]
    for name in ("xrmb", "mnist", "svhn", "rotated", "flickr")
}

SVAE = {
    "table-1": [
        "| system | epochs | both (synergy) | from top | from bottom | paper: both | "
        "paper: from top | paper: from bottom |",
        *(f"| {name} " for name in ("SVAE", "VAEVAE", "VAEVAE*", "MMVAE")),
    ],
    "figure-4": [
        "| system | paired | epochs | both (synergy) | from top | from bottom |",
        *(f"| {name} | " for name in ("SVAE", "VAEVAE", "VAEVAE*", "SVAE*", "MMVAE")),
    ],
    "figure-5": [
        "| millions of parameters | 2 modalities | 3 modalities | 4 modalities | 5 modalities |",
        *(f"| *{name}, paper's formula* |" for name in ("SVAE", "VAEVAE")),
    ],
    "figure-6": ["| top + middle | top + bottom | middle + bottom | all |"],
    "figure-7": ["joint coherence", "mnist to svhn", "svhn to mnist", "MVAE", "VAEVAE*"],
    "figure-8": ["drawn together", "image to caption", "caption to image", "MVAE", "VAEVAE*"],
}

_BIRDS = (
    "| system | K, objective | β | epochs | training rows | features | image given caption | "
    "from the prior | rebuilt | real |"
)
_COMPARED = (
    "| claim | here |",
    "| system | K, objective | β | epochs | rows | 1 given | 2 given | 3 given | 4 given | joint |",
)
MMVAE_PLUS = {
    **all_of(("figure-1", "figure-3"), *_COMPARED),
    "figure-2": ["| system | u + w | β | epochs | coherence |", "| MMJSD |", "| MMVAE+ |"],
    "figure-11": ["| system | β | u (or z) | w | u and w |"],
    "figure-17": [
        "| system | u + w | β | epochs | MNIST to SVHN | SVHN to MNIST |",
        *("| DMVAE | ", "| MMVAE+ | "),
    ],
    "figure-19": ["| w from |", "| alpha 3 |"],
    **all_of([f"figure-{n}" for n in (4, 12, 13, 14, 15, 16, 21)], _BIRDS),
}

TEXT = {
    (paper, name): texts
    for paper, pages in (
        *(("mvae", MVAE), ("svae", SVAE), ("mmvae_plus", MMVAE_PLUS)),
        *(("meme", MEME), ("cmmd", CMMD)),
    )
    for name, texts in pages.items()
}
"""Paper and page -> what stands on it."""

PICTURES = {
    "mvae": {"figure-2": 6, "figure-2-celeba": 2, "figure-3": 1, "figure-4": 4, "figure-9": 1}
    | {"figure-10": 1}
    | {f"figure-{n}": 1 for n in (11, 12, 13, 14)},
    "svae": {"figure-2": 1, "figure-3": 8, "figure-4": 1, "figure-5": 1, "figure-6": 1}
    | {"figure-7": 1, "figure-8": 1, "figure-9": 0}
    | {f"figure-e.{n}": 4 for n in (10, 11)}
    | {f"figure-e.{n}-halves": 2 for n in (10, 11)},
    "mmvae_plus": {f"figure-{n}": 1 for n in (1, 2, 3, 8, 9, 10, 11, 17, 18, 19, 20, 16, 21)}
    | {f"figure-{n}": 4 for n in (4, 6, 7, 12, 13, 14, 15)},
    "meme": {"figure-3": 3, "figure-4": 0, "figure-5": 1, "figure-6": 1, "figure-7": 1}
    | {"figure-8": 5, "figure-8-cub": 5, "figure-9": 10, "figure-10": 1},
    "cmmd": {"figure-3": 1, "figure-3-xrmb": 1, "figure-4": 2, "figure-5": 1, "figure-6": 2}
    | {"figure-c.1": 1, "figure-f.1": 3, "figure-g.1": 5},
}
"""Paper -> page -> the least number of its pictures: one of each system where systems differ."""
