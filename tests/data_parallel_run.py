"""Train a toy system under each objective and save its parameters; alone or under torchrun.

python data_parallel_run.py OUT
"""

import sys
from functools import partial

import torch
from linear_gaussian import LinearGaussian

from ppl_mm import Modality, Observations, fit, guides, networks, objectives, systems
from ppl_mm.data import streams
from ppl_mm.objectives import Term

OBJECTIVES = {
    "subset_terms": lambda: objectives.ELBOTerms(objectives.subset_terms(2)),
    "row_means": lambda: objectives.ELBOTerms(
        [Term(("a", "b"), ("a",), ("b",)), Term(("a",), ("a",))], rows="require", mean="rows"
    ),
    "iwae": lambda: objectives.IWAE(num_particles=3),
    "impartial": lambda: objectives.IWAE(num_particles=2),
}


def private_modalities(toy: LinearGaussian) -> list[Modality]:
    """The toy's modalities with networks of any latent size, the same in every process."""
    torch.manual_seed(0)
    return [
        Modality(
            m.name,
            m.likelihood,
            partial(networks.MLPEncoder, event_shape=(size,), hidden=(4,)),
            partial(networks.MLPDecoder, event_shape=(size,), hidden=(4,)),
        )
        for m, size in zip(toy.modalities, toy.sizes.values(), strict=True)
    ]


def train(out: str, objective: str) -> None:
    """One run; its batches of 7 rows divide unevenly, and some lack whole modalities.

    Those of telbo have 2: a process often has no complete row, or one that holds nothing.
    """
    toy = LinearGaussian(spread=1.5)
    complete = toy.sample(24)
    present = torch.rand(3, 24, generator=torch.Generator().manual_seed(2)) > 0.5
    data = Observations(complete.values, dict(zip("abc", present, strict=True)))
    if objective == "mmvae_plus":
        system = systems.mmvae_plus(private_modalities(toy), 2, num_particles=3)
    elif objective == "streams":
        system = systems.svae(private_modalities(toy), 2, unpaired="disjoint")
    elif objective == "cmmd":  # but for its MMD, which is of each process's own rows
        options = {"label_reduction": "sum", "hidden": (4,), "prior_hidden": (4,), "alpha": 0.1}
        system = systems.cmmd(
            private_modalities(toy), 2, observed=("a",), label="b", omega=1.0, **options
        )
    elif objective == "telbo":
        system = systems.telbo(private_modalities(toy), 2, first_stage=2, hidden=4)
    else:
        guide = guides.ProductOfExperts(toy.modalities, toy.latent_dim)
        system = toy.system(guide, OBJECTIVES[objective]())
    result = fit(
        system,
        streams(complete, 0.2) if objective == "streams" else data,
        epochs=3,
        batch_size=2 if objective == "telbo" else 7,
        optimizer=partial(torch.optim.SGD, lr=0.02, momentum=0.9),
        clip_norm=5.0,
        impartial=_alike if objective == "impartial" else None,
        device="cpu",
        precision="64-true",
        checkpoint=f"{out}.{objective}.checkpoint",
        progress=False,
    )
    losses = torch.tensor([row["loss"] for row in result.history])
    torch.save({"state": result.best_state, "losses": losses}, f"{out}.{objective}.{_rank()}")


def _alike(products: torch.Tensor) -> torch.Tensor:
    """Weights that every process agrees on, whatever its rows."""
    return torch.ones(len(products))


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    for name in (*OBJECTIVES, "cmmd", "mmvae_plus", "streams", "telbo"):
        train(sys.argv[1], name)
