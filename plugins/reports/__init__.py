"""The pipeline report as an operator that any DAG can end with."""
