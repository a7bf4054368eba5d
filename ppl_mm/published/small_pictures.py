"""The published files of MNIST, FashionMNIST, SVHN and PolyMNIST."""

from pathlib import Path

from ppl_mm.published.sources import Source, data_folder

__all__ = ["FASHION_MNIST", "MNIST", "SVHN", "find_polymnist"]

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
    read="ppl_mm.data.idx:read_idx",
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
    read="ppl_mm.data.idx:read_idx",
)

SVHN = Source(
    "svhn",
    "svhn",
    mirrors=("http://ufldl.stanford.edu/housenumbers/",),
    md5={
        "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    },
    read="ppl_mm.data.svhn:read_svhn",
)


def find_polymnist(folder: str | Path | None = None) -> Path | None:
    """Find ``MMNIST``, ``PolyMNIST`` or ``polymnist`` with ``train/m0`` in the data folder."""
    for name in ("MMNIST", "PolyMNIST", "polymnist"):
        root = data_folder(folder) / name
        if (root / "train" / "m0").is_dir():
            return root
    return None
