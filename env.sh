# For bare `airflow` commands in this checkout: source env.sh, then airflow dags test energy_pipeline (docs/guides/ci.md)
_root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")" && pwd)
export AIRFLOW_HOME="$_root/.airflow" PATH="$_root/.venv/bin:$PATH"
[ ! -d "$AIRFLOW_HOME" ] || chmod go= "$AIRFLOW_HOME" # passwords, keys and connections: for its owner alone
unset _root
