"""Notifications: about failed and late runs, and about models that were promoted or rolled back.

Off unless `GROUNDTRUTH_NOTIFY_CONNECTION` names an Airflow connection; its password holds Apprise URLs.
"""
