"""Quantiles as reports and sensors use them: interpolated, and plain floats whatever the values were."""

import numpy as np
import pytest

from quality.quantiles import quantile, quantiles


def test_a_quantile_lies_between_its_neighbours():
    assert quantile([1.0, 2.0, 4.0], 0.5) == 2.0
    assert quantile([4.0, 1.0], 0.25) == 1.75
    assert [quantile([3.0, 1.0, 2.0], share) for share in (0, 0.5, 0.75, 1)] == [1.0, 2.0, 2.5, 3.0]
    assert quantiles([3.0], (0.5, 0.99)) == (3.0, 3.0)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.95, 0.99, 1.0])
def test_it_is_numpys_linear_quantile(share):
    values = np.random.default_rng(7).exponential(size=999)
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)))


def test_values_of_an_array_come_out_as_plain_floats():
    """Dagster serializes no ``numpy.float64``: the landings sensor would fail at every tick."""
    assert {type(value) for value in quantiles(np.array([1.0, 2.0]), (0.5, 0.95, 0.99))} == {float}
