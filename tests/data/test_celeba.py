"""CelebA against small files of its format."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_celeba import NAMES, write_celeba

from ppl_mm.data import MemoryMapped, celeba, celeba19
from ppl_mm.data.celeba import ATTRIBUTES
from ppl_mm.data.celeba_files import shrink

SIZES = (6, 3, 4)
# Wu & Goodman 2018, release: columns of the 18 attributes in the published list.
COLUMNS = [4, 5, 8, 9, 11, 12, 15, 17, 18, 20, 21, 22, 26, 28, 31, 32, 33, 35]


@pytest.fixture
def attributes(tmp_path: Path) -> np.ndarray:
    """Those of the files that are there now, 0 or 1."""
    return (write_celeba(tmp_path / "celeba", SIZES, np.random.default_rng(0)) + 1) // 2


def test_the_attributes_are_the_releases() -> None:
    assert [NAMES[column] for column in COLUMNS] == list(ATTRIBUTES)


def test_rows_are_those_of_the_partition(tmp_path: Path, attributes: np.ndarray) -> None:
    data = celeba(tmp_path)
    assert data.validation is not None
    start = 0
    for obs, size in zip((data.train, data.validation, data.test), SIZES, strict=True):
        assert isinstance(obs, MemoryMapped)
        rows = np.arange(start, start + size)
        assert np.array_equal(obs["attributes"].numpy(), attributes[rows][:, COLUMNS])
        expected = np.stack([10 * rows, 0 * rows + 100, 0 * rows + 50], 1) / 255
        found = obs["image"]
        assert found.shape == (size, 3, 64, 64)
        assert found.dtype == obs["attributes"].dtype == torch.get_default_dtype()
        means = found.mean((2, 3)).numpy()
        assert means == pytest.approx(expected, abs=2.5 / 255)  # what JPEG takes from a colour
        start += size


def test_a_shuffled_partition_moves_the_rows(tmp_path: Path, attributes: np.ndarray) -> None:
    path = tmp_path / "celeba" / "list_eval_partition.txt"
    parts = [int(line.split()[1]) for line in path.read_text().splitlines()][::-1]
    path.write_text("".join(f"{i + 1:06d}.jpg {part}\n" for i, part in enumerate(parts)))
    test = celeba(tmp_path).test
    assert np.array_equal(test["attributes"].numpy(), attributes[: SIZES[2]][:, COLUMNS])


def test_one_modality_an_attribute(tmp_path: Path, attributes: np.ndarray) -> None:
    one, many = celeba(tmp_path), celeba19(tmp_path)
    assert torch.equal(one.test["image"], many.test["image"])
    together = torch.stack([many.test[name] for name in ATTRIBUTES], 1)
    assert torch.equal(together, one.test["attributes"])


@pytest.mark.parametrize("load", [celeba, celeba19])
def test_networks_fit_the_values(tmp_path: Path, attributes: np.ndarray, load) -> None:
    data = load(tmp_path)
    assert data.train.names == tuple(m.name for m in data.modalities)
    obs = data.train[:3]
    for modality in data.modalities[:3]:
        modality.likelihood.check(modality.name, obs[modality.name])
        loc, _ = modality.encoder(data.latent_dim)(obs[modality.name])
        assert loc.shape == (3, 100)
        parameters = modality.decoder(data.latent_dim)(loc)
        assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (3,)


def test_a_picture_keeps_its_middle() -> None:
    pixels = np.zeros((218, 178, 3), np.uint8)
    pixels[109:] = 255  # the lower half
    pixels[:, :89, 0] = 100  # red on the left
    small = shrink(Image.fromarray(pixels)).astype(int)
    assert small.shape == (3, 64, 64)
    assert np.ptp(small[1], axis=1).max() == 0
    rows = small[1, :, 0]  # 78 rows less 7 at both ends: the edge is in the middle
    assert (rows[:31] == 0).all()
    assert (rows[33:] == 255).all()
    assert rows[31] == 255 - rows[32]
    assert (small[0, :, :31] == 100).all()
    stripes = np.tile(np.array([0, 200], np.uint8), (128, 64))
    assert (abs(shrink(Image.fromarray(stripes))[0, :, 2:-2] - 100.0) <= 1).all()  # means
    wide = shrink(Image.fromarray(pixels[:, :, 0].T), 32)
    assert wide.shape == (1, 32, 32)


def test_faces_are_made_once(tmp_path: Path, attributes: np.ndarray) -> None:
    first = celeba(tmp_path).test["image"]
    shutil.rmtree(tmp_path / "celeba" / "img_align_celeba")
    assert torch.equal(celeba(tmp_path).test["image"], first)
    left = sorted(path.name for path in (tmp_path / "celeba").iterdir())
    assert left == ["faces_64.npy", "list_attr_celeba.txt", "list_eval_partition.txt"]
    np.save(tmp_path / "celeba" / "faces_64.npy", np.zeros((2, 3, 64, 64), np.uint8))
    with pytest.raises(FileNotFoundError, match=r"bytes \(13, 3, 64, 64\), .* \(2, 3, 64, 64\); "):
        celeba(tmp_path)


def test_the_published_archive_will_do(tmp_path: Path, attributes: np.ndarray) -> None:
    expected = celeba(tmp_path).test["image"]
    root = tmp_path / "celeba"
    shutil.make_archive(str(root / "img_align_celeba"), "zip", root, "img_align_celeba")
    shutil.rmtree(root / "img_align_celeba")
    (root / "faces_64.npy").write_bytes(b"cut off")  # is made again
    assert torch.equal(celeba(tmp_path).test["image"], expected)
    (root / "faces_64.npy").unlink()
    archive = root / "img_align_celeba.zip"
    whole = archive.read_bytes()
    for junk in (bytes(200), b"\xff" * 200):  # over a picture in the middle
        archive.write_bytes(whole[:3000] + junk + whole[3200:])
        with pytest.raises(ValueError, match=r"\d.jpg: a damaged picture"):
            celeba(tmp_path)
    archive.write_bytes(whole[:-300])
    with pytest.raises(ValueError, match=r"img_align_celeba.zip: a damaged archive"):
        celeba(tmp_path)


@pytest.mark.parametrize(
    "name", ["img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"]
)
def test_missing_files(tmp_path: Path, attributes: np.ndarray, name: str) -> None:
    path = tmp_path / "celeba" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"celeba lacks {name}.* Put img_.*PPL_MM_DATA"):
        celeba(tmp_path)


def test_damaged_pictures(tmp_path: Path, attributes: np.ndarray) -> None:
    root = tmp_path / "celeba"
    path = root / "img_align_celeba" / "000003.jpg"
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"the 13 pictures .*, 1 are missing, .* 000003"):
        celeba(tmp_path)
    path.write_bytes(whole[:-200])
    with pytest.raises(ValueError, match=r"000003.jpg: a damaged picture"):
        celeba(tmp_path)
    Image.new("RGB", (300, 200)).save(path)
    with pytest.raises(ValueError, match=r"000003.jpg: expected .* 178 x 218 pixels, got 300 x"):
        celeba(tmp_path)
    assert not [p for p in root.iterdir() if "faces" in p.name]  # nothing half made


def replaced(line: int, old: str, new: str):
    def edit(text: str) -> str:
        lines = text.splitlines()
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new, 1)
        return "\n".join(lines)

    return edit


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("attr", lambda text: "", "expected the number of pictures .* got '' and 0 names"),
        ("attr", lambda text: "<html>\n" + text, "got '<html>' and 1 names"),
        ("attr", lambda text: text[:2000], "expected 13 lines after the names"),
        ("attr", lambda text: text[:-4], "line 15: .* 40 times -1 or 1, .* with 39 values"),
        ("attr", replaced(3, " 1", " 2"), "line 4: expected a picture's file and 40 times"),
        ("attr", replaced(1, "Bald", "Hairy"), "expected the attributes Bald among the names"),
        ("eval", lambda text: text[:-20], "expected 13 lines, one a picture .*, got 12"),
        ("eval", replaced(4, "000005", "000006"), "line 5: expected '000005.jpg', .* got '000006"),
        ("eval", replaced(4, " 0", " 3"), "line 5: .* and 0, 1 or 2, got '000005.jpg 3'"),
        ("eval", lambda text: text.replace(" 1\n", " 2\n"), r"got \[0, 2\] alone"),
    ],
)
def test_damaged_lists(tmp_path: Path, attributes: np.ndarray, name, edit, message) -> None:
    (path,) = (tmp_path / "celeba").glob(f"list_{name}*")
    path.write_text(edit(path.read_text()))
    with pytest.raises(ValueError, match=rf"{path.name}: .*{message}"):
        celeba(tmp_path)
