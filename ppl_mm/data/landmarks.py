"""The parts of a face, found by dlib's 68 landmarks and drawn white on black.

The extra ``ppl-mm[vision]`` installs dlib and the file of the landmarks' predictor,
``shape_predictor_68_face_landmarks.dat`` of http://dlib.net/files/, 100 MB. The predictor learnt
from the pictures of iBUG 300-W, whose licence excludes commercial use.

Source: Kazemi & Sullivan 2014, "One millisecond face alignment with an ensemble of regression
trees"; King 2009, "Dlib-ml"; Wu & Goodman 2018, arXiv:1802.05335, section 6.
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Landmarks", "draw_face"]

_JAW = slice(17)
_PARTS = {
    "right brow": slice(17, 22),
    "left brow": slice(22, 27),
    "nose": slice(27, 36),
    "right eye": slice(36, 42),
    "left eye": slice(42, 48),
    "mouth": slice(48, 68),
}
_JAW_WIDTH = 2  # pixels


class Landmarks:
    """A detector of the 68 landmarks of a picture's first face; threads may share it.

    dlib's histograms of oriented gradients find the faces. The grey picture is doubled once, so
    that faces of 40 pixels and more are found.

    Args:
        path: The path of the predictor's file.

    Raises:
        ImportError: If dlib is not installed.
        ValueError: If the file is another one.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            import dlib
        except ImportError as error:
            raise ImportError("landmarks need dlib: pip install 'ppl-mm[vision]'.") from error
        self._dlib = dlib
        self._detector = threading.local()
        try:
            self._predictor = dlib.shape_predictor(str(path))
        except RuntimeError as error:
            raise ValueError(f"{path}: not dlib's predictor of landmarks ({error}).") from error

    def __call__(self, picture: "Image.Image") -> np.ndarray | None:
        """Return columns and rows of the landmarks, (68, 2) int64; None if there is no face."""
        grey = np.array(picture.convert("L"))
        faces = self._own_detector()(grey, 1)
        if not len(faces):
            return None
        return np.array([(point.x, point.y) for point in self._predictor(grey, faces[0]).parts()])

    def _own_detector(self) -> Any:
        """Return the detector of this thread; a detector holds the picture that it looks at."""
        if not hasattr(self._detector, "value"):
            self._detector.value = self._dlib.get_frontal_face_detector()
        return self._detector.value


def draw_face(landmarks: np.ndarray | None, size: tuple[int, int]) -> "Image.Image":
    """Draw mouth, brows, eyes and nose as filled convex hulls, the jaw as a line of 2 pixels.

    Args:
        landmarks: The columns and rows, (68, 2); None for no face, which leaves the picture black.
        size: The width and height of the picture.

    Returns:
        A grey picture, 255 in the face's parts and 0 elsewhere.

    Raises:
        ValueError: If the number of landmarks is not 68.

    Example:
        >>> points = np.zeros((68, 2), int)
        >>> points[36:42] = [[2, 2], [6, 2], [6, 5], [2, 5], [4, 3], [5, 4]]  # the right eye
        >>> np.asarray(draw_face(points, (8, 8)))[2:6, 2:7].min()
        np.uint8(255)
    """
    from PIL import Image, ImageDraw
    from scipy.spatial import ConvexHull

    picture = Image.new("L", size)
    if landmarks is None:
        return picture
    if landmarks.shape != (68, 2):
        raise ValueError(f"expected landmarks (68, 2), got {landmarks.shape}.")
    draw = ImageDraw.Draw(picture)
    for part in _PARTS.values():
        # QJ joggles the points: without it, points on one line have no hull.
        hull = ConvexHull(landmarks[part], qhull_options="QJ").vertices
        draw.polygon([tuple(point) for point in landmarks[part][hull]], fill=255)
    draw.line([tuple(point) for point in landmarks[_JAW]], fill=255, width=_JAW_WIDTH)
    return picture
