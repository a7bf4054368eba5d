"""The methods of weak supervision that are no system: a network, and features with a reader."""

import json
import warnings
import zlib
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from ppl_mm import baselines, data, evaluation
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments.mvae import experiment
from ppl_mm.experiments.mvae.weak_training import paired_rows, pairs, train
from ppl_mm.experiments.options import lacks
from ppl_mm.files import write_atomically
from ppl_mm.runs.records import PLACES

__all__ = ["device_of", "fit_baseline", "learned_features"]

Config = Any  # The options of weak supervision.


def fit_baseline(config: Config, dataset: data.DataSet) -> Int[Tensor, " N"]:
    """Fit one of the other methods; return its predicted classes of the test images, (N,)."""
    rows, test = dataset.train[: config.num_train], dataset.test[: config.num_test]
    image, label = dataset.modalities
    if config.method == "nn":  # The networks of MVAE, without scales.
        encoder: Any = image.encoder
        decoder: Any = label.decoder
        features: Any = image.features
        classifier = baselines.matched_classifier(
            pairs(rows, config),
            [replace(image, features=partial(features, hidden=())), label],
            "label",
            "image",
            dataset.latent_dim,
            prior_hidden=encoder.keywords["hidden"],
            hidden=decoder.keywords["hidden"],
            activation="silu",
            dropout=0.0,
            epochs=config.epochs,
            batch_size=config.batch_size,
            learning_rate=config.lr,
            seed=config.seed,
            device=device_of(config),
        )
        return classifier.predict(test).cpu()
    numbers = learned_features(config, dataset, rows, test)
    paired = paired_rows(len(rows), config.fraction, config.seed)
    with warnings.catch_warnings():  # 100 iterations are scikit-learn's default.
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine = baselines.logistic_regression(
            numbers["train"][paired], rows["label"][paired], max_iterations=100
        )
    return machine.predict(numbers["test"])


def learned_features(
    config: Config, dataset: data.DataSet, rows: Observations, test: Observations
) -> dict[str, Float[Tensor, "_ k"]]:
    """Return features of training and test images, (N, k) each.

    They are read from a file if a run of another fraction has learned them. LOGREG has pixels, RBM
    the probabilities of hidden units, AE the code, and VAE the posterior's mean.
    """
    if config.method == "logreg":
        return {"train": rows["image"].flatten(1), "test": test["image"].flatten(1)}
    unused = ("fraction", *PLACES)
    options = {k: v for k, v in asdict(config).items() if k not in unused and not lacks(config, k)}
    key = zlib.crc32(json.dumps(options).encode())
    path = Path(config.out) / f"{config.dataset}-{config.method}-{key:08x}-features.safetensors"
    if path.exists():
        return load_file(path)
    image = dataset.modalities[0]
    if config.method == "vae":
        system = experiment.build(experiment.Config(system="vae"), dataset)
        train(system, dataset, config)
        found = {
            part: evaluation.draw_latents(system, obs.drop("label"), mean=True)["z"]
            for part, obs in {"train": rows, "test": test}.items()
        }
    else:
        options = {k: getattr(config, k) for k in ("epochs", "batch_size", "seed")}
        if config.method == "rbm":
            projection = baselines.rbm(rows, image, hidden=128, **options)
        else:
            options |= {"device": device_of(config), "learning_rate": config.lr}
            projection = baselines.autoencoder(rows, image, dataset.latent_dim, **options)
        found = {"train": projection(rows), "test": projection(test)}
    found = {part: x.cpu().contiguous() for part, x in found.items()}
    write_atomically(path, save(found))
    return found


def device_of(config: Config) -> str:
    """Return the device of methods that are no system; scikit-learn's need the CPU."""
    if config.method in ("logreg", "rbm"):
        return "cpu"
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.device
