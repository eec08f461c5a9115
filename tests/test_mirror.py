"""Each module with functions has its own test file at the mirrored path."""

import ast

import pytest

from tests.layers import ROOT, has_behaviour, mirror, modules

MISSING: set[str] = {
    "include/cli/app.py",
    "include/cli/child.py",
    "include/cli/doctor.py",
    "include/cli/view.py",
    "include/core/contracts.py",
    "include/core/domain.py",
    "include/core/env_history.py",
    "include/core/errors.py",
    "include/core/outcome.py",
    "include/core/recording.py",
    "include/core/swap.py",
    "include/core/zones.py",
    "include/energy/anomalies.py",
    "include/energy/curves.py",
    "include/energy/findings.py",
    "include/energy/households.py",
    "include/energy/records.py",
    "include/energy/rejects.py",
    "include/energy/results.py",
    "include/energy/schemas.py",
    "include/energy/stamps.py",
    "include/energy/statistics.py",
    "include/energy/text.py",
    "include/pipelines.py",
    "include/reporting/notices.py",
    "include/reporting/trend.py",
    "include/reporting/verdicts.py",
    "include/satellite/datasets/documents.py",
    "include/satellite/datasets/export.py",
    "include/satellite/datasets/findings.py",
    "include/satellite/datasets/index.py",
    "include/satellite/datasets/normalisation.py",
    "include/satellite/imagery/catalog.py",
    "include/satellite/imagery/checks.py",
    "include/satellite/imagery/demo.py",
    "include/satellite/imagery/deployment.py",
    "include/satellite/imagery/download.py",
    "include/satellite/imagery/evalscript.py",
    "include/satellite/imagery/fetch.py",
    "include/satellite/imagery/indices.py",
    "include/satellite/imagery/looks.py",
    "include/satellite/imagery/model.py",
    "include/satellite/imagery/params.py",
    "include/satellite/imagery/quality.py",
    "include/satellite/imagery/runs.py",
    "include/satellite/imagery/search.py",
    "include/satellite/imagery/slots.py",
    "include/satellite/models/batches.py",
    "include/satellite/models/card.py",
    "include/satellite/models/comparison_plot.py",
    "include/satellite/models/evaluation.py",
    "include/satellite/models/loop.py",
    "include/satellite/models/machine.py",
    "include/satellite/models/map_files.py",
    "include/satellite/models/pixels.py",
    "include/satellite/models/results.py",
    "include/satellite/models/scoring.py",
    "include/satellite/models/summaries.py",
    "include/satellite/params.py",
    "include/standins/sentinel_hub/catalog.py",
    "include/standins/sentinel_hub/clouds.py",
    "include/standins/sentinel_hub/crops.py",
    "include/standins/sentinel_hub/errors.py",
    "include/standins/sentinel_hub/grid.py",
    "include/standins/sentinel_hub/land.py",
    "include/standins/sentinel_hub/limits.py",
    "include/standins/sentinel_hub/noise.py",
    "include/standins/sentinel_hub/process.py",
    "include/standins/sentinel_hub/rendering.py",
    "include/standins/sentinel_hub/request.py",
    "include/standins/sentinel_hub/running.py",
    "include/standins/sentinel_hub/scenes.py",
    "include/standins/sentinel_hub/script_parser.py",
    "include/standins/sentinel_hub/script_values.py",
    "include/standins/sentinel_hub/server.py",
    "include/standins/sentinel_hub/spectra.py",
    "include/standins/sentinel_hub/stress.py",
    "include/standins/sentinel_hub/tiles.py",
    "include/standins/sentinel_hub/tokens.py",
    "plugins/env_file/approval.py",
    "plugins/env_file/operator.py",
    "plugins/env_file/promotion.py",
    "plugins/groundtruth_pages.py",
    "plugins/notices/callbacks.py",
    "plugins/notices/deadline.py",
    "plugins/reports/operator.py",
    "plugins/reports/web/access.py",
    "plugins/reports/web/airflow_state.py",
    "plugins/reports/web/app.py",
    "plugins/reports/web/guard.py",
    "plugins/reports/web/models.py",
    "plugins/reports/web/runs.py",
    "plugins/steps/account.py",
    "plugins/steps/containers.py",
    "plugins/steps/context.py",
    "plugins/steps/engine.py",
    "plugins/steps/factory.py",
    "plugins/steps/imagery.py",
    "plugins/steps/janitor.py",
    "plugins/steps/metrics.py",
    "plugins/steps/operators.py",
    "plugins/steps/policy.py",
}
"""Modules that have no test file yet; the list only gets shorter."""

MODULES = [
    path.relative_to(ROOT).as_posix()
    for path in modules("include", "plugins")
    if path.name not in ("__init__.py", "__main__.py") and has_behaviour(ast.parse(path.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_test_file_at_the_mirrored_path(module):
    if module in MISSING:
        assert not (ROOT / mirror(module)).exists(), f"{mirror(module)} exists: remove {module} from MISSING"
    else:
        assert (ROOT / mirror(module)).is_file(), f"write {mirror(module)} for {module}"


def test_the_list_of_missing_test_files_names_modules_that_exist():
    assert sorted(MISSING - {*MODULES}) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def read(): ...", True),
        ("async def read(): ...", True),
        ("def _read(): ...", False),
        ("class Reader:\n    def read(self): ...", True),
        ("class _Reader:\n    def read(self): ...", False),
        ("class Reading:\n    kwh: float", False),
        ("LIMIT = 3", False),
    ],
)
def test_only_a_module_with_public_behaviour_needs_a_test_file(source, expected):
    assert has_behaviour(ast.parse(source)) is expected
