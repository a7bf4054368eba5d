"""Oracle classifiers: they learn, come back from their files, and judge nothing in training."""

import pytest
import torch

from ppl_mm import Observations, data
from ppl_mm.evaluation import classifier, classifier_accuracy, train_classifiers


@pytest.fixture
def bright_or_dark():
    """Images whose class is their brightness."""

    def rows(num, seed):
        g = torch.Generator().manual_seed(seed)
        labels = torch.arange(num) % 2
        noise = 0.1 * torch.rand(num, 1, 8, 8, generator=g)
        values = {n: noise + labels.reshape(-1, 1, 1, 1) for n in ("a", "b")}
        values["vector"] = noise.flatten(1)
        return Observations(values), labels

    (train, train_labels), (test, test_labels) = rows(200, 0), rows(40, 1)
    labels = {"train": train_labels, "test": test_labels}
    return data.DataSet("brightness", train, None, test, (), 2, None, 2, labels=labels)


def parameters(modules):
    return [p for m in modules.values() for p in m.parameters()]


def test_they_learn_images_and_end_in_eval_mode(bright_or_dark):
    found = train_classifiers(bright_or_dark, epochs=20, progress=False)
    assert set(found) == {"a", "b"}
    assert not any(m.training for m in found.values())
    accuracy = classifier_accuracy(found, bright_or_dark.test, bright_or_dark.classes("test"))
    assert accuracy["a"].value == 1.0


def test_same_seed_same_classifier_and_generators_left_alone(bright_or_dark):
    state = torch.get_rng_state()
    one, same = (train_classifiers(bright_or_dark, ["a"], epochs=1, progress=False) for _ in "12")
    other = train_classifiers(bright_or_dark, ["a"], epochs=1, seed=1, progress=False)
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(torch.equal, parameters(one), parameters(same)))
    assert not all(map(torch.equal, parameters(one), parameters(other)))


def test_one_classifier_ends_in_eval_mode(bright_or_dark):
    images, labels = bright_or_dark.train["a"], bright_or_dark.classes("train")
    assert not classifier.train_classifier(images, labels, 2, epochs=1).training


def test_a_file_is_read_again_unless_the_data_changed(bright_or_dark, tmp_path, monkeypatch):
    trained = []
    train = classifier.train_classifier
    monkeypatch.setattr(
        classifier, "train_classifier", lambda *a, **k: trained.append(a) or train(*a, **k)
    )

    def get(dataset):
        return train_classifiers(dataset, ["a"], epochs=1, folder=tmp_path, progress=False)

    first = get(bright_or_dark)
    (path,) = tmp_path.iterdir()
    assert path.name == "brightness-a-200-1-0.safetensors"
    again = get(bright_or_dark)
    assert len(trained) == 1
    assert all(map(torch.equal, parameters(first), parameters(again)))
    assert not again["a"].training
    bright_or_dark.train.values["a"][0] = 0.5
    get(bright_or_dark)
    assert len(trained) == 2
    path.write_bytes(path.read_bytes()[:100])
    get(bright_or_dark)
    assert len(trained) == 3


def test_rows_without_the_image_are_not_trained_on(bright_or_dark, tmp_path):
    present = {"a": torch.arange(200) < 30}
    train = Observations(bright_or_dark.train.values, present)
    fields = {**vars(bright_or_dark), "train": train}
    train_classifiers(data.DataSet(**fields), ["a"], epochs=1, folder=tmp_path, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["brightness-a-30-1-0.safetensors"]
