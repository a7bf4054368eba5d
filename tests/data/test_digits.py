import torch
from sklearn.datasets import load_digits

from ppl_mm.data import digits
from ppl_mm.data.dataset import DataSet


def rows(data: DataSet) -> list[tuple[float, ...]]:
    """Every row as top, bottom and label, in units of scikit-learn's pixels."""
    found = []
    for obs in (data.train, data.validation, data.test):
        assert obs is not None
        parts = [obs["top"].flatten(1) * 16, obs["bottom"].flatten(1) * 16, obs["label"][:, None]]
        found += [tuple(row) for row in torch.cat(parts, dim=1).tolist()]
    return found


def test_splits_hold_every_row_of_scikit_learn_once() -> None:
    bunch = load_digits()
    expected = [
        (*image, label) for image, label in zip(bunch.data.tolist(), bunch.target, strict=True)
    ]
    data = digits()
    assert (len(data.train), len(data.test)) == (1200, 397)
    assert data.validation is not None
    assert len(data.validation) == 200
    assert sorted(rows(data)) == sorted(expected)


def test_shapes_and_ranges() -> None:
    data = digits()
    for half in ("top", "bottom"):
        x = data.train[half]
        assert x.shape[1:] == (4, 8)
        assert x.dtype == torch.get_default_dtype()
        assert (x.min(), x.max()) == (0, 1)
    assert set(data.train["label"].tolist()) == set(range(10))


def test_joined_halves_are_the_picture() -> None:
    data = digits()
    pictures = data.join(data.train.values)
    assert pictures.shape == (1200, 1, 8, 8)
    assert torch.equal(pictures[:, 0, :4], data.train["top"])
    assert torch.equal(pictures[:, 0, 4:], data.train["bottom"])


def test_seed_decides_the_split() -> None:
    assert rows(digits()) == rows(digits(seed=0))
    assert rows(digits()) != rows(digits(seed=1))


def test_networks_fit_the_values() -> None:
    data = digits()
    obs = data.train[:5]
    for modality in data.modalities:
        loc, scale = modality.encoder(data.latent_dim)(obs[modality.name])
        assert loc.shape == scale.shape == (5, 16)
        parameters = modality.decoder(data.latent_dim)(loc)
        assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (5,)
