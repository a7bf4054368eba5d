import inspect
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import ppl_mm
from ppl_mm import fit, runs, systems
from ppl_mm.cli.data_facts import facts
from ppl_mm.data import DataSet, Defaults, available, describe, load, register, registry
from ppl_mm.published.facts import summaries


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown data set 'fashion-mnist'.*'fashion_mnist'\?"):
        load("fashion-mnist")


SMALL = {
    "digits": {},
    "mnist": {"validation": 10},
    "binary_mnist": {"validation": 10},
    "fashion_mnist": {"validation": 10},
    "mnist_split": {"validation": 10},
    "mnist_split_3": {"validation": 10},
    "multimnist": {"num_train": 8, "num_test": 4},
    "polymnist": {"arch": "conv"},
    "svhn": {"validation": 10},
    "mnist_svhn": {"validation": 10},
    "mnist_fashion": {"validation": 10},
    "cub_captions": {"num_test": 3, "validation": 2},
    "cub": {"validation": 4},
    "cub_images": {},
    "two_view_mnist": {"validation": 10},
    "mnist_svhn_text": {"validation": 10},
    "mnist_fashion_text": {"validation": 10},
    "mnist_rotated_svhn": {"num_train": 40, "num_test": 20, "validation": 10},
    "xrmb": {"test": (7, 16), "validation": (10,)},
    "mir_flickr": {"unlabelled": 3},
    "iwslt": {"length": 9},
    "celeba": {},
    "celeba19": {},
    "celeba_vision": {},
}


@pytest.mark.parametrize("name", available())
def test_every_data_set_is_what_its_summary_says(folder: Path, name: str) -> None:
    data = load(name, folder, **SMALL[name])
    (summary,) = (s for s in describe(folder) if s.name == name)
    assert data.name == name
    assert summary.modalities == tuple(m.name for m in data.modalities) == data.train.names
    assert summary.ready
    if data.num_classes is not None:
        assert data.num_classes == (40 if name == "xrmb" else 10)
        for split, obs in (("train", data.train), ("test", data.test)):
            assert len(data.classes(split)) == len(obs)
            expected = range(20 if name == "xrmb" else 10)  # as the fixture has it
            assert data.classes(split).unique().tolist() == list(expected)


def test_options_reach_the_data_set(folder: Path) -> None:
    assert load("binary_mnist", folder, validation=0, binarisation="dynamic").transform is not None


def test_summary_tells_what_is_missing(folder: Path) -> None:
    (folder / "mnist" / "t10k-images-idx3-ubyte.gz").unlink()
    ready = {s.name: s.ready for s in describe(folder)}
    assert ready == {
        "digits": True,
        "mnist": False,
        "binary_mnist": False,
        "fashion_mnist": True,
        "mnist_split": False,
        "mnist_split_3": False,
        "multimnist": False,
        "polymnist": False,
        "svhn": True,
        "mnist_svhn": False,
        "mnist_fashion": False,
        "cub_captions": True,
        "cub": True,
        "cub_images": True,
        "two_view_mnist": False,
        "mnist_svhn_text": False,
        "mnist_fashion_text": False,
        "mnist_rotated_svhn": False,
        "xrmb": True,
        "mir_flickr": True,
        "iwslt": True,
        "celeba": True,
        "celeba19": True,
        "celeba_vision": True,
    }
    assert {s.name: s.download for s in describe(folder)} == {
        "digits": None,
        "mnist": "mnist",
        "binary_mnist": "mnist",
        "fashion_mnist": "fashion_mnist",
        "mnist_split": "mnist",
        "mnist_split_3": "mnist",
        "multimnist": "mnist",
        "polymnist": "mnist",
        "svhn": "svhn",
        "mnist_svhn": "mnist_svhn",
        "mnist_fashion": "mnist_fashion",
        "cub_captions": "cub_captions",
        "cub": "cub",
        "cub_images": "cub_images",
        "two_view_mnist": "mnist",
        "mnist_svhn_text": "mnist_svhn_text",
        "mnist_fashion_text": "mnist_fashion_text",
        "mnist_rotated_svhn": "mnist_rotated_svhn",
        "xrmb": "xrmb",
        "mir_flickr": "mir_flickr",
        "iwslt": "iwslt",
        "celeba": "celeba",
        "celeba19": "celeba19",
        "celeba_vision": "celeba_vision",
    }


@pytest.mark.parametrize(
    ("removed", "captions"),
    [
        ("features_test.npy", True),
        ("text_trainvalclasses.txt", True),
        ("text_testclasses.txt", False),
    ],
)
def test_readiness_of_files_without_an_address(folder: Path, removed: str, captions: bool) -> None:
    (folder / "cub" / removed).unlink()
    ready = {s.name: s.ready for s in describe(folder)}
    assert (ready["cub"], ready["cub_captions"]) == (False, captions)


def test_published_polymnist_needs_no_mnist(tmp_path: Path) -> None:
    assert not next(s.ready for s in describe(tmp_path) if s.name == "polymnist")
    (tmp_path / "MMNIST" / "train" / "m0").mkdir(parents=True)
    assert next(s.ready for s in describe(tmp_path) if s.name == "polymnist")


def test_the_command_lists_the_same_summaries(folder: Path, tmp_path: Path) -> None:
    """It reads them from the sources, without importing the data sets."""
    for root in (folder, tmp_path / "empty"):
        assert summaries(facts(), root) == describe(root)


def test_sizes_of_the_embedded_digits() -> None:
    data, summary = load("digits"), describe()[0]
    assert data.validation is not None
    assert summary.sizes == (len(data.train), len(data.validation), len(data.test))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> dict[str, registry.Entry]:
    """The entries, which are as before after the test."""
    entries = dict(registry._ENTRIES)
    monkeypatch.setattr(registry, "_ENTRIES", entries)
    return entries


@pytest.fixture
def example() -> str:
    """The documented file."""
    (code,) = re.findall(r"::\n\n((?:    .*\n|\n)+)", inspect.getdoc(registry) or "")
    return textwrap.dedent(code)


@pytest.fixture
def added(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered: object
) -> Iterator[str]:
    """The documented example, as the file of a folder of a user's data sets."""
    folder = tmp_path / "more_data_sets"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "two_sides.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    registry.discover("more_data_sets", [str(folder)])
    yield "two_sides"
    for name in ("more_data_sets", "more_data_sets.two_sides"):
        del sys.modules[name]


def test_one_file_adds_a_data_set(added: str, tmp_path: Path) -> None:
    """The example of the documentation is listed, described, loaded and trained on."""
    assert added in available()
    summary = next(s for s in describe() if s.name == added)
    assert (summary.sizes, summary.download, summary.ready) == ((80, 0, 20), None, True)
    data = load(added, seed=1)
    assert summary.modalities == data.train.names
    assert (len(data.train), len(data.test)) == (80, 20)
    system = systems.mvae(data.modalities, data.latent_dim)
    result = fit(system, data.train, epochs=2, batch_size=20, progress=False)
    assert len(result.history) == 2
    assert runs.configure("mvae", data).epochs == 2
    assert runs.configure("mvae", data).batch_size == 20


FIND = """from pathlib import Path


def find_sides(folder: str | Path | None = None) -> Path:
    raise FileNotFoundError(folder)


"""


LIST_AND_LOAD = """
import sys
from ppl_mm.cli import app
try:
    app(["data", "list"])
except SystemExit:
    print("torch" in sys.modules)
from ppl_mm import data
print(data.__file__, data.available(), len(data.load("two_sides").test))
from ppl_mm.cli.data_facts import facts
from ppl_mm.published.facts import summaries
print(summaries(facts()) == data.describe())
"""


@pytest.mark.parametrize("find", [False, True])
def test_a_file_in_the_folder_is_all_that_a_data_set_needs(
    example: str, tmp_path: Path, find: bool
) -> None:
    """A copy of the library with the example's file lists it; nothing else is edited."""
    for module, copy in ((ppl_mm, ""), (ppl_mm.models, "models"), (ppl_mm.guides, "guides")):
        folder = Path(str(module.__file__)).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(folder, tmp_path / "ppl_mm" / copy, ignore=ignored)
    if find:  # a function of the same file
        example = example.replace("@register(", f"{FIND}@register(find=find_sides, ")
        example = example.replace("two_sides(*", "two_sides(folder: str | Path | None = None, *")
    (tmp_path / "ppl_mm" / "data" / "two_sides.py").write_text(example)
    run = subprocess.run(
        [sys.executable, "-c", LIST_AND_LOAD],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path) in run.stdout
    assert re.search(rf"two_sides +{'missing' if find else 'ready'} +80 / 0 / 20", run.stdout)
    assert f"\n{find}\n" in run.stdout  # only a file's own function needs torch
    assert find or "'digits', 'two_sides', " in run.stdout
    assert run.stdout.endswith(" 20\nTrue\n")


def test_the_defaults_and_tiles_of_a_data_set_are_those_of_its_runs(
    registered: dict[str, registry.Entry],
) -> None:
    digits = load("digits")
    registered["digits"] = replace(
        registry.entry("digits"), defaults=Defaults(epochs=10, rows=7, annealing=0.3)
    )
    config = runs.configure("mvae", digits)
    assert (config.epochs, config.rows, config.annealing_epochs, config.terms) == (10, 7, 3, 0)
    assert runs.configure("mvae", digits, epochs=20).annealing_epochs == 6
    run = runs.Run(Path(), config, digits, systems.mvae(digits.modalities, 2))
    assert run.tiles == (("top", "bottom"),)


def test_a_name_is_registered_once(registered: object) -> None:
    def digits() -> DataSet:
        raise AssertionError

    with pytest.raises(ValueError, match=r"'digits': ppl_mm.data.digits has registered this name"):
        register(modalities=("image",), sizes=None)(digits)


def test_tiles_are_modalities(registered: object) -> None:
    def pictures() -> DataSet:
        raise AssertionError

    with pytest.raises(ValueError, match=r"unknown modality in tiles of pictures 'tops'.*'top'\?"):
        register(modalities=("top",), sizes=None, tiles=(("tops",),))(pictures)
