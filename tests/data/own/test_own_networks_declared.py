"""Networks of the user's own, named in a declaration as package.module:Class."""

import importlib
from pathlib import Path

import pytest
import torch

from ppl_mm import data, networks, runs

NETWORKS = """
import torch
from torch import nn

class Encoder(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.inner = nn.Linear(2, latent_dim)

    def forward(self, x):
        return self.inner(x), torch.full_like(self.inner(x), FACTOR)

class Decoder(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.inner = nn.Linear(in_features, 2)

    def forward(self, z):
        return self.inner(z), torch.ones(2)

constant = 3
"""


def declare(folder: Path, module: str, keys: str, factor: float = 0.5) -> Path:
    folder.mkdir(exist_ok=True)
    rows = "\n".join(f"p{i},{i / 7},{-i / 9},{'uv'[i % 2]}" for i in range(40))
    (folder / "x.csv").write_text(f"id,a,b,sort\n{rows}\n")
    (folder / f"{module}.py").write_text(NETWORKS.replace("FACTOR", str(factor)))
    path = folder / "own.toml"
    path.write_text(
        "file = 'x.csv'\nindex = 'id'\nhidden = [4]\nlatent_dim = 2\n"
        "[modalities.sort]\ncolumns = 'sort'\nkind = 'category'\n"
        f"[modalities.x]\ncolumns = ['a', 'b']\nkind = 'real'\n{keys}\n"
    )
    importlib.invalidate_caches()
    return path


def modality(path: Path):
    return data.from_file(path, quiet=True).modalities[1]


def test_one_or_both_networks_are_the_users(tmp_path):
    keys = "encoder = 'nets_one:Encoder'"
    found = modality(declare(tmp_path, "nets_one", keys))
    assert type(found.encoder(2)).__name__ == "Encoder"
    assert isinstance(found.decoder(2), networks.TableDecoder)
    assert found.features is None
    keys = "decoder = 'nets_one:Decoder'"
    found = modality(declare(tmp_path, "nets_one", keys))
    assert isinstance(found.encoder(2), networks.TableEncoder)
    assert type(found.decoder(2)).__name__ == "Decoder"
    assert isinstance(found.features(), networks.TableFeatures)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "encoder = 'nets_two'",
            r"\[modalities.x\], encoder: 'nets_two' is no package.module:name",
        ),
        ("encoder = 'nets_two:Encode'", r"encoder: 'nets_two:Encode' is no package.module:name .*"),
        ("decoder = 'nets_tow:Decoder'", r"decoder: 'nets_tow:Decoder' .*No module named 'nets_t"),
        ("decoder = 'nets_two:constant'", r"decoder: .* is no class or function; got 3"),
        ("decoder = 3", r"\[modalities.x\], decoder: expected text in quotes, got 3"),
        ("encode = 'a:b'", r"unknown key 'encode'.* Did you mean 'encoder'"),
    ],
)
def test_wrong_names_are_told(keys, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        modality(declare(tmp_path, "nets_two", keys))
    assert "\n" not in str(caught.value)


def test_modules_of_one_name_beside_two_declarations_are_two(tmp_path):
    keys = "encoder = 'nets_three:Encoder'"
    first = declare(tmp_path / "a", "nets_three", keys, 0.5)
    second = declare(tmp_path / "b", "nets_three", keys, 0.25)
    scales = [modality(p).encoder(2)(torch.zeros(1, 2))[1][0, 0] for p in (first, second, first)]
    assert scales == [0.5, 0.25, 0.5]


def test_a_changed_module_is_a_changed_declaration(tmp_path):
    keys = "encoder = 'nets_four:Encoder'"
    found = []
    for factor in (0.5, 0.5, 0.25):
        path = declare(tmp_path, "nets_four", keys, factor)
        found.append(data.from_file(path, quiet=True).provenance.fingerprint)
    assert found[0] == found[1] != found[2]


def test_a_run_with_them_is_loaded_again(tmp_path, monkeypatch):
    monkeypatch.setattr("ppl_mm.runs.run.draw", lambda run: None)
    keys = "encoder = 'nets_five:Encoder'\ndecoder = 'nets_five:Decoder'\nweight = 2"
    path = declare(tmp_path, "nets_five", keys)
    options = {"epochs": 1, "step": "eager", "weights": {"sort": 5.0}, "progress": False}
    run = runs.train(tmp_path / "run", "mvae", str(path), **options)
    again = runs.load(tmp_path / "run")
    assert type(again.system.guide.encoders["x"]).__name__ == "Encoder"
    test = run.dataset.test
    torch.testing.assert_close(again.system.posterior(test).mean, run.system.posterior(test).mean)
    assert {m.name: m.weight for m in again.system.modalities} == {"sort": 5.0, "x": 2.0}
    filled = runs.impute(again, tmp_path / "filled.csv", num_draws=2, refine="none")
    assert filled == 0
