"""Data sets: real files in, :class:`~ppl_mm.Observations` and modality declarations out.

``digits`` ships with scikit-learn. The others are read from their published files in a data
folder, and :func:`get` downloads the files that have a public address. :func:`load` reads a data
set by its name; :mod:`ppl_mm.data.registry` shows how to add one. :func:`from_file` and
:func:`from_frame` read data of your own.
"""

from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.data.celeba import celeba, celeba19
from ppl_mm.data.celeba_views import celeba_vision
from ppl_mm.data.cub import cub, cub_captions
from ppl_mm.data.cub_images import cub_images
from ppl_mm.data.dataset import DataSet
from ppl_mm.data.digits import digits
from ppl_mm.data.download import data_folder, get
from ppl_mm.data.flickr import mir_flickr
from ppl_mm.data.idx import read_idx
from ppl_mm.data.iwslt import iwslt
from ppl_mm.data.mnist import binary_mnist, fashion_mnist, mnist
from ppl_mm.data.mnist_split import mnist_split, mnist_split_3
from ppl_mm.data.multimnist import multimnist
from ppl_mm.data.own import from_file, from_frame
from ppl_mm.data.pairs import mnist_fashion, mnist_svhn, pair_by_class
from ppl_mm.data.polymnist import polymnist
from ppl_mm.data.provenance import Columns, Provenance
from ppl_mm.data.registry import (
    Defaults,
    available,
    describe,
    discover,
    entry,
    load,
    register,
)
from ppl_mm.data.svhn import read_svhn, svhn
from ppl_mm.data.triples import mnist_fashion_text, mnist_rotated_svhn, mnist_svhn_text
from ppl_mm.data.views import two_view_mnist
from ppl_mm.data.vocabulary import Vocabulary
from ppl_mm.data.weak import keep_modalities, keep_pairs, streams, weakly_supervised
from ppl_mm.data.words import spell, write_words
from ppl_mm.data.xrmb import XRMB_FOLDS, XRMB_TEST, xrmb
from ppl_mm.published.facts import Summary

__all__ = [
    "XRMB_FOLDS",
    "XRMB_TEST",
    "Columns",
    "DataSet",
    "Defaults",
    "MemoryMapped",
    "Provenance",
    "Summary",
    "Vocabulary",
    "available",
    "binary_mnist",
    "celeba",
    "celeba19",
    "celeba_vision",
    "cub",
    "cub_captions",
    "cub_images",
    "data_folder",
    "describe",
    "digits",
    "entry",
    "fashion_mnist",
    "from_file",
    "from_frame",
    "get",
    "iwslt",
    "keep_modalities",
    "keep_pairs",
    "load",
    "mir_flickr",
    "mnist",
    "mnist_fashion",
    "mnist_fashion_text",
    "mnist_rotated_svhn",
    "mnist_split",
    "mnist_split_3",
    "mnist_svhn",
    "mnist_svhn_text",
    "multimnist",
    "pair_by_class",
    "polymnist",
    "read_idx",
    "read_svhn",
    "register",
    "spell",
    "streams",
    "svhn",
    "two_view_mnist",
    "weakly_supervised",
    "write_words",
    "xrmb",
]

discover(__name__, __path__)
