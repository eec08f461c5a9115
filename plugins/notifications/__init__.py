"""Telling people: when a run fails or is late, and when models are switched on or rolled back.

Off unless `GROUNDTRUTH_NOTIFY_CONNECTION` names an Airflow connection; its password holds Apprise URLs.
"""
