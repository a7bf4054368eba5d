import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ppl_mm.data import DataSet, cub_images
from ppl_mm.data.cub_pictures import list_pictures, read_pictures
from ppl_mm.data.vocabulary import SPECIALS, Vocabulary
from ppl_mm.likelihoods import Laplace
from ppl_mm.networks import presets
from ppl_mm.published.birds import find_pictures


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vocabularies know every caption's picture and number, and nothing else."""
    words = (f"{kind}{i}" for kind in ("picture", "number") for i in range(12))
    vocabulary = Vocabulary((*SPECIALS, *words))
    monkeypatch.setattr(Vocabulary, "of", lambda captions: vocabulary)


def numbers(data: DataSet, split: str) -> list[tuple[int, int]]:
    """Picture and number of each caption, from its words."""
    captions = data.vocabulary.decode(getattr(data, split)["caption"])
    found = [re.search(r"picture(\d+) .* number(\d+)", caption) for caption in captions]
    return [(int(m[1]), int(m[2])) for m in found]


def test_pictures_belong_to_their_captions(folder: Path, known) -> None:
    data = cub_images(folder, validation=4)
    for split, pictures in (("train", range(8)), ("test", range(8)), ("validation", range(8, 12))):
        obs = getattr(data, split)
        assert obs["image"].shape == (10 * len(pictures), 3, 64, 64)
        assert obs["image"].dtype == torch.get_default_dtype()
        expected = [(p, n) for p in pictures for n in range(10)]
        assert numbers(data, split) == expected
        red, _, blue = (255 * obs["image"][:, :, 30, 40]).T
        assert (red - torch.tensor([20.0 * p for p, _ in expected])).abs().max() < 4  # JPEG
        assert (blue - 255 * (split != "train")).abs().max() < 4
    few = data.train[torch.tensor([15, 3, 79])]
    assert (255 * few["image"][:, 0, 0, 0] - torch.tensor([20, 0, 140])).abs().max() < 4


def test_classes_are_those_of_training_rows_alone(folder: Path) -> None:
    data = cub_images(folder)
    assert data.classes("train").tolist() == [
        c for c in (0, 0, 0, 1, 1, 1, 2, 2) for _ in range(10)
    ]
    with pytest.raises(ValueError, match="the test rows have no class"):
        data.classes("test")


def test_pictures_are_resized_and_not_cropped(folder: Path) -> None:
    root = find_pictures(folder)
    names = list_pictures(root)["test"]
    pixels = np.zeros((40, 200, 3), np.uint8)
    pixels[:20, :, 0], pixels[:, 100:, 1] = 255, 255  # the upper half red, the right one green
    Image.fromarray(pixels).save(root / "CUB_200_2011" / "images" / names[2], quality=100)
    Image.new("L", (30, 10), 77).save(root / "CUB_200_2011" / "images" / names[4])
    made = read_pictures(root, "test", names)
    assert isinstance(made, np.memmap)
    assert (made.shape, made.dtype) == ((12, 3, 64, 64), np.uint8)
    red, green, _ = made[2] > 127
    assert red[:30].all()
    assert not red[34:].any()
    assert green[:, 34:].all()
    assert not green[:, :30].any()
    assert (made[4] == 77).all()  # a grey file has three equal colours


def test_pictures_are_made_once(folder: Path) -> None:
    first = cub_images(folder).train["image"]
    root = find_pictures(folder)
    for path in (root / "CUB_200_2011" / "images").rglob("*.jpg"):
        path.unlink()
    assert torch.equal(cub_images(folder).train["image"], first)
    (root / "images_train.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"8 of 8 pictures are missing.*001.Bird/Bird_0000"):
        cub_images(folder)


@pytest.mark.parametrize(
    "wrong", [np.zeros((7, 3, 64, 64), np.uint8), np.zeros((8, 3, 64, 64)), b"", b"text"]
)
def test_arrays_of_other_pictures_are_made_again(folder: Path, wrong) -> None:
    first = cub_images(folder).train["image"]
    path = folder / "cub" / "images_train.npy"
    np.save(path, wrong) if isinstance(wrong, np.ndarray) else path.write_bytes(wrong)
    assert torch.equal(cub_images(folder).train["image"], first)


def test_missing_files_say_where_to_get_them(folder: Path) -> None:
    cub = folder / "cub"
    where = r"vision.caltech.edu/datasets/cub_200_2011.*testclasses.txt.*PPL_MM_DATA"
    (cub / "CUB_200_2011" / "images.txt").rename(cub / "images.txt")
    with pytest.raises(FileNotFoundError, match=rf"CUB_200_2011/images.txt, found.*{where}"):
        cub_images(folder)
    (cub / "testclasses.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"images.txt, .*cub/testclasses.txt, found"):
        cub_images(folder)


@pytest.mark.parametrize("part", [slice(0, 200), slice(0, 0)])
def test_a_damaged_picture_is_named(folder: Path, part: slice) -> None:
    path = folder / "cub" / "CUB_200_2011" / "images" / "002.Bird" / "Bird_0001.jpg"
    path.write_bytes(path.read_bytes()[part])
    with pytest.raises(
        ValueError, match=r"002.Bird/Bird_0001.jpg: a damaged picture .*copy it again"
    ):
        cub_images(folder)
    assert not (folder / "cub" / "images_test.npy").exists()


def test_lists_are_checked(folder: Path) -> None:
    tests, images = folder / "cub" / "testclasses.txt", folder / "cub" / "CUB_200_2011/images.txt"
    for wrong, told in (
        ("003.Bird\n017.Owl\n", "got '017.Owl', which .* does not have"),
        ("", "got none"),
    ):
        tests.write_text(wrong)
        with pytest.raises(ValueError, match=rf"testclasses.txt: expected classes .* {told}"):
            cub_images(folder)
    tests.write_text("003.Bird\n")
    with pytest.raises(ValueError, match=r"10 captions for each of 17 train pictures, .* got 80"):
        cub_images(folder)
    images.write_text("1 001.Bird/a.jpg\n2 b.jpg\n")
    with pytest.raises(ValueError, match=r"images.txt: expected lines 'NUMBER CLASS/FILE', got '2"):
        cub_images(folder)


@pytest.mark.parametrize("validation", [-1, 12])
def test_validation_must_leave_pictures(folder: Path, validation: int) -> None:
    with pytest.raises(ValueError, match=r"cub_images.*(from 0 to 11 of the 12|at least 0)"):
        cub_images(folder, validation=validation)


def test_declarations_are_the_papers(folder: Path) -> None:
    data = cub_images(folder)
    image, caption = data.modalities
    assert (image.likelihood, image.weight, caption.weight) == (
        Laplace(0.01),
        32 / (3 * 64 * 64),
        5,
    )
    assert data.latent_dim == 48
    assert image.encoder is presets.cub_image_encoder
    obs = data.train[:2]
    for modality in data.modalities:
        modality.likelihood.check(modality.name, obs[modality.name])
    loc, _ = caption.encoder(48).eval()(obs["caption"])
    assert caption.decoder(64).eval()(torch.cat([loc, loc[:, :16]], 1)).shape == (
        *(2, 32),
        len(data.vocabulary),
    )
