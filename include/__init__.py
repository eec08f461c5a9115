"""Everything that knows nothing of Airflow: the step protocol, the domains, the reports."""
