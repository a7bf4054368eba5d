"""Inception in a classifier's place: what it sees, what it says where something is missing.

The network has its true architecture and format of weights, at random values.
"""

import pickle
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import URLError

import pytest
import torch
from every_system import build, complete, modalities

from ppl_mm import generate
from ppl_mm.evaluation import Inception, features_of, frechet, frechet_distance
from ppl_mm.oracles.inception import as_bytes


@pytest.fixture(scope="module")
def fidelity():
    reason = "needs the extra: pip install 'ppl-mm[fid]'"
    pytest.importorskip("torchmetrics.image.fid", reason=reason, exc_type=ImportError)
    return pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3", reason=reason, exc_type=ImportError
    )


@pytest.fixture(scope="module")
def weights(fidelity, tmp_path_factory) -> Path:
    """A file of random weights, as published ones are kept."""
    with pytest.MonkeyPatch.context() as patch:
        network = fidelity.FeatureExtractorInceptionV3
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(network, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        state = network("random", ["2048"]).state_dict()
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(state, path)
    return path


# ------------------------------------------------------------- without the extra


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_come_back_exactly(dtype):
    images = torch.randint(256, (4, 3, 5, 6))
    assert torch.equal(as_bytes(images.to(dtype) / 255), images.to(torch.uint8))


def test_grey_is_repeated_and_numbers_are_cut():
    grey = torch.tensor([-1.0, 0.2, 7.0]).reshape(3, 1, 1, 1)
    found = as_bytes(grey)
    assert found.shape == (3, 3, 1, 1)
    assert found[:, :, 0, 0].tolist() == [[0] * 3, [51] * 3, [255] * 3]


@pytest.mark.parametrize(
    "images", [torch.rand(2, 8, 8), torch.rand(2, 2, 8, 8), torch.ones(2, 1, 8, 8).byte()]
)
def test_what_is_no_image_is_refused(images):
    with pytest.raises(ValueError, match=r"expected images \(B, 1 or 3, H, W\) of floats"):
        as_bytes(images)


def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    with pytest.raises(ImportError, match=r"pip install 'ppl-mm\[fid\]'"):
        Inception(tmp_path / "weights.pth")


# ---------------------------------------------------------------- with the extra


def test_a_missing_file_or_network_says_what_to_do(fidelity, monkeypatch, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; download it from https://"):
        Inception(tmp_path / "weights.pth")

    def offline(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(fidelity, "load_state_dict_from_url", offline)
    with pytest.raises(FileNotFoundError, match=r"no network.*give its path as weights="):
        Inception()


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, *_):
        pass


def test_weights_are_downloaded_once_into_torchs_cache(fidelity, weights, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=weights.parent)) as server:
        url = f"http://127.0.0.1:{server.server_port}/{weights.name}"
        monkeypatch.setattr(fidelity, "URL_INCEPTION_V3", url)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            found = Inception()
        finally:
            server.shutdown()
    kept = tmp_path / "hub" / "checkpoints" / weights.name
    assert kept.read_bytes() == weights.read_bytes()
    known = Inception(weights).state_dict()
    for again in (found, Inception()):  # The second time there is no server.
        assert all(torch.equal(known[name], value) for name, value in again.state_dict().items())


KINDS = ("soft_bernoulli", "categorical")


class Symbols(torch.nn.Module):
    def features(self, classes):
        return torch.nn.functional.one_hot(classes, 3).double()


class Runs:
    def __reduce__(self):
        return (exec, ("raise SystemExit('this file ran code')",))


def test_other_files_are_refused_and_run_no_code(fidelity, tmp_path):
    path = tmp_path / "weights.pth"
    for content in (pickle.dumps({"weight": Runs()}, protocol=2), b"nothing of the kind"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="does not hold the weights"):
            Inception(path)
    torch.save({"fc.weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="does not hold the weights"):
        Inception(path)


def test_features_are_those_of_the_network_at_bytes(fidelity, weights):
    found = Inception(weights)
    images = torch.rand(2, 3, 299, 299, dtype=torch.float32)  # nothing to resize
    reference = fidelity.FeatureExtractorInceptionV3(
        "reference", ["2048"], feature_extractor_weights_path=weights
    )
    with torch.no_grad():
        expected = reference((images * 255).round().to(torch.uint8))[0]
        got = found.features(images)
    assert got.shape == (2, 2048)
    assert got.std() > 0
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_frechet_inception_distance_of_a_system(weights):
    system, obs = build("mvae", modalities(*KINDS)), complete(4, *KINDS)
    network = Inception(weights)
    found = frechet(system, obs, {"soft_bernoulli": network}, ["categorical"])
    assert (found.name, found.subsets) == ("FID", (("categorical",),))
    drawn = generate(system, obs, "soft_bernoulli", given="categorical", mean=True)
    real = obs["soft_bernoulli"]
    images = drawn["soft_bernoulli"][0].clamp(real.min(), real.max())
    features = features_of(network, images), features_of(network, real)
    assert found.cells.item() == pytest.approx(frechet_distance(*features), rel=1e-6)
    assert "FID" in str(found)
    assert "FID-clf" not in str(found)
    with pytest.raises(ValueError, match="got both"):
        frechet(system, obs, {"soft_bernoulli": network, "categorical": Symbols()}, [()])
