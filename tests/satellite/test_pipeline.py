"""The satellite pipelines: the order that follows from what their steps read and write."""

from include.satellite.pipeline import CROP_HEALTH_MAP, SATELLITE

HOUR_S = 3600


def test_the_order_follows_from_what_the_steps_read_and_write():
    assert {spec.id: spec.depends_on for spec in SATELLITE.definition.steps} == {
        "search": (),
        "download": ("search",),
        "collect": ("download",),
        "validate": ("collect",),
        "prepare_cnn": ("validate",),
        "prepare_lstm": ("validate",),
        "train_cnn": ("prepare_cnn",),
        "train_lstm": ("prepare_lstm",),
        "compare": ("train_cnn", "train_lstm"),
        "approve": ("compare",),
        "configure": ("approve",),
    }


def test_the_steps_keep_the_order_of_the_pipeline():
    ids = [spec.id for spec in SATELLITE.definition.steps]
    assert ids[:4] == ["search", "download", "collect", "validate"]
    assert ids[4:8] == ["prepare_cnn", "prepare_lstm", "train_cnn", "train_lstm"]
    assert ids[8:] == ["compare", "approve", "configure"]


def test_steps_that_train_have_more_time():
    limits = {spec.id: spec.timeout_seconds for spec in SATELLITE.definition.steps}
    longer = {name: limit // HOUR_S for name, limit in limits.items() if limit != HOUR_S}
    assert longer == {"collect": 2, "train_cnn": 6, "train_lstm": 6, "compare": 3}


def test_the_map_is_one_step_that_starts_on_new_imagery_or_a_new_model():
    assert [(spec.id, spec.depends_on) for spec in CROP_HEALTH_MAP.definition.steps] == [("draw_map", ())]
    assert CROP_HEALTH_MAP.starts == "after satellite_imagery or crop_health_model"
