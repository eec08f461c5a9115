"""The command line over Airflow: run, validate, list, report, doctor."""
