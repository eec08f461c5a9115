"""What Airflow loads: step operators, pipeline reports."""
