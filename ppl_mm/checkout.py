"""In a checkout, where ``models``, ``guides`` and ``experiments`` lie beside this package.

An installation has them inside, and an editable one knows where they are. A checkout's package that
Python finds before an installed one, as it does in the checkout's own folder, has neither: then
they are looked for beside it, so that all of the package comes from the checkout.
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
