"""Oracle classifiers: they learn, come back from their files, and judge nothing in training."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from ppl_mm import Observations, data
from ppl_mm.evaluation import (
    classifier_accuracy,
    train_classifier,
    train_classifiers,
    train_oracle,
)
from ppl_mm.networks.characters import CharacterFeatures
from ppl_mm.networks.classifier import ImageClassifier, TrunkClassifier
from ppl_mm.networks.resnet import ResNet
from ppl_mm.oracles import classifier


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


@pytest.fixture
def equal_or_not():
    """Pictures of two halves, bright or dark; the class is whether they are alike."""

    def rows(num):
        bright = torch.arange(num) % 2, torch.arange(num) // 2 % 2
        halves = [0.1 * torch.rand(num, 1, 4, 8) + b.reshape(-1, 1, 1, 1) for b in bright]
        return Observations(dict(zip(("a", "b"), halves, strict=True))), (
            bright[0] == bright[1]
        ).long()

    (train, train_labels), (test, test_labels) = rows(200), rows(40)
    labels = {"train": train_labels, "test": test_labels}

    def join(values):
        return torch.cat([values["a"], values["b"]], -2)

    return data.DataSet("halves", train, None, test, (), 2, None, 2, labels=labels, join=join)


SMALL = partial(ResNet, widths=(8, 16))


@pytest.fixture
def trained(monkeypatch):
    """A list that grows by one for each classifier that is trained."""
    calls = []
    train = classifier.train_classifier
    monkeypatch.setattr(
        classifier, "train_classifier", lambda *a, **k: calls.append(a) or train(*a, **k)
    )
    return calls


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


def test_a_file_is_read_again_unless_the_data_changed(bright_or_dark, tmp_path, trained):
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
    with pytest.raises(ValueError, match=r"200-1-0.safetensors: truncated.*trained again"):
        get(bright_or_dark)
    assert len(trained) == 2


def test_rows_without_the_image_are_not_trained_on(bright_or_dark, tmp_path):
    present = {"a": torch.arange(200) < 30}
    train = Observations(bright_or_dark.train.values, present)
    fields = {**vars(bright_or_dark), "train": train}
    train_classifiers(data.DataSet(**fields), ["a"], epochs=1, folder=tmp_path, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["brightness-a-30-1-0.safetensors"]


def test_oracle_reads_what_neither_part_tells(equal_or_not):
    oracle = train_oracle(equal_or_not, network=SMALL, epochs=60, progress=False)
    assert not any(m.training for m in oracle.modules())
    pictures = equal_or_not.join(equal_or_not.test.values)
    assert pictures.shape == (40, 1, 8, 8)
    assert oracle.features(pictures).shape == (40, 16)
    test = Observations({"whole": pictures})
    accuracy = classifier_accuracy({"whole": oracle}, test, equal_or_not.classes("test"))
    assert accuracy["whole"].value == 1.0
    # a picture's logits are its own, whatever else is in the batch
    torch.testing.assert_close(oracle(pictures[:1]), oracle(pictures)[:1])


def test_oracle_is_a_classifier_of_whole_pictures_at_a_falling_rate(equal_or_not):
    train = equal_or_not.train
    pictures, labels = equal_or_not.join(train.values), equal_or_not.classes("train")
    oracle = train_oracle(equal_or_not, network=SMALL, epochs=2, progress=False)
    for decay in (True, False):
        same = train_classifier(
            pictures, labels, int(labels.max()) + 1, network=SMALL, epochs=2, decay=decay
        )
        assert torch.equal(oracle(pictures), same(pictures)) == decay


def test_oracle_is_kept_in_a_file_as_classifiers_are(equal_or_not, tmp_path, trained):
    def get(dataset=equal_or_not, network=SMALL, **options):
        options = {"epochs": 1, "folder": tmp_path, "progress": False, **options}
        return train_oracle(dataset, network=network, **options)

    first = get()
    (path,) = tmp_path.iterdir()
    assert path.name == "halves-whole-200-1-0.safetensors"
    again = get()
    assert len(trained) == 1
    assert not again.training
    states = first.state_dict(), again.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    get(network=partial(ResNet, widths=(4,)))
    assert len(trained) == 2
    get(replace(equal_or_not, join=lambda values: values["a"]))
    assert len(trained) == 3
    get(seed=1)
    get(seed=1)
    assert len(trained) == 4


def test_oracle_learns_from_rows_that_hold_every_part_and_a_class(equal_or_not, tmp_path):
    present = {"a": torch.arange(200) < 30, "b": torch.arange(200) >= 10}
    labels = {"train": equal_or_not.labels["train"].clone()}
    labels["train"][10:13] = -1
    train = Observations(equal_or_not.train.values, present)
    dataset = replace(equal_or_not, train=train, labels=labels)
    train_oracle(dataset, network=SMALL, epochs=1, folder=tmp_path, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["halves-whole-17-1-0.safetensors"]


def test_no_oracle_of_modalities_that_are_no_parts(bright_or_dark):
    with pytest.raises(ValueError, match="brightness: has no join"):
        train_oracle(bright_or_dark, progress=False)


@pytest.mark.parametrize("decay", [False, True])
def test_training_is_adam_on_cross_entropy(decay):
    images, labels = torch.rand(5, 1, 8, 8), torch.tensor([0, 1, 1, 0, 1])
    build = partial(ImageClassifier, dropout=0.0)
    options = {"network": build, "batch_size": 5, "epochs": 4, "lr": 0.01, "seed": 3}
    found = train_classifier(images, labels, 2, decay=decay, **options)
    torch.manual_seed(3)
    expected = build((1, 8, 8), 2)
    optimizer = torch.optim.Adam(expected.parameters())
    for step in range(4):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / 4 if decay else 1)
        optimizer.zero_grad()
        F.cross_entropy(expected(images), labels).backward()
        optimizer.step()
    for a, b in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_last_batch_of_one_row_trains_too():
    images, labels = torch.rand(5, 1, 8, 8), torch.tensor([0, 1, 1, 0, 1])
    options = {"network": partial(ResNet, widths=(4, 4, 4)), "epochs": 1, "batch_size": 4}
    found = train_classifier(images, labels, 2, **options)
    assert bool(found(images).isfinite().all())


def test_classifiers_of_other_values_have_networks_of_their_own(tmp_path):
    labels = torch.arange(60) % 3
    strings = labels[:, None].expand(60, 8)  # the symbol is the class
    rows = Observations({"text": strings, "label": labels})
    dataset = replace(data.load("digits"), name="words", train=rows, num_classes=3)

    def network(shape, num_classes):
        assert shape == (8,)
        return TrunkClassifier(CharacterFeatures(vocab_size=71), num_classes)

    options = {"networks": {"text": network}, "epochs": 20, "folder": tmp_path, "progress": False}
    (found,) = train_classifiers(dataset, **options).values()
    assert torch.equal(found(strings).argmax(-1), labels)
    (again,) = train_classifiers(dataset, **options).values()
    assert torch.equal(found(strings), again(strings))


def test_numbers_that_are_no_image_have_a_network_too(bright_or_dark):
    train, test = (
        Observations({"vector": rows["a"].flatten(1)})
        for rows in (bright_or_dark.train, bright_or_dark.test)
    )
    dataset = replace(bright_or_dark, train=train, test=test)
    found = train_classifiers(dataset, ["vector"], epochs=20, progress=False)
    accuracy = classifier_accuracy(found, test, dataset.classes("test"))
    assert accuracy["vector"].value == 1.0
    assert found["vector"].features(test["vector"]).shape == (40, 128)


def test_what_cannot_be_classified_is_named():
    digits = data.load("digits")
    with pytest.raises(
        ValueError, match=r"digits: no modality holds images .* give names=\['top'\]"
    ):
        train_classifiers(digits, progress=False)
    with pytest.raises(ValueError, match=r"modality to classify 'tip'.* Did you mean 'top'"):
        train_classifiers(digits, ["tip"], progress=False)
    with pytest.raises(TypeError, match="modality 'label': holds symbols"):
        train_classifiers(digits, ["label"], progress=False)
