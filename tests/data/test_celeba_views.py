"""Six views of CelebA, of small files of its format; landmarks on a photograph of scikit-image."""

import shutil
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_celeba import write_celeba, write_masks

from ppl_mm.data import MemoryMapped, celeba, celeba_vision
from ppl_mm.data.celeba_files import shrink
from ppl_mm.data.celeba_views import edges, obscured, watermarked
from ppl_mm.data.landmarks import Landmarks, draw_face
from ppl_mm.published import faces
from ppl_mm.published.faces import PREDICTOR, VIEWS, find_predictor

SIZES = (3, 1, 2)


@pytest.fixture
def masks(tmp_path: Path) -> np.ndarray:
    """Those stored beside the files that are there now."""
    write_celeba(tmp_path / "celeba", SIZES, np.random.default_rng(0))
    return write_masks(tmp_path / "celeba", sum(SIZES), np.random.default_rng(1))


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    """A photograph of one face, cut to the size of CelebA's aligned pictures."""
    with (files("skimage.data") / "astronaut.png").open("rb") as file, Image.open(file) as image:
        return image.convert("RGB").crop((140, 20, 318, 238))


@pytest.fixture(scope="module")
def find_face() -> Landmarks:
    pytest.importorskip("dlib", reason="needs the extra: pip install 'ppl-mm[vision]'")
    try:
        return Landmarks(find_predictor())
    except FileNotFoundError as error:
        pytest.skip(str(error))


def test_each_view_is_made_of_the_whole_picture_and_shrunk(tmp_path: Path, masks) -> None:
    data = celeba_vision(tmp_path)
    assert data.train.names == VIEWS
    assert data.origin == "aligned pictures"
    assert isinstance(data.test, MemoryMapped)
    assert torch.equal(data.test["image"], celeba(tmp_path).test["image"])
    made = {"gray": lambda p: p.convert("L"), "edge": edges, "obscured": obscured}
    made["watermark"] = watermarked
    for row in range(2):
        path = tmp_path / "celeba" / "img_align_celeba" / f"{5 + row:06d}.jpg"
        picture = Image.open(path).convert("RGB")
        for name, view in made.items():
            expected = torch.from_numpy(shrink(view(picture)).copy()) / 255
            torch.testing.assert_close(data.test[name][row], expected.double(), atol=1e-9, rtol=0)
    parts = (data.train, data.validation, data.test)
    found = torch.cat([obs["mask"] for obs in parts if obs is not None]) * 255
    assert np.array_equal(found.round().numpy(), masks)


def test_full_size_pictures_come_first(tmp_path: Path, masks) -> None:
    root, rng = tmp_path / "celeba", np.random.default_rng(2)
    (root / "img_celeba").mkdir()
    colours = rng.integers(0, 256, (6, 3))
    for i, colour in enumerate(colours.tolist()):
        picture = Image.new("RGB", (90 + 10 * i, 120), tuple(colour))
        picture.save(root / "img_celeba" / f"{i + 1:06d}.jpg")
    np.save(root / "full_mask_64.npy", masks)
    data = celeba_vision(tmp_path)
    assert data.origin == "full-size pictures"
    means = data.train["image"].mean((2, 3)).numpy()
    assert means == pytest.approx(colours[:3] / 255, abs=2.5 / 255)  # what JPEG takes
    shutil.rmtree(root / "img_celeba")
    assert torch.equal(celeba_vision(tmp_path).train["image"], data.train["image"])
    (root / "full_gray_64.npy").unlink()
    assert celeba_vision(tmp_path).origin == "aligned pictures"


def test_networks_fit_the_values(tmp_path: Path, masks) -> None:
    data = celeba_vision(tmp_path)
    obs = data.train[:2]
    for modality in data.modalities:
        modality.likelihood.check(modality.name, obs[modality.name])
        loc, _ = modality.encoder(data.latent_dim)(obs[modality.name])
        assert loc.shape == (2, 250)
        parameters = modality.decoder(data.latent_dim)(loc)
        assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (2,)


def test_without_masks_the_predictor_is_asked_for(tmp_path: Path, masks, monkeypatch) -> None:
    (tmp_path / "celeba" / "aligned_mask_64.npy").unlink()
    monkeypatch.setattr(faces, "_PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match=r"shape_predictor_68.*\[vision\]'; or unpack"):
        celeba_vision(tmp_path)
    assert not (tmp_path / "celeba" / "faces_64.npy").exists()  # said before anything is made


@pytest.mark.parametrize("name", ["img_align_celeba", "list_eval_partition.txt"])
def test_missing_files(tmp_path: Path, masks, name: str) -> None:
    path = tmp_path / "celeba" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"celeba lacks {name}.*PPL_MM_DATA"):
        celeba_vision(tmp_path)


def test_edges_are_where_brightness_steps() -> None:
    pixels = np.zeros((60, 80), np.uint8)
    pixels[:, 40], pixels[:, 41:] = 100, 200
    found = np.asarray(edges(Image.fromarray(pixels)))
    assert set(np.unique(found)) == {0, 255}
    assert np.flatnonzero(found[30]).tolist() == [40]
    for step, is_edge in ((38, True), (30, False)):  # a blur of 2 pixels makes it too weak
        pixels[:, 40], pixels[:, 41:] = step // 2, step
        assert np.asarray(edges(Image.fromarray(pixels))).any() == is_edge


def test_the_watermark_covers_a_half_white_ring_and_diagonals() -> None:
    black = np.asarray(watermarked(Image.new("RGB", (512, 512)))).astype(int)
    assert set(np.unique(black)) == {0, 128}
    row = np.flatnonzero(black[256, :, 0])  # the ring, the crossing, the ring
    starts = row[np.diff(row, prepend=-9) > 1]
    assert starts[0] == 96
    assert row[-1] == 416
    white = watermarked(Image.new("RGB", (178, 218), (255, 255, 255)))
    assert np.asarray(white).min() >= 254
    turned = watermarked(Image.new("RGB", (218, 178))).size
    assert turned == (218, 178)


def test_a_face_is_drawn_as_hulls_and_a_line() -> None:
    points = np.zeros((68, 2), int)
    points[:17] = np.stack([np.arange(20, 37), np.full(17, 40)], 1)  # the jaw, a level line
    points[17:22] = [(i, 3) for i in range(4, 9)]  # a brow, whose points lie on one line
    points[36:42] = [(10, 10), (20, 10), (20, 16), (10, 16), (15, 13), (12, 12)]  # two inside
    drawn = np.asarray(draw_face(points, (48, 48)))
    assert set(np.unique(drawn)) == {0, 255}
    assert (drawn[10:17, 10:21] == 255).all()
    assert (drawn[3, 4:9] == 255).all()
    assert (drawn[:, 20:37] == 255).sum(0).tolist() == [9] + 16 * [2]  # the eye's edge; 2 pixels
    assert (drawn == 255).sum() == 7 * 11 + 5 + 17 * 2 + 1  # and the parts left at (0, 0)
    assert not np.asarray(draw_face(None, (48, 48))).any()
    with pytest.raises(ValueError, match=r"expected landmarks \(68, 2\), got \(5, 2\)"):
        draw_face(points[:5], (48, 48))


@pytest.mark.parametrize(
    ("start", "end"), [(17, 22), (22, 27), (27, 36), (36, 42), (42, 48), (48, 68)]
)
def test_a_part_has_its_own_landmarks(start: int, end: int) -> None:
    """Of iBUG's 68: brows, nose, eyes and mouth; a square whose corners are the first and last."""
    points = np.zeros((68, 2), int)
    points[start:end] = [[15, 15]]
    points[[start, start + 1, end - 2, end - 1]] = [[10, 10], [20, 10], [20, 20], [10, 20]]
    drawn = np.asarray(draw_face(points, (30, 30)))
    assert (drawn[10:21, 10:21] == 255).all()
    assert (drawn[5:] == 255).sum() == 11**2  # the others are at (0, 0)


def test_landmarks_of_a_face(find_face: Landmarks, astronaut: Image.Image) -> None:
    points = find_face(astronaut)
    assert points is not None
    left, right, nose, mouth = points[36:42], points[42:48], points[27:36], points[48:68]
    assert left[:, 0].max() < nose[:, 0].mean() < right[:, 0].min()
    assert max(left[:, 1].max(), right[:, 1].max()) < nose[:, 1].mean() < mouth[:, 1].min()
    assert find_face(Image.new("RGB", (178, 218))) is None


def test_masks_are_those_of_the_landmarks(tmp_path, find_face, astronaut) -> None:
    root = tmp_path / "celeba"
    write_celeba(root, (1, 1, 1), np.random.default_rng(0))
    astronaut.save(root / "img_align_celeba" / "000003.jpg")
    (root / PREDICTOR).symlink_to(find_predictor())
    data = celeba_vision(tmp_path)
    assert not data.train["mask"].any()  # a plain colour has no face
    with Image.open(root / "img_align_celeba" / "000003.jpg") as picture:
        expected = shrink(draw_face(find_face(picture), picture.size))
    found = data.test["mask"][0]
    assert np.array_equal((found * 255).round().numpy(), expected)
    assert 0.02 < found.mean() < 0.3


def test_a_predictor_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="needs the extra: pip install 'ppl-mm[vision]'")
    (tmp_path / "other.dat").write_bytes(b"not a predictor")
    with pytest.raises(ValueError, match=r"other.dat: not dlib's predictor"):
        Landmarks(tmp_path / "other.dat")


def test_without_dlib(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dlib", None)
    with pytest.raises(ImportError, match=r"pip install 'ppl-mm\[vision\]'"):
        Landmarks(tmp_path / "any.dat")


def test_without_scikit_image_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    with pytest.raises(ImportError, match=r"celeba_vision: .*pip install 'ppl-mm\[vision\]'"):
        edges(Image.new("L", (8, 8)))
