"""Names of the models in a comparison."""

import pytest

from include.satellite.schemas import CHAMPION, REAL, SYNTHETIC, title_of


@pytest.mark.parametrize(
    ("model", "title"),
    [
        (REAL, "this run's model"),
        (SYNTHETIC, "synthetic baseline"),
        (CHAMPION, "champion"),
        ("ndvi_rule", "NDVI rule"),
        ("logistic_regression", "logistic regression"),
    ],
)
def test_models_have_titles_for_tables_and_plots(model, title):
    assert title_of(model) == title
