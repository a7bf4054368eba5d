"""Results that depend on the masks of a batch alone are computed once for each pattern.

Rows of one pattern have the same terms and strata in every batch of one size.
"""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from ppl_mm.batch.masked import MaskedRows

__all__ = ["once"]

T = TypeVar("T")

_MOST = 64  # results that are kept
_ROWS = 4096  # The most rows of a batch whose results are kept.
_results: dict[Hashable, object] = {}


def once(obs: "MaskedRows", what: Hashable, make: Callable[[], T]) -> T:
    """Return ``make()``, or what it returned for other rows with the same masks.

    Args:
        obs: The rows. If they have different masks, the result is made anew.
        what: All else that the result depends on.
        make: A function of masks, sizes, dtype and device alone, whose result nobody changes.
    """
    pattern = obs.pattern if len(obs) <= _ROWS else None
    if pattern is None:
        return make()
    where = obs.device, obs.dtype, torch.is_inference_mode_enabled()
    key = (what, obs.names, len(obs), pattern, where)
    if key not in _results:
        if len(_results) >= _MOST:
            del _results[next(iter(_results))]
        _results[key] = make()
    return _results[key]  # type: ignore[return-value]
