"""Every pipeline definition becomes an Airflow DAG, without code of its own.

Definitions are the JSON files in `include/config` (`GROUNDTRUTH_DEFINITIONS_DIR`). A faulty one is left out here, so
that it never takes a good one down, and shown with all its faults by `faulty_definitions.py` beside this file. The
manual that a DAG shows in the UI is the Markdown file of the same name beside its definition.

Each DAG runs `prepare`, then the steps in the order that their files and `depends_on` give, then `publish`; `report`
is a teardown that writes the run's report whatever happened.
"""

from include.pipelines import load_pipelines, manual_of
from plugins.steps.factory import build_dag

for _pipeline in load_pipelines()[0]:
    globals()[_pipeline.definition.dag_id] = build_dag(_pipeline, doc_md=manual_of(_pipeline))
