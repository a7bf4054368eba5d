import pytest
import torch
from comparing import spare_pictures


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_default_dtype(torch.float32)
    spare_pictures(monkeypatch)
