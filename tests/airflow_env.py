"""A private Airflow home for this test process, set before Airflow is imported.

Every xdist worker has its own SQLite database, a copy of the migrated template that the set-up made.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEMORY = Path("/dev/shm")  # noqa: S108 - a database in memory commits without waiting for a disk
ROOMY = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2**30
HOME = Path(tempfile.mkdtemp(prefix="groundtruth-airflow-", dir=MEMORY if ROOMY else None))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

shutil.copyfile(ROOT / ".airflow" / "template.db", HOME / "airflow.db")
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME / 'airflow.db'}",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
    "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-these-tests-of-this-process" * 2,
}
