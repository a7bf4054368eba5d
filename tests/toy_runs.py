"""Small runs of ``fit`` with a checkpoint, and what is in it."""

from functools import partial

import torch
from linear_gaussian import LinearGaussian

from ppl_mm import fit, guides, objectives
from ppl_mm.files import read_sealed, write_sealed
from ppl_mm.files.nested import pack, unpack
from ppl_mm.objectives import subset_terms

QUIET = {"device": "cpu", "precision": "64-true", "progress": False}
ADAM = partial(torch.optim.Adam, lr=1e-3)


def toy(objective=None):
    made = LinearGaussian(spread=2.0)
    guide = guides.ProductOfExperts(made.modalities, made.latent_dim)
    return made.system(guide, objective or objectives.ELBOTerms(subset_terms()))


def rows(seed=0):
    return LinearGaussian().sample(24, seed=seed)


def start(path, system=None, **options):
    given = {"epochs": 1, "batch_size": 8, "checkpoint": path, **QUIET, **options}
    return fit(system or toy(), rows(), **given)


def go_on(path, system=None, obs=None, **options):
    given = {"epochs": 2, "batch_size": 8, "checkpoint": path, "resume": True, **QUIET, **options}
    return fit(system or toy(), obs or rows(), **given)


def content_of(path):
    file = read_sealed(path, "checkpoint", "")
    return unpack(file.tensors(), file.header["content"])


def write_content(path, content):
    tensors, text = pack(content)
    write_sealed(path, "checkpoint", tensors, {"content": text})


def same(one, other):
    return all(torch.equal(x, other.state_dict()[n]) for n, x in one.state_dict().items())
