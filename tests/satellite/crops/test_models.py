"""Held-out predictions come from models that saw neither the fields' blocks nor their neighbours."""

import numpy as np

from include.satellite.crops.models import fit, predict_fold, predict_held_out, rivals, samples_of
from include.satellite.crops.samples import NEIGHBOURS_M
from include.satellite.crops.training import read_samples


def test_a_training_leaves_out_the_fold_and_what_is_near_it(trained):
    table, data, _ = read_samples(trained.files)
    first = table["fold"] == 0
    near = table.index[~first][0]
    table.loc[near, ["longitude", "latitude"]] = table.loc[table.index[first][0], ["longitude", "latitude"]] + 0.001
    samples = samples_of(table, data)
    train, held = samples.training(0), samples.held_out(0)
    assert near not in train
    assert set(samples.fold[train]) == {1, 2, 3, 4}
    apart = np.linalg.norm(samples.place[train][:, None] - samples.place[held][None], axis=2)
    assert apart.min() >= NEIGHBOURS_M


def test_each_field_is_predicted_once_by_every_model(trained):
    samples = read_samples(trained.files)[2]
    rows, values = predict_held_out(samples, [3, 1], "random_forest", 0)
    assert rows.tolist() == sorted([*samples.held_out(1), *samples.held_out(3)])
    assert list(values) == rivals(samples, "random_forest")
    assert all(np.allclose(part.sum(axis=1), 1) for part in values.values())


def test_a_month_alone_sees_the_columns_of_that_month_only(trained):
    samples = read_samples(trained.files)[2]
    predicted = predict_fold(samples, 0, "random_forest", 0)
    train, held, columns = samples.training(0), samples.held_out(0), samples.months["month 2022-05"]
    assert len(columns) == samples.values.shape[1] / 4
    alone = fit("random_forest", samples.values[train][:, columns], samples.crop[train], 0)
    assert np.allclose(predicted["month 2022-05"], alone.predict_proba(samples.values[held][:, columns]))


def test_the_seed_decides_about_a_training_and_nothing_else_does(trained):
    samples = read_samples(trained.files)[2]
    one, same, other = (predict_fold(samples, 0, "random_forest", seed)["real"] for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
