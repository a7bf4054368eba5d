import pkgutil
from pathlib import Path

import pytest

from ppl_mm.data.registry import entries, entry
from ppl_mm.published.small_pictures import FASHION_MNIST, MNIST, SVHN
from ppl_mm.published.sources import data_folder, locate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with empty files, since only their names count."""
    for source in (MNIST, FASHION_MNIST, SVHN):
        (tmp_path / source.subfolder).mkdir()
        for name in source.md5:
            (tmp_path / source.subfolder / name).touch()
    return tmp_path


def test_argument_before_environment_before_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PPL_MM_DATA", str(tmp_path / "environment"))
    assert data_folder(tmp_path / "argument") == tmp_path / "argument"
    assert data_folder() == tmp_path / "environment"
    monkeypatch.delenv("PPL_MM_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder().name == "ppl_mm"


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder("~/corpora") == tmp_path / "corpora"


def test_missing_files_are_named_with_both_remedies(folder: Path) -> None:
    (folder / "fashion-mnist" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        locate(FASHION_MNIST, folder)
    message = str(caught.value)
    assert f"in {folder / 'fashion-mnist'}; missing: train-labels-idx1-ubyte.gz." in message
    assert "t10k-images-idx3-ubyte.gz" in message
    assert "`ppl-mm data get fashion_mnist`" in message
    assert "PPL_MM_DATA" in message


def test_plain_file_is_found_and_gzipped_one_comes_first(folder: Path) -> None:
    name = "t10k-labels-idx1-ubyte"
    plain, zipped = folder / "mnist" / name, folder / "mnist" / f"{name}.gz"
    plain.write_bytes(b"")
    assert locate(MNIST, folder)[zipped.name] == zipped
    zipped.unlink()
    assert locate(MNIST, folder)[zipped.name] == plain


def test_files_that_are_published_plain(folder: Path) -> None:
    paths = locate(SVHN, folder)
    assert paths == {name: folder / "svhn" / name for name in SVHN.md5}
    paths["test_32x32.mat"].unlink()
    with pytest.raises(FileNotFoundError, match=r"train_32x32.mat, test_32x32.mat in ") as caught:
        locate(SVHN, folder)
    assert "missing: test_32x32.mat. Run `ppl-mm data get svhn`" in str(caught.value)


def test_sources_are_complete() -> None:
    for found in entries():
        for source in found.sources:
            assert len(source.md5) == (2 if source is SVHN else 4)
            assert callable(pkgutil.resolve_name(source.read))
            assert all(len(bytes.fromhex(digest)) == 16 for digest in source.md5.values())
            assert entry(source.name).sources == (
                source,
            )  # the name that messages tell users to get
