"""CelebA in small: files of the published format."""

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["NAMES", "write_celeba", "write_masks"]

NAMES = [
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
]
"""Of the 40 attributes, in the published order."""


def write_celeba(folder: Path, sizes: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """So many faces for training, validation and test; their attributes (N, 40), -1 or 1.

    Face i has one colour, red 10 i up to 255.
    """
    pictures = folder / "img_align_celeba"
    pictures.mkdir(parents=True)
    attributes = rng.choice([-1, 1], (sum(sizes), len(NAMES)))
    attributes[:2] = [[-1], [1]]  # so that no attribute is constant
    files = [f"{i + 1:06d}.jpg" for i in range(len(attributes))]
    for i, file in enumerate(files):
        Image.new("RGB", (178, 218), (min(10 * i, 255), 100, 50)).save(pictures / file)
    rows = [
        f"{file} {' '.join(f'{v:2d}' for v in row)}"
        for file, row in zip(files, attributes, strict=True)
    ]
    lines = [str(len(files)), " ".join(NAMES), *rows, ""]
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines))
    parts = np.repeat(np.arange(3), sizes)
    pairs = zip(files, parts, strict=True)
    (folder / "list_eval_partition.txt").write_text("".join(f"{f} {p}\n" for f, p in pairs))
    return attributes


def write_masks(folder: Path, number: int, rng: np.random.Generator) -> np.ndarray:
    """Masks of so many aligned faces, as they are stored once dlib has made them."""
    masks = rng.integers(0, 256, (number, 1, 64, 64), dtype=np.uint8)
    np.save(folder / "aligned_mask_64.npy", masks)
    return masks
