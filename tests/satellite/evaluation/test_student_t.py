"""Critical values of Student's t, against SciPy."""

import pytest

from include.satellite.evaluation.student_t import critical_value


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 10, 11, 30, 31, 200])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_critical_values_are_those_of_scipy(freedom, level):
    stats = pytest.importorskip("scipy.stats", reason="install scikit-learn, which brings SciPy")
    assert critical_value(freedom, level) == pytest.approx(stats.t.ppf(0.5 + level / 2, freedom), rel=1e-9)
