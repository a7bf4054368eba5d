"""The pictures of CUB-200-2011 in small: files of the published format."""

from pathlib import Path

from PIL import Image

__all__ = ["write_pictures"]

_PER_CLASS = 3


def write_pictures(folder: Path, num_train: int, num_test: int) -> None:
    """So many pictures of the training and of the test classes, three a class at most.

    Picture i of a part has one colour: red 20 i up to 255, blue 0 (training) or 255 (test).
    Classes of the two parts take turns in the alphabet, and the list is in no order.
    """
    root = folder / "CUB_200_2011"
    names, tests = [], []
    for part, (size, blue) in enumerate(((num_train, 0), (num_test, 255))):
        for i in range(size):
            kind = f"{2 * (i // _PER_CLASS) + part + 1:03d}.Bird"
            tests += [kind] if part else []
            name = f"{kind}/Bird_{i:04d}.jpg"
            (root / "images" / kind).mkdir(parents=True, exist_ok=True)
            shape = (90 + i, 60)  # width and height differ from picture to picture
            Image.new("RGB", shape, (min(20 * i, 255), 100, blue)).save(root / "images" / name)
            names.append(name)
    listed = "".join(f"{i + 1} {name}\n" for i, name in enumerate(reversed(names)))
    (root / "images.txt").write_text(listed)
    (folder / "testclasses.txt").write_text("\n".join(dict.fromkeys(tests)) + "\n")
