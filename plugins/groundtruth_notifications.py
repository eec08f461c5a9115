"""What Airflow must know to read deadlines that a DAG declares."""

from airflow.plugins_manager import AirflowPlugin

from plugins.notifications.deadline import RunQueued


class GroundtruthNotifications(AirflowPlugin):
    """Registers the reference of the runs' deadlines."""

    name = "groundtruth_notices"
    deadline_references = [RunQueued]  # noqa: RUF012 - as Airflow declares it
