"""Where the published files of each data set come from, and where they lie on this computer."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pooch

from ppl_mm.typed import typed

__all__ = ["BY_HAND", "SOURCES", "Source", "data_folder", "locate"]


@dataclass(frozen=True)
class Source:
    """Published files that one or several data sets are read from.

    Attributes:
        name: The name that ``ppl-mm data get`` knows them by.
        subfolder: Where they lie in the data folder.
        mirrors: Addresses to download from, tried in this order.
        md5: Published file -> MD5 sum of the file as it is published.
    """

    name: str
    subfolder: str
    mirrors: tuple[str, ...]
    md5: Mapping[str, str]


MNIST = Source(
    "mnist",
    "mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    md5={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)

FASHION_MNIST = Source(
    "fashion_mnist",
    "fashion-mnist",
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)

SVHN = Source(
    "svhn",
    "svhn",
    mirrors=("http://ufldl.stanford.edu/housenumbers/",),
    md5={
        "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    },
)

SOURCES: dict[str, tuple[Source, ...]] = {
    "mnist": (MNIST,),
    "binary_mnist": (MNIST,),
    "fashion_mnist": (FASHION_MNIST,),
    "mnist_split": (MNIST,),
    "mnist_split_3": (MNIST,),
    "multimnist": (MNIST,),
    "polymnist": (MNIST,),
    "svhn": (SVHN,),
    "mnist_svhn": (MNIST, SVHN),
    "mnist_fashion": (MNIST, FASHION_MNIST),
    "two_view_mnist": (MNIST,),
    "mnist_svhn_text": (MNIST, SVHN),
    "mnist_fashion_text": (MNIST, FASHION_MNIST),
    "mnist_rotated_svhn": (MNIST, SVHN),
}
"""Data set -> the files that it is read from. Data sets that ship with a package are not here."""

_CAPTIONS = "which come with the code of Shi et al. 2019 (MMVAE, arXiv:1911.03393)"
_CELEBA = (
    "Put img_align_celeba.zip (aligned and cropped images; unpacked or not), list_attr_celeba.txt "
    "and list_eval_partition.txt of https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html into celeba/ "
    "of the data folder, or set PPL_MM_DATA to the folder that has celeba/ in it."
)
BY_HAND = {
    "cub_captions": (
        f"Put the captions text_testclasses.txt, {_CAPTIONS}, into cub-captions/ of the data "
        "folder, or set PPL_MM_DATA to the folder that has cub-captions/ in it."
    ),
    "cub": (
        f"Put the captions text_trainvalclasses.txt and text_testclasses.txt, {_CAPTIONS}, and "
        "the ResNet-101 features of the pictures, features_train.npy and features_test.npy, into "
        "cub/ of the data folder, or set PPL_MM_DATA to the folder that has cub/ in it."
    ),
    "cub_images": (
        "Unpack CUB_200_2011.tgz of https://www.vision.caltech.edu/datasets/cub_200_2011 into cub/ "
        "of the data folder, and put there testclasses.txt, which comes with the captions of Reed "
        "et al. 2016 (arXiv:1605.05395), and the captions text_trainvalclasses.txt and "
        f"text_testclasses.txt, {_CAPTIONS}; or set PPL_MM_DATA to the folder that has cub/ in it."
    ),
    "xrmb": (
        "Ask the University of Wisconsin for the XRMB database, take the two files of "
        "https://home.ttic.edu/~klivescu/XRMB_data/full/README, and put them into xrmb/ of the "
        "data folder, or set PPL_MM_DATA to the folder that has xrmb/ in it."
    ),
    "mir_flickr": (
        "Unpack the Flickr data of https://www.cs.toronto.edu/~nitish/multimodal/ as flickr/ into "
        "the data folder, or set PPL_MM_DATA to the folder that has flickr/ in it."
    ),
    "iwslt": (
        "Download train, tst2012, tst2013 and vocab, each with the ends .en and .vi, from "
        "https://nlp.stanford.edu/projects/nmt/data/iwslt15.en-vi/ into iwslt/ of the data "
        "folder, or set PPL_MM_DATA to the folder that has iwslt/ in it."
    ),
    "celeba": _CELEBA,
    "celeba19": _CELEBA,
    "celeba_vision": (
        f"{_CELEBA} The views of the paper are of the full-size pictures; those you unpack as "
        "img_celeba/ there, or else views are made of the aligned ones. Masks of faces need "
        "pip install 'ppl-mm[vision]'."
    ),
}
"""Data sets of files without a public address and checksums -> what to do by hand."""


@typed
def data_folder(folder: str | Path | None = None) -> Path:
    """``folder``, else the environment's ``PPL_MM_DATA``, else the user's cache folder.

    Example:
        >>> data_folder("corpora").name
        'corpora'
    """
    chosen = folder or os.environ.get("PPL_MM_DATA") or pooch.os_cache("ppl_mm")
    return Path(chosen).expanduser()


def locate(source: Source, folder: str | Path | None = None) -> dict[str, Path]:
    """The files of a source that lie in the data folder; .gz files gzipped or plain.

    Returns:
        Published file name -> path. Where both forms are there, the gzipped one.

    Raises:
        FileNotFoundError: If any is missing.
    """
    root = data_folder(folder) / source.subfolder
    found = {name: path for name in source.md5 if (path := find(root, name)) is not None}
    missing = [name for name in source.md5 if name not in found]
    if missing:
        zipped = any(name.endswith(".gz") for name in source.md5)
        either = " (or the same without .gz)" if zipped else ""
        raise FileNotFoundError(
            f"{source.name}: expected {', '.join(source.md5)}{either} in {root}; "
            f"missing: {', '.join(missing)}. Run `ppl-mm data get {source.name}` to download "
            f"them, or set PPL_MM_DATA to the folder that has {source.subfolder}/ in it."
        )
    return found


def find(root: Path, name: str) -> Path | None:
    """The file of this published name in ``root``, or without its .gz; None if there is none."""
    for path in (root / name, root / name.removesuffix(".gz")):
        if path.is_file():
            return path
    return None
