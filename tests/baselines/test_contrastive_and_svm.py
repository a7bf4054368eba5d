"""The contrastive loss by hand, what it learns, and the machine that reads features."""

import pytest
import torch
from every_system import KINDS, complete, modality
from sklearn.svm import LinearSVC

from ppl_mm import Observations, baselines


def test_the_loss_of_two_rows_is_its_formula():
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    distance = [[1 - torch.cosine_similarity(x, y, dim=0) for y in b] for x in a]
    for margin in (0.2, 1.0):
        terms = [margin + distance[0][0] - distance[0][1], margin + distance[1][1] - distance[1][0]]
        expected = torch.stack(terms).clamp(min=0).mean()
        torch.testing.assert_close(baselines.contrastive_loss(a, b, margin), expected)


def test_no_row_is_contrasted_with_itself():
    a = torch.eye(5)
    for _ in range(50):  # a row against itself would cost the margin
        assert baselines.contrastive_loss(a, a, margin=0.9) == 0


def test_mvcl_matches_rows_that_it_has_not_seen():
    torch.set_default_dtype(torch.float32)
    x = torch.randn(600, 3)
    obs = Observations({"a": x, "b": x.flip(1).exp()})
    declared = [modality("normal", name=n) for n in "ab"]
    options = {"hidden": (64,), "epochs": 40, "batch_size": 50, "learning_rate": 3e-3}
    projection = baselines.mvcl(obs[:500], declared, 3, margin=0.5, **options)
    unit = [torch.nn.functional.normalize(projection(obs[500:], view=n)) for n in "ab"]
    nearest = (unit[0] @ unit[1].T).argmax(1)
    hits = (nearest == torch.arange(100)).double().mean()
    assert hits > 0.3  # one in a hundred by chance


def test_a_last_row_that_has_no_other_is_left_out():
    declared = [modality("normal"), modality("laplace")]
    options = {"hidden": (8,), "epochs": 1, "batch_size": 4}
    projection = baselines.mvcl(complete(5, "normal", "laplace"), declared, 2, **options)
    assert projection.names == ("normal", "laplace")


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_view_with_rows_missing(kind):
    values = {**complete(20, kind).values, "other": KINDS["normal"].draw(20)}
    obs = Observations(values, {kind: torch.arange(20) > 4})
    declared = [modality(kind), modality("normal", name="other")]
    options = {"hidden": (8,), "epochs": 2, "batch_size": 6}
    one = baselines.mvcl(obs, declared, 2, **options)
    other = baselines.mvcl(obs[5:], declared, 2, **options)
    assert torch.equal(one(obs[5:]), other(obs[5:]))
    assert one(obs, view="other").isfinite().all()
    with pytest.raises(ValueError, match="5 of 20 rows lack it"):
        one(obs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 0.0}, "margin: .*above 0"),
        ({"batch_size": 1}, "least 2"),
        ({"latent_dim": 0}, "latent_dim: .*at least 1"),
    ],
)
def test_wrong_numbers_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        baselines.mvcl(complete(5, "normal", "laplace"), [], **{"latent_dim": 2, **options})


# ------------------------------------------------------------------ the machine


def classes(num_rows, spread):
    y = torch.arange(num_rows) % 3
    return torch.eye(3)[y] * 2.0 + spread * torch.randn(num_rows, 3), y


def test_the_penalty_has_the_fewest_errors_on_the_tuning_rows():
    (x, y), (tune_x, tune_y) = classes(60, 1.0), classes(200, 1.0)
    penalties = (1e-4, 1e-2, 1.0)
    errors = []
    for penalty in penalties:
        machine = LinearSVC(C=penalty, random_state=0).fit(x.numpy(), y.numpy())
        errors.append(float((machine.predict(tune_x.numpy()) != tune_y.numpy()).mean()))
    found = baselines.linear_svm(x, y, tune_x, tune_y, penalties)
    assert len(set(errors)) > 1
    assert found.tune_error == min(errors)
    assert found.penalty == penalties[errors.index(min(errors))]
    assert (found.predict(tune_x) != tune_y).double().mean().item() == found.tune_error


def test_of_equal_penalties_the_first_wins_and_separable_classes_are_learned():
    x, y = classes(30, 0.01)
    found = baselines.linear_svm(x, y, x, y, (10.0, 1.0))
    assert (found.penalty, found.tune_error) == (10.0, 0.0)
    assert torch.equal(found.predict(x), y)


def test_wrong_classes_and_no_penalty_are_errors():
    x, y = classes(6, 0.1)
    with pytest.raises(ValueError, match=r"tune_classes: .*\(6,\), got \(5,\)"):
        baselines.linear_svm(x, y, x, y[:5])
    with pytest.raises(ValueError, match="at least one value of C"):
        baselines.linear_svm(x, y, x, y, ())
