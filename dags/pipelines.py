"""Every pipeline definition (`include/config/*.json`) as a DAG; a faulty one never takes a good one down."""

from include.registry import load_pipelines
from plugins.steps.factory import build_dag

for _pipeline in load_pipelines()[0]:
    globals()[_pipeline.definition.dag_id] = build_dag(_pipeline)
