"""What stands for a CUDA graph where there is no device: the same operations on the same tensors.

Whatever Python does in a step, it does once, while the step is recorded.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Recording(TorchDispatchMode):
    """Runs operations and keeps them; ``replay`` runs them again and overwrites their results."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.fresh = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    def replay(self) -> None:
        """Run them again, but for the first time: a capture runs nothing, a recording does."""
        if self.fresh:
            self.fresh = False
            return
        with torch.no_grad():
            for func, args, kwargs, out in self.calls:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)  # others are views, or changed in place


class Recorder:
    """In the place of ``ppl_mm.training.graphed.CUDA``."""

    def watched(self, run: Callable[[], Tensor]) -> tuple[Tensor, str | None]:
        """Run a step."""
        return run(), None

    def capture(self, run: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """Record a step."""
        with Recording() as recording:
            loss = run()
        return loss, recording.replay
