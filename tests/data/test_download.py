import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ppl_mm.data import get, mnist, read_svhn, registry
from ppl_mm.data.registry import entries, entry
from ppl_mm.published.small_pictures import MNIST, SVHN
from ppl_mm.published.sources import Source


@dataclass
class Mirror:
    """A server on this computer; ``asked`` lists the files that were asked for."""

    url: str
    root: Path
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def mirror(folder: Path) -> Iterator[Mirror]:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder / "mnist"))

        def log_message(self, *args: Any) -> None:
            asked.append(self.path.lstrip("/"))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Mirror(f"http://127.0.0.1:{server.server_port}/", folder / "mnist", asked)
        server.shutdown()
        thread.join()


def publish(patch: pytest.MonkeyPatch, name: str, *sources: Source) -> None:
    """Read a data set from other sources."""
    patch.setitem(registry._ENTRIES, name, replace(entry(name), sources=sources))


@pytest.fixture(autouse=True)
def published(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST, as if the small files were what is published."""
    md5 = {name: hashlib.md5((mirror.root / name).read_bytes()).hexdigest() for name in MNIST.md5}
    publish(monkeypatch, "mnist", replace(MNIST, mirrors=(mirror.url,), md5=md5))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new"


@pytest.fixture
def dead_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def test_downloads_once(mirror: Mirror, target: Path) -> None:
    assert get("mnist", target) == target / "mnist"
    assert sorted(mirror.asked) == sorted(MNIST.md5)
    assert len(mnist(target, validation=10).train) == 30
    get("mnist", target)
    assert len(mirror.asked) == 4


def test_asks_for_missing_files_only(mirror: Mirror, folder: Path) -> None:
    content = (folder / "mnist" / "train-labels-idx1-ubyte.gz").read_bytes()
    partial = folder / "partial" / "mnist"
    partial.mkdir(parents=True)
    (partial / "train-labels-idx1-ubyte.gz").write_bytes(content)
    get("mnist", folder / "partial")
    assert sorted(mirror.asked) == sorted(set(MNIST.md5) - {"train-labels-idx1-ubyte.gz"})


def test_a_users_own_files_stay(mirror: Mirror, target: Path, arrays, write_idx) -> None:
    for name, array in arrays.items():  # plain, so with no published checksum
        write_idx(target / "mnist" / name.removesuffix(".gz"), array)
    get("mnist", target)
    assert mirror.asked == []
    assert len(list((target / "mnist").iterdir())) == 4


def test_a_damaged_file_is_replaced(mirror: Mirror, target: Path) -> None:
    get("mnist", target)
    damaged = target / "mnist" / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    mirror.asked.clear()
    get("mnist", target)
    assert mirror.asked == [damaged.name]
    assert len(mnist(target, validation=0).test) == 20


def test_wrong_checksum(mirror: Mirror, target: Path) -> None:
    served = mirror.root / "train-images-idx3-ubyte.gz"
    served.write_bytes(served.read_bytes() + b"x")
    with pytest.raises(
        OSError, match=r"could not download train-images.*\n.*hash.*match"
    ) as caught:
        get("mnist", target)
    assert mirror.url in str(caught.value)
    assert list((target / "mnist").iterdir()) == []


def test_second_mirror_where_the_first_is_dead(
    mirror: Mirror, target: Path, dead_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrors = (dead_url, mirror.url)
    publish(monkeypatch, "mnist", replace(entry("mnist").sources[0], mirrors=mirrors))
    get("mnist", target)
    assert len(mirror.asked) == 4


def test_second_mirror_where_the_first_has_other_files(
    mirror: Mirror, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrors = (f"{mirror.url}elsewhere", mirror.url)
    publish(monkeypatch, "mnist", replace(entry("mnist").sources[0], mirrors=mirrors))
    get("mnist", target)
    assert len(mnist(target, validation=0).train) == 40


def test_no_mirror_answers(target: Path, dead_url: str) -> None:
    with pytest.raises(OSError, match=r"mnist: could not download .*\n  http://127.0.0.1.*\n.*put"):
        get("mnist", target, base_url=dead_url)


def test_base_url_takes_the_place_of_the_mirrors(
    mirror: Mirror, target: Path, dead_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, "mnist", replace(entry("mnist").sources[0], mirrors=(dead_url,)))
    get("mnist", target, base_url=mirror.url.rstrip("/"))
    assert len(mirror.asked) == 4


@pytest.fixture
def pair(mirror: Mirror, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST and SVHN, both from the mirror."""
    for name in SVHN.md5:
        (mirror.root / name).write_bytes((folder / "svhn" / name).read_bytes())
    md5 = {name: hashlib.md5((mirror.root / name).read_bytes()).hexdigest() for name in SVHN.md5}
    small = replace(SVHN, mirrors=(mirror.url,), md5=md5)
    publish(monkeypatch, "mnist_svhn", *entry("mnist").sources, small)


@pytest.mark.usefixtures("pair")
def test_both_sources_of_a_pair(mirror: Mirror, target: Path) -> None:
    assert get("mnist_svhn", target) == target
    assert sorted(mirror.asked) == sorted([*MNIST.md5, *SVHN.md5])
    get("mnist_svhn", target)
    assert len(mirror.asked) == 6


@pytest.mark.usefixtures("pair")
def test_a_damaged_mat_file_is_replaced(mirror: Mirror, target: Path) -> None:
    get("mnist_svhn", target)
    damaged = target / "svhn" / "test_32x32.mat"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    mirror.asked.clear()
    get("mnist_svhn", target)
    assert mirror.asked == [damaged.name]
    assert len(read_svhn(damaged)[0]) == 20


@pytest.mark.parametrize("name", ["digits", "minst"])
def test_nothing_to_download(target: Path, name: str) -> None:
    with pytest.raises(
        ValueError, match=f"unknown data set to download {name!r}; known: binary_mnist, fash"
    ):
        get(name, target)


@pytest.mark.parametrize("name", [e.name for e in entries() if e.by_hand])
def test_files_without_an_address(tmp_path: Path, name: str) -> None:
    files = "text_testclasses.txt|README|multimodal|list_attr_celeba.txt|tst2012"
    message = rf"{name}: is not downloaded by this.*({files}).*PPL_MM_DATA"
    with pytest.raises(ValueError, match=message):
        get(name, tmp_path / "empty")
    assert not (tmp_path / "empty").exists()
