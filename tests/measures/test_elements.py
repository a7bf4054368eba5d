"""Measures of rows that miss single elements."""

from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from elements import ExactOfElements
from every_system import build, complete, modality
from linear_gaussian import LinearGaussian
from torch import nn

from ppl_mm import Observations, System, evaluation, generate, objectives
from ppl_mm.evaluation import accuracy, average_precision, classification_error, predict, rmse

ROWS = 40


def rows(*kinds: str) -> tuple[Observations, Observations]:
    """Whole rows, and the same with holes in the first kind, whose storage holds other values."""
    whole = complete(ROWS, *kinds)
    x = whole[kinds[0]]
    held = torch.rand(x.shape) < 0.7
    held[:, 0] = True
    other = torch.where(held, x, 1.0 - x)
    return whole, Observations({**whole.values, kinds[0]: other}, elements={kinds[0]: held})


def test_rmse_is_that_of_the_elements_there_are() -> None:
    system = build("mvae", [modality("normal"), modality("categorical")])
    _, obs = rows("normal", "categorical")
    held = obs.elements["normal"]
    found = predict(system, obs, "normal", "categorical")
    squares = (found - obs["normal"]).square()[held]
    error = rmse(system, obs, "normal", "categorical")
    assert error.value == pytest.approx(squares.mean().sqrt().item())
    draws = [
        rmse(system, obs[torch.randint(ROWS, (ROWS,))], "normal", "categorical").value
        for _ in range(60)
    ]
    spread = torch.tensor(draws).std().item()  # the bootstrap's standard error
    assert 0.6 * spread < error.standard_error < 1.6 * spread


def test_errors_of_labels_are_those_of_the_labels_there_are() -> None:
    system = build("mvae", [modality("multi_label"), modality("normal")])
    _, obs = rows("multi_label", "normal")
    held = obs.elements["multi_label"]
    yes = predict(system, obs, "multi_label", "normal") > 0.5
    wrong = (yes != (obs["multi_label"] > 0.5))[held].double().mean().item()
    error = classification_error(system, obs, "multi_label", "normal").value
    assert error == pytest.approx(wrong)
    assert accuracy(system, obs, "multi_label", "normal") == pytest.approx(1 - wrong)


def test_measures_that_know_no_holes_look_at_whole_rows() -> None:
    system = build("mvae", [modality("multi_label"), modality("normal")])
    _, obs = rows("multi_label", "normal")
    part = obs[obs.held_whole("multi_label")]
    assert 3 < len(part) < ROWS
    for measure in (average_precision, evaluation.calibration):
        of_all, of_some = (measure(system, x, "multi_label", "normal") for x in (obs, part))
        assert of_all.to_dict() == of_some.to_dict()


def test_classifiers_see_whole_rows() -> None:
    labels = torch.randint(2, (ROWS,))
    whole, obs = rows("normal", "categorical")
    classifier = evaluation.train_classifier(
        whole["normal"], labels, 2, network=lambda shape, classes: nn.Linear(3, 2), epochs=1
    )
    found = evaluation.classifier_accuracy({"normal": classifier}, obs, labels)["normal"]
    part = obs.held_whole("normal")
    alone = evaluation.classifier_accuracy({"normal": classifier}, obs[part], labels[part])
    assert found.value == alone["normal"].value


def test_draws_given_the_observed_elements_are_those_of_the_conditional() -> None:
    toy = LinearGaussian()
    system = System(toy.model(), ExactOfElements(toy), objectives.IWAE())
    x = toy.sample(1)
    held = {"a": torch.tensor([[False, True, False]]), "b": torch.zeros(1, 4, dtype=torch.bool)}
    obs = Observations(x.values, elements=held)
    assert not obs.present["b"].any()
    drawn = generate(system, obs, "b", 4000, given=("a",))["b"][:, 0].double()
    weight = torch.cat([toy.weight["a"][1:2], toy.weight["b"]]).double()
    noise = torch.tensor([toy.noise["a"] ** 2, *[toy.noise["b"] ** 2] * 4]).double()
    covariance = weight @ weight.T + torch.diag(noise)
    gain = covariance[1:, :1] / covariance[0, 0]
    mean = toy.bias["b"].double() + gain[:, 0] * (x["a"][0, 1] - toy.bias["a"][1]).double()
    rest = covariance[1:, 1:] - gain @ covariance[:1, 1:]
    error = rest.diagonal().sqrt() / 4000**0.5
    assert ((drawn.mean(0) - mean).abs() < 4.5 * error).all()
    scale = (rest.diagonal()[:, None] * rest.diagonal()).sqrt() * (2 / 4000) ** 0.5
    assert ((torch.cov(drawn.T) - rest).abs() < 5 * scale).all()


def test_a_model_with_plates_of_its_own_is_refused() -> None:
    class Own(nn.Module):
        names = ("a",)

        def forward(self, obs: Observations) -> Any:
            with pyro.plate("data", len(obs)):
                z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                x, scored = obs.filled("a")
                p = dist.Normal(z.sum(-1, keepdim=True).expand(*z.shape[:-1], 3), 1.0)
                pyro.sample("a", p.to_event(1).mask(scored), obs=x)

    toy = LinearGaussian()
    system = System(Own(), ExactOfElements(toy), objectives.IWAE())
    obs = Observations({"a": torch.zeros(4, 3)}, elements={"a": torch.arange(3).expand(4, 3) != 1})
    with (
        pyro.validation_enabled(True),
        pytest.raises(ValueError, match=r"'a': elements are missing .* .* obs.plates"),
    ):
        system(obs)
