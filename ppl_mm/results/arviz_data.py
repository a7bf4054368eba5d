"""The data of results for arviz, 0.x or 1.x."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray

__all__ = ["arviz_data"]


def arviz_data(groups: "Mapping[str, xarray.Dataset]") -> Any:
    """Groups of arrays: an ``arviz.InferenceData``, or from arviz 1 on an ``xarray.DataTree``.

    Either gives a group as ``data["name"]`` and ``data.name``.
    """
    import arviz
    import xarray

    if int(arviz.__version__.split(".")[0]) >= 1:
        return xarray.DataTree.from_dict(dict(groups))
    data = arviz.InferenceData()
    data.add_groups(dict(groups), warn_on_custom_groups=False)
    return data
