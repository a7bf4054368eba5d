"""The facts of data sets: what is downloaded, what is ready, and their order."""

from pathlib import Path

import pytest

from ppl_mm.published.facts import Facts, in_order, summaries
from ppl_mm.published.small_pictures import MNIST, SVHN
from ppl_mm.published.sources import Source


def facts(name: str = "pairs", **options: object) -> Facts:
    return Facts(name=name, modalities=("left", "right"), sizes=None, **options)


def put(folder: Path, source: Source) -> None:
    """Write empty files of the source's names."""
    (folder / source.subfolder).mkdir()
    for name in source.md5:
        (folder / source.subfolder / name).touch()


def missing(folder: object) -> object:
    raise FileNotFoundError(folder)


@pytest.mark.parametrize(
    ("options", "has_files", "download"),
    [
        ({}, False, None),
        ({"sources": (MNIST,)}, True, "mnist"),
        ({"sources": (MNIST, SVHN)}, True, "pairs"),
        ({"by_hand": "Ask."}, True, "pairs"),
        ({"find": missing}, True, None),
    ],
)
def test_what_is_downloaded(options, has_files, download) -> None:
    found = facts(**options)
    assert (found.has_files, found.download) == (has_files, download)


def test_all_sources_are_needed(tmp_path: Path) -> None:
    both = facts(sources=(MNIST, SVHN))
    assert not both.is_ready(tmp_path)
    put(tmp_path, MNIST)
    assert not both.is_ready(tmp_path)
    put(tmp_path, SVHN)
    assert both.is_ready(tmp_path)
    assert facts().is_ready(tmp_path / "nowhere")


def test_what_is_found_takes_the_place_of_sources(tmp_path: Path) -> None:
    assert facts(find=lambda folder: folder, sources=(MNIST,)).is_ready(tmp_path)
    other = facts(find=lambda folder: None, sources=(MNIST,))
    assert not other.is_ready(tmp_path)
    put(tmp_path, MNIST)
    assert other.is_ready(tmp_path)
    assert not facts(find=missing, sources=(MNIST,)).is_ready(tmp_path)


def test_order_is_by_need_of_files_then_by_name() -> None:
    some = [facts("c"), facts("b", by_hand="Ask."), facts("d"), facts("a", find=missing)]
    assert [one.name for one in in_order(some)] == ["c", "d", "a", "b"]
    assert [one.name for one in summaries(some)] == ["c", "d", "a", "b"]
