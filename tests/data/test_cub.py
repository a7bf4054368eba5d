import gzip
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_mm.data import DataSet, cub, cub_captions
from ppl_mm.data.cub_files import read_captions, read_features
from ppl_mm.data.vocabulary import EOS, PAD, SPECIALS, Vocabulary
from ppl_mm.likelihoods import Laplace, Tokens

real = pytest.mark.skipif(
    not (Path(os.environ.get("PPL_MM_DATA", "")) / "cub-captions").is_dir(),
    reason="needs the published captions: set PPL_MM_DATA",
)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vocabularies know every caption's picture and number, and nothing else."""
    words = (f"{kind}{i}" for kind in ("picture", "number") for i in range(12))
    vocabulary = Vocabulary((*SPECIALS, *words))
    monkeypatch.setattr(Vocabulary, "of", lambda captions: vocabulary)


def numbers(data: DataSet, split: str, name: str) -> list[tuple[int, int]]:
    """Picture and number of each caption, from its words."""
    captions = data.vocabulary.decode(getattr(data, split)[name])
    found = [re.search(r"picture(\d+) .* number(\d+)", caption) for caption in captions]
    return [(int(m[1]), int(m[2])) for m in found]


def test_pairs_are_captions_of_one_picture_and_splits_share_none(folder: Path, known) -> None:
    data = cub_captions(folder, num_test=3, validation=2)
    pictures = {}
    for split, size in (("train", 7), ("validation", 2), ("test", 3)):
        first, second = (numbers(data, split, name) for name in ("caption_a", "caption_b"))
        assert len(first) == 5 * size
        assert [picture for picture, _ in first] == [picture for picture, _ in second]
        pictures[split] = {picture for picture, _ in first}
        assert len(pictures[split]) == size
        assert [p for p, _ in first] == 5 * [p for p, _ in first[:size]]
        assert sorted(first + second) == [
            (p, n) for p in sorted(pictures[split]) for n in range(10)
        ]
    assert set.union(*pictures.values()) == set(range(12))


def test_seed_decides_pairs_and_splits(folder: Path, known) -> None:
    first, again, other = (
        cub_captions(folder, num_test=3, validation=2, seed=seed) for seed in (0, 0, 1)
    )
    for split in ("train", "validation", "test"):
        for name in ("caption_a", "caption_b"):
            assert numbers(first, split, name) == numbers(again, split, name)
        assert numbers(first, split, "caption_a") != numbers(other, split, "caption_a")


def test_vocabulary_is_that_of_training_captions(folder: Path, birds) -> None:
    data = cub_captions(folder, num_test=3, validation=2)
    words = set(data.vocabulary.words[3:])
    trained = {int(w.removeprefix("picture")) for w in words if w.startswith("picture")}
    assert len(trained) == 7  # ten times each in training captions, never in others
    assert words - {f"picture{p}" for p in trained} == {
        *("this", "test", "bird", ",", "is", "."),
        *(f"number{n}" for n in range(10)),
    }
    in_test = data.vocabulary.decode(data.test["caption_a"])
    assert all(re.fullmatch(r"this test bird , <exc> , is number\d \.", c) for c in in_test)
    assert cub(folder, validation=4).vocabulary == Vocabulary.of(birds["train"])


def test_features_belong_to_their_captions(folder: Path, known) -> None:
    data = cub(folder, validation=4)
    for split, pictures in (("train", range(8)), ("test", range(8)), ("validation", range(8, 12))):
        obs = getattr(data, split)
        assert obs["image"].shape == (10 * len(pictures), 2048)
        assert obs["image"].dtype == torch.get_default_dtype()
        expected = [(p, n) for p in pictures for n in range(10)]
        assert numbers(data, split, "caption") == expected
        assert obs["image"][:, 0].tolist() == [p for p, _ in expected]


@pytest.mark.parametrize("options", [{}, {"score_padding": False}])
def test_networks_fit_the_values(folder: Path, options) -> None:
    for data in (
        cub(folder, validation=0, **options),
        cub_captions(folder, num_test=3, validation=0, **options),
    ):
        assert data.validation is None
        assert data.latent_dim == 64
        obs = data.train[:2]
        for modality in data.modalities:
            modality.likelihood.check(modality.name, obs[modality.name])
            loc, scale = modality.encoder(64).eval()(obs[modality.name])
            assert loc.shape == scale.shape == (2, 64)
            parameters = modality.decoder(64).eval()(loc)
            features = modality.features().eval()(obs[modality.name])
            assert features.shape == (2, 256 if modality.name == "image" else 2048)
            if modality.name != "image":
                assert parameters.shape == (2, 32, len(data.vocabulary))
            assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (2,)


def test_likelihoods_are_the_papers(folder: Path) -> None:
    image, caption = cub(folder, validation=0).modalities
    assert (image.likelihood, image.weight) == (Laplace(0.01), 0.002)
    assert (caption.likelihood, caption.weight) == (Tokens(), 1)
    _, caption = cub(folder, validation=0, score_padding=False).modalities
    assert caption.likelihood == Tokens(padding=PAD)
    tokens = cub(folder, validation=0).train["caption"][:1]
    logits = torch.zeros(1, 32, 5)
    length = int((tokens[0] == EOS).nonzero()) + 1
    log_prob = caption.likelihood(logits).log_prob(tokens.clamp(max=4))
    torch.testing.assert_close(log_prob, -length * torch.tensor([5.0]).log())


@pytest.mark.parametrize("options", [{"num_test": 0}, {"num_test": 12}, {"validation": -1}])
def test_sizes_must_leave_pictures(folder: Path, options) -> None:
    with pytest.raises(ValueError, match=r"cub_captions.*(the 12 pictures|at least)"):
        cub_captions(folder, **{"num_test": 3, "validation": 0, **options})
    for validation in (-1, 12):
        with pytest.raises(ValueError, match=r"cub.*(from 0 to 11 of the 12|at least 0)"):
            cub(folder, validation=validation)


def test_captions_gzipped_and_in_the_other_folder(folder: Path, birds) -> None:
    (folder / "cub-captions").mkdir()
    plain = folder / "cub" / "text_testclasses.txt"
    zipped = folder / "cub-captions" / "text_testclasses.txt.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert read_captions(zipped) == birds["test"]
    assert len(cub_captions(folder, num_test=3, validation=2).train) == 35
    content = zipped.read_bytes()
    for damaged in (b"", b"plain text", content[:-12], content[:20] + b"?" + content[21:]):
        zipped.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"text_testclasses.txt.gz: (a damaged|expected 10)"):
            cub_captions(folder, num_test=3, validation=2)


def test_missing_files_say_what_to_do(folder: Path) -> None:
    (folder / "cub" / "features_test.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"features_test.npy, floats .*2048.* into cub/"):
        cub(folder)
    (folder / "cub" / "text_testclasses.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"text_testclasses.txt .*into cub-captions/ of"):
        cub_captions(folder)


def test_lines_are_captions_whatever_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "text_testclasses.txt"
    lines = ["a bird. one more sentence.", "", "a\x0bb", "caf\u00e9\u2028", *(6 * ["x"])]
    path.write_bytes("\r\n".join(lines).encode())
    assert read_captions(path) == lines
    path.write_bytes(b"a\xff\n" * 10)
    assert read_captions(path) == 10 * ["a\ufffd"]
    for content, size in ((b"", 0), (b"x\n" * 11, 11), (b"x\n" * 10 + b"\n", 11)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"expected 10 lines for each picture, got {size} lin"):
            read_captions(path)


def test_features_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "features_test.npy"
    for wrong in (np.zeros((3, 2048)), np.zeros((4, 2047)), np.zeros((4, 2048), int)):
        np.save(path, wrong)
        message = rf"floats \(4, 2048\), .* got {wrong.dtype} {re.escape(str(wrong.shape))}"
        with pytest.raises(ValueError, match=message):
            read_features(path, 4)
    np.save(path, np.full((4, 2048), np.nan))
    with pytest.raises(ValueError, match="expected finite features"):
        read_features(path, 4)
    np.save(path, np.zeros((4, 2048), np.float16))
    assert read_features(path, 4).dtype == torch.get_default_dtype()
    content = path.read_bytes()
    for damaged in (b"", b"text", content[:9], content[:-5]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="expected an array as numpy"):
            read_features(path, 4)
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(ValueError, match="got an archive"):
        read_features(path, 4)


@real
def test_published_captions() -> None:
    data = cub_captions()
    assert [len(data.train), len(data.validation), len(data.test)] == [10_915, 1_250, 2_500]
    assert 800 < len(data.vocabulary) < 1_000
    assert (data.train["caption_a"] == 0).double().mean() < 0.01
    assert data.train["caption_b"].max() == len(data.vocabulary) - 1
