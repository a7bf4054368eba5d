"""Statistics of elements over rows and blocks, against NumPy's of the values that there are."""

import numpy as np
import pytest
import torch

from ppl_mm import Observations
from ppl_mm.data.summaries import summed


def blocks(obs, *ends):
    return [obs[a:b] for a, b in zip((0, *ends), (*ends, len(obs)), strict=True)]


def some_rows(shift=0.0):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, 3, generator=generator, dtype=torch.float64) + shift
    held = torch.rand(40, generator=generator) < 0.7
    elements = torch.rand(40, 2, 3, generator=generator) < 0.6
    elements[:, 1, 2] = False  # no row has this element
    obs = Observations({"x": x}, {"x": held}, {"x": elements})
    seen = held[:, None, None] & elements
    return obs, torch.where(seen, x, torch.nan).numpy()


@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("ends", [(), (1,), (7, 8, 30), tuple(range(1, 40))], ids=len)
@pytest.mark.filterwarnings("ignore:.*(empty slice|All-NaN|Degrees of freedom)")
def test_statistics_are_those_of_the_elements_that_are_held(shift, ends):
    obs, values = some_rows(shift)
    found = summed("x", blocks(obs, *ends))
    assert found.rows == int(obs.present["x"].sum())
    assert found.shape == (2, 3)
    assert np.array_equal(found.seen.numpy(), (~np.isnan(values)).sum(0))
    pairs = {
        "mean": np.nanmean(values, 0),
        "deviation": np.nanstd(values, 0),
        "least": np.nanmin(values, 0),
        "greatest": np.nanmax(values, 0),
    }
    for name, expected in pairs.items():
        expected = np.where(found.seen > 0, expected, 0.0)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-9, atol=1e-12)
    assert found.low == min(np.nanmin(values), 0.0)
    assert found.high == max(np.nanmax(values), 0.0)
    held = values[obs.present["x"].numpy()]
    assert found.holes == pytest.approx(np.isnan(held).mean())


def test_rows_that_hold_nothing_have_no_numbers():
    obs = Observations({"x": torch.full((3, 2), 5.0)}, {"x": torch.zeros(3, dtype=torch.bool)})
    found = summed("x", [obs])
    assert (found.rows, found.shape, found.holes) == (0, (2,), 0.0)
    assert (found.low, found.high) == (0.0, 0.0)
    assert found.deviation.tolist() == 0.0


def test_one_row_has_no_spread():
    found = summed("x", [Observations({"x": torch.tensor([[2.5, -1.0]])})])
    assert found.mean.tolist() == found.least.tolist() == found.greatest.tolist() == [2.5, -1.0]
    assert found.deviation.tolist() == [0.0, 0.0]
    assert found.whole.tolist() == [False, True]
    assert found.holes == 0.0


def test_a_number_that_is_not_whole_in_any_block_is_kept_in_mind():
    x = torch.tensor([[1.0, 2.0], [3.5, 4.0], [5.0, 6.0]])
    for ends in ((), (1,), (2,), (1, 2)):
        assert summed("x", blocks(Observations({"x": x}), *ends)).whole.tolist() == [False, True]


def test_classes_are_numbers_too():
    found = summed("y", [Observations({"y": torch.tensor([2, 0, 4])})])
    assert found.shape == ()
    assert (found.low, found.high, found.mean.item()) == (0.0, 4.0, 2.0)
    assert bool(found.whole)
    assert found.deviation.item() == pytest.approx((8 / 3) ** 0.5)
