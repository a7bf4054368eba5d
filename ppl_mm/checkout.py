"""The place of ``models``, ``guides`` and ``experiments``, beside the package in a checkout.

An installation has these folders inside the package, and an editable one knows their place. In a
checkout's own folder Python finds the checkout's package first; it then looks for the folders
beside the package, so that all of the package comes from the checkout.
"""

from importlib.util import find_spec
from pathlib import Path

import ppl_mm

__all__: list[str] = []

if find_spec("ppl_mm.models") is None:
    beside = Path(__file__).resolve().parents[1]
    if not (beside / "models" / "shared_latent.py").is_file():
        raise ImportError(
            f"{Path(__file__).parent} lacks ppl_mm.models, ppl_mm.guides and ppl_mm.experiments, "
            f"and they are not beside it; install the package from its checkout: pip install ."
        )
    ppl_mm.__path__.append(str(beside))
