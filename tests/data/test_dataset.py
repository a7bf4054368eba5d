from dataclasses import replace

import pytest
import torch

from ppl_mm import Observations
from ppl_mm.data import DataSet, digits, keep_modalities
from ppl_mm.data.dataset import split_labels


def with_labels(validation: int = 0) -> DataSet:
    rows = Observations({"x": torch.zeros(5, 2)})
    held_out = None if validation == 0 else Observations({"x": torch.zeros(validation, 2)})
    labels = split_labels(torch.arange(5 + validation), torch.arange(5) + 10, 5)
    return DataSet("small", rows, held_out, rows, (), 2, None, 10, labels=labels)


def test_classes_that_are_no_modality() -> None:
    data = with_labels(validation=2)
    assert data.classes("train").tolist() == [0, 1, 2, 3, 4]
    assert data.classes("validation").tolist() == [5, 6]
    assert data.classes("test").tolist() == [10, 11, 12, 13, 14]


def test_classes_that_are_a_modality() -> None:
    data = digits()
    assert torch.equal(data.classes("test"), data.test["label"])
    partial = keep_modalities(data.test, 0.5)
    classes = replace(data, test=partial).classes("test")
    held = partial.present["label"]
    assert torch.equal(classes[held], data.test["label"][held])
    assert (classes[~held] == -1).all()


def test_no_classes() -> None:
    data = with_labels()
    with pytest.raises(ValueError, match="small: has no validation rows"):
        data.classes("validation")
    with pytest.raises(ValueError, match="small: the test rows have no class"):
        replace(data, labels=None).classes("test")


def test_labels_must_be_those_of_the_rows() -> None:
    data = with_labels()
    with pytest.raises(ValueError, match=r"small: expected labels \(3,\), one a row of train, got"):
        replace(data, train=data.train[:3])
    with pytest.raises(ValueError, match=r"small: expected no labels of validation, got \(2,\)"):
        replace(data, labels={"validation": torch.arange(2)})
