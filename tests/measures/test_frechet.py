"""Fréchet distances of sets whose moments, and so whose distances, are known exactly."""

import numpy as np
import pytest
import rich
import scipy.linalg
import torch

from ppl_mm import evaluation
from ppl_mm.evaluation import frechet, frechet_distance


def with_moments(mean, root, num=50, seed=0):
    """(num, D) numbers with exactly this mean and the covariance root root^T."""
    x = torch.randn(num, len(mean), generator=torch.Generator().manual_seed(seed))
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return x @ root.T + mean


def test_commuting_gaussians():
    mean_a, mean_b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.0, 4.0])
    scale_a, scale_b = torch.tensor([1.0, 0.5, 3.0]), torch.tensor([2.0, 0.5, 0.0])
    expected = (mean_a - mean_b).square().sum() + (scale_a - scale_b).square().sum()
    a = with_moments(mean_a, scale_a.diag())
    b = with_moments(mean_b, scale_b.diag(), num=70, seed=1)
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-10)


def test_any_gaussians_against_a_matrix_root():
    root_a, root_b = torch.randn(4, 4), torch.randn(4, 4)
    a, b = with_moments(torch.zeros(4), root_a), with_moments(torch.ones(4), root_b, seed=1)
    s_a, s_b = (root_a @ root_a.T).numpy(), (root_b @ root_b.T).numpy()
    cross = scipy.linalg.sqrtm(s_a @ s_b)
    expected = 4 + np.trace(s_a + s_b - 2 * cross.real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("rows", "size"), [(60, 5), (20, 128), (2, 1)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0])
def test_zero_for_itself_and_symmetric_also_where_singular(rows, size, scale):
    a, b = scale * torch.randn(rows, size), scale * torch.rand(rows + 3, size)
    assert frechet_distance(a, a) < 1e-6 * max(1.0, scale**2)
    assert frechet_distance(a, a[torch.randperm(rows)]) < 1e-6 * max(1.0, scale**2)
    there, back = frechet_distance(a, b), frechet_distance(b, a)
    assert there == pytest.approx(back, rel=1e-9)
    assert there > 0


def test_fewer_rows_than_features_against_eigenvalues():
    a, b = torch.randn(6, 10), 1 + 2 * torch.randn(30, 10)
    s_a, s_b = torch.cov(a.T), torch.cov(b.T)
    cross = torch.linalg.eigvals(s_a @ s_b).real.clamp(min=0).sqrt().sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + s_a.trace() + s_b.trace() - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected.item(), rel=1e-6)


def test_float32_features_do_not_lose_it():
    x = 100 + torch.randn(200, 64, dtype=torch.float32)
    assert frechet_distance(x, x) < 1e-6


@pytest.mark.parametrize("b", [torch.zeros(5, 3), torch.zeros(1, 2), torch.zeros(5)])
def test_other_shapes_are_refused(b):
    with pytest.raises(ValueError, match=r"features_b: expected .*\(N, D\)"):
        frechet_distance(torch.zeros(5, 2), b)


def test_perfect_generator_scores_zero(classes):
    toy = classes()
    found = frechet(toy.system, toy.obs, toy.classifiers, batch_size=9)
    assert found.cells.shape == (3, 3)
    assert found.cells.abs().max() < 1e-6


def test_random_generator_scores_its_moments(classes):
    toy = classes(("a", "b"), 3000, shared=0.0, private=1.0)
    found = frechet(toy.system, toy.obs, toy.classifiers, [()])
    wide = evaluation.read_generations(
        toy.system, toy.obs, toy.classifiers, [()], features=True, like=toy.obs
    ).features[(), "a"]
    assert found.cells[0, 0].item() == pytest.approx(
        frechet_distance(wide, toy.obs["a"][:, 0, 0]), rel=1e-9
    )
    assert found.mean() == pytest.approx(found.cross_mean())


def test_images_are_cut_to_the_range_of_the_data(classes):
    toy = classes(("a", "b"), 300, shared=0.0, private=1.0)
    like = toy.obs.replace("a", toy.obs["a"].clamp(-0.1, 0.2))
    read = evaluation.read_generations(
        toy.system, toy.obs, toy.classifiers, ["b"], features=True, like=like
    )
    features = read.features[("b",), "a"]
    assert features.min().item() == pytest.approx(-0.1)
    assert features.max().item() == pytest.approx(0.2)
    uncut = evaluation.read_generations(
        toy.system, toy.obs, toy.classifiers, ["b"], features=True
    ).features[("b",), "a"]
    assert uncut.max() > 1.0


def test_means_with_and_without_reconstructions(classes, capsys):
    cells = torch.tensor([[1.0, 2.0], [4.0, 1.0]])
    found = evaluation.Frechet((("a",), ("b",)), ("a", "b"), cells)
    assert found.mean() == 2.0
    assert found.cross_mean() == 3.0
    assert found.to_dict()["cells"] == cells.tolist()
    rich.print(found.table())
    assert "FID-clf" in capsys.readouterr().out
