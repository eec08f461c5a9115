"""The pipeline report as an operator that any DAG can end with."""

PREFIX = "groundtruth"
"""Path of the pages below Airflow's address."""
