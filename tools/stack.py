"""The full stack's users, secrets and folders, and what each of its services runs.

On the host, `python -m tools.stack secrets` creates the secrets that are missing. In the services it is the image's
entry point, and its command `airflow`: it reads the secrets that the service is given, one file each, and becomes
Airflow's.

| user | who |
|---|---|
| 50000 | Airflow's services: API server, scheduler, DAG processor, triggerer |
| 50001 | the workers |
| 50002 | the policy server of the Docker proxy (its Dockerfile) |
| 50003 | steps |
| 50004 | Redis; images of Redis differ in the number of its own user |
| 65532 | the front of the Docker proxy |

Airflow's services and the workers have the group 50000, and write files that the group may write.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

AIRFLOW_UID = GROUP = 50000
WORKER_UID = 50001
REDIS_UID = 50004
UMASK = 0o002
"""Airflow's services and the workers are users of one group, which may change what they share."""
HOME = Path("/opt/airflow")
DATA, CONFIG, LOGS = Path("/opt/groundtruth/data"), Path("/opt/groundtruth/config"), HOME / "logs"
ENV_FILE = "pipeline.env"
ADMIN_MARK = ".admin-password"
"""In the folder of the configuration: when the secret that Airflow has as the admin's password was written. A secret
that is written anew is set at the next start; a password that the admin changed in the UI stays until then."""
INBOX, MOUNTS = "inbox", "mounts"
"""Below the data folder, and not Airflow's: what users put there, and what the policy server prepares."""
KEPT, COPIES, REDIS_VOLUME = Path("/run/secrets"), Path("/copies"), Path("/volumes/redis")
MADE: dict[str, Callable[[], str]] = {
    "airflow/fernet_key": lambda: base64.urlsafe_b64encode(os.urandom(32)).decode(),
    "airflow/jwt_secret": lambda: secrets.token_urlsafe(48),
    "airflow/session_key": lambda: secrets.token_urlsafe(48),
    "database/postgres_password": lambda: secrets.token_urlsafe(24),
    "queue/redis_password": lambda: secrets.token_urlsafe(24),
    "admin_password": lambda: secrets.token_urlsafe(12),
}
READERS = {
    "airflow": (AIRFLOW_UID, ("airflow/", "database/", "queue/")),
    "worker": (WORKER_UID, ("airflow/", "queue/")),  # not the database's password: a worker asks the API server
    "postgres": (0, ("database/",)),
    "redis": (REDIS_UID, ("queue/",)),
}
"""Who reads which secrets: the name of the copy, its user, and the beginnings of the secrets' names."""
AIRFLOW = (sys.executable, "-W", "ignore:Could not import graphviz", "-m", "airflow")
"""Airflow's own command; that of the image is this program."""
SERVICES = {
    "api-server": ["api-server", "--host", "0.0.0.0", "--port", "8080"],  # noqa: S104 - published on 127.0.0.1
    "scheduler": ["scheduler"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer"],
    "worker": ["celery", "worker"],
}
PORTS = {"worker": 8793}
API = "http://api-server:8080"
WAIT_SECONDS = 300
"""How long `wait` waits for a sign of progress: a state that changes, or a line in the log of a service."""
MOST_RESTARTS = 5
SETTINGS = "stack.env"
SETTINGS_TEXT = """\
# Settings of this stack, one NAME=VALUE a line, without quotes: each GROUNDTRUTH_…, AIRFLOW__…, AIRFLOW_CONN_…,
# OTEL_… and MLFLOW_… of its services. `make up` applies them. Guide: docs/guides/stack.md#settings
#
# AIRFLOW_BASE_URL=https://airflow.example.org/team
# GROUNDTRUTH_NOTIFY_CONNECTION=team
# GROUNDTRUTH_KEEP_RUNS_DAYS=30
"""


def make_secrets(folder: str) -> int:
    """Create the secrets that are missing, one file each, for their owner alone; those that are there stay."""
    Path(folder).mkdir(0o700, parents=True, exist_ok=True)
    new = missing_secrets(Path(folder))
    for name in new:
        path = Path(folder, name)
        path.parent.mkdir(0o700, exist_ok=True)
        path.touch(0o600)
        path.write_text(MADE[name]())
    for path in (Path(folder), *Path(folder).rglob("*")):  # an earlier release left them readable
        path.chmod(0o700 if path.is_dir() else 0o600)
    make_settings(Path(folder).parent)
    say(f"{folder}: made {', '.join(new)}" if new else f"{folder}: all secrets are there")
    return 0


def make_settings(folder: Path) -> None:
    """Create the file of a stack's settings, for its owner alone, where there is none."""
    path = folder / SETTINGS
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_text(SETTINGS_TEXT)


def address() -> int:
    """Say where the UI is, and how to log in."""
    stated = [*settings_of(Path("stack") / SETTINGS).items(), *os.environ.items()]
    port = dict(stated).get("GROUNDTRUTH_PORT") or "8080"
    url = dict(stated).get("AIRFLOW_BASE_URL") or f"http://127.0.0.1:{port}"
    say(f"{url}  (port {port} of 127.0.0.1; user admin, password in stack/secrets/admin_password)")
    return 0


def settings_of(path: Path) -> dict[str, str]:
    """Return the settings of a file of lines NAME=VALUE; none where there is no file."""
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def copy_secrets() -> int:
    """Copy to each user what it may read, for that user alone; state which secrets are missing, and what to do."""
    missing = missing_secrets(KEPT)
    if missing:
        say(f"error: stack/secrets lacks {', '.join(missing)}: run `make secrets`")
        return 1
    for reader, (uid, beginnings) in READERS.items():
        for name in MADE:
            if name.startswith(beginnings):
                copy_secret(KEPT / name, COPIES / reader / name, uid)
    give(REDIS_VOLUME, REDIS_UID, REDIS_UID)
    return 0


def copy_secret(source: Path, target: Path, uid: int) -> None:
    """Copy a secret for a user who alone may read it, in folders that this user alone may enter."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.touch(0o600)
    target.write_text(source.read_text())
    for path, mode in {target: 0o400, target.parent: 0o500, target.parent.parent: 0o500}.items():
        path.chmod(mode)
        os.chown(path, uid, uid)


def missing_secrets(folder: Path) -> list[str]:
    """The secrets that are not there, or empty."""
    return [name for name in MADE if not (folder / name).is_file() or not (folder / name).read_text().strip()]


def environment(folder: Path) -> dict[str, str]:
    """Airflow's settings that hold a secret, for the secrets that this service is given."""
    texts = {name.rpartition("/")[2]: (folder / name).read_text().strip() for name in MADE if (folder / name).is_file()}
    settings = {}
    if "fernet_key" in texts:
        settings["AIRFLOW__CORE__FERNET_KEY"] = texts["fernet_key"]
        settings["AIRFLOW__API_AUTH__JWT_SECRET"] = texts["jwt_secret"]
        settings["AIRFLOW__API__SECRET_KEY"] = texts["session_key"]
    if "postgres_password" in texts:
        address = f"airflow:{quote(texts['postgres_password'])}@postgres/airflow"
        settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"postgresql+psycopg2://{address}"
    if "redis_password" in texts:
        queue = f"redis://:{quote(texts['redis_password'])}@redis:6379"
        settings["AIRFLOW__CELERY__BROKER_URL"] = f"{queue}/0"
        settings["AIRFLOW__CELERY__RESULT_BACKEND"] = f"{queue}/1"
    settings["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] = f"{API}{base_path()}/execution/"
    return settings


def base_path() -> str:
    """Return the path below which Airflow serves everything: that of `AIRFLOW__API__BASE_URL`, without a last slash."""
    return urlsplit(os.environ.get("AIRFLOW__API__BASE_URL", "")).path.rstrip("/")


def healthy(component: str) -> int:
    """Return 0 if a component is alive: as Airflow reports, or because it listens on its port (a worker, for its logs).

    Args:
        component: As Airflow names it, `worker`, or the port of a stand-in.
    """
    if component.isdigit() or component in PORTS:
        socket.create_connection(("127.0.0.1", PORTS.get(component) or int(component)), timeout=5).close()
        return 0 if component.isdigit() else broker_answers(environment(KEPT))
    with urllib.request.urlopen(f"{API}{base_path()}/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310 - our own
        return 0 if json.load(answer)[component]["status"] == "healthy" else 1


def broker_answers(settings: dict[str, str]) -> int:
    """Return 0 if the queue's Redis answers with this service's password: a worker without it takes no task."""
    broker = urlsplit(settings["AIRFLOW__CELERY__BROKER_URL"])
    with socket.create_connection((broker.hostname or "", broker.port or 6379), timeout=5) as connection:
        connection.sendall(f"AUTH {unquote(broker.password or '')}\r\nPING\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2 and (part := connection.recv(1024)):
            answer += part
    return 0 if answer.endswith(b"+PONG\r\n") else 1


def wait(*containers: str) -> int:
    """Wait until every container with a health check is healthy, for as long as there is progress; says what is not."""
    seen: list[str] = []
    before: dict[str, int] = {}
    deadline = time.monotonic() + WAIT_SECONDS
    state = "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}"
    form = f"{{{{.Name}}}} {state} {{{{if .State.Health}}}}{{{{.State.Health.Status}}}}{{{{end}}}}"
    while True:
        rows = [line.lstrip("/").split(" ") for line in docker("inspect", "-f", form, *containers)]
        before = before or {name: int(restarts) for name, _, _, restarts, _ in rows}
        states = {name: health or status for name, status, code, _, health in rows if (status, code) != ("exited", "0")}
        late = [name for name, state in states.items() if state not in ("running", "healthy")]
        if not late:
            return 0
        failing = [name for name, _, _, restarts, _ in rows if int(restarts) - before[name] >= MOST_RESTARTS]
        failing += [name for name in late if states[name] == "exited"]
        progress = [*states.values(), *(line for name in late for line in last_line(name))]
        if progress != seen:
            seen, deadline = progress, time.monotonic() + WAIT_SECONDS
        if failing or time.monotonic() > deadline:
            shown = ", ".join(f"{name} is {states.get(name, 'restarting')}" for name in failing or late)
            reason = "" if failing else f", and nothing changed for {WAIT_SECONDS} s"
            say(f"error: {shown}{reason}: `docker logs NAME` says why")
            return 1
        time.sleep(1)


def last_line(container: str) -> list[str]:
    """Return the last line of a container's log, with its time."""
    command = ["docker", "logs", "--timestamps", "--tail", "1", container]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    return (done.stdout + done.stderr).splitlines()


def initialise() -> int:
    """Create folders, the database's schema, the pools, and the first user; what is there stays."""
    from include.cli.services import pool_command
    from include.pipelines import pools

    for folder in (DATA, CONFIG, LOGS):
        folder.mkdir(parents=True, exist_ok=True)
        share(folder)
    # Nobody but root may exchange what lies in the data folder and is another user's, such as `mounts`.
    os.chown(DATA, 0, GROUP)
    DATA.chmod(0o1775)
    env_file = CONFIG / ENV_FILE
    env_file.touch()
    os.chown(env_file, AIRFLOW_UID, GROUP)
    for path in (env_file, *CONFIG.glob(f"{ENV_FILE}.*"), *CONFIG.glob(f"{ENV_FILE}.*/*")):
        path.chmod(0o770 if path.is_dir() else 0o660)  # workers promote, the API server rolls back
    make_inbox(DATA / INBOX, KEPT.stat())
    os.environ.update(environment(KEPT))
    secret, mark = KEPT / "admin_password", CONFIG / ADMIN_MARK
    admin, written = admin_commands(secret, mark), str(secret.stat().st_mtime_ns)
    os.umask(UMASK)
    os.setgroups([])
    os.setgid(GROUP)
    os.setuid(AIRFLOW_UID)
    settings = [pool_command(pool) for pool in pools()]
    for command in (["db", "migrate"], *settings, *admin):
        subprocess.run([*AIRFLOW, *command], check=True)  # noqa: S603 - our own
    mark.write_text(written)
    return 0


def admin_commands(secret: Path, mark: Path) -> list[list[str]]:
    """Return Airflow's commands that create the first user and set its password, where the secret was written anew.

    Args:
        secret: The file of the password.
        mark: Holds when the secret that is set was written.
    """
    account = ["--username", "admin", "--password", secret.read_text().strip()]
    person = ["--role", "Admin", "--firstname", "Ad", "--lastname", "Min", "--email", "admin@localhost"]
    is_set = mark.exists() and mark.read_text() == str(secret.stat().st_mtime_ns)
    return [["users", "create", *account, *person], *([] if is_set else [["users", "reset-password", *account]])]


def share(folder: Path) -> None:
    """Let all of Airflow's users read and write a folder, and what an earlier release left in it for one user."""
    os.chown(folder, AIRFLOW_UID, GROUP)
    folder.chmod(0o775)
    for path in folder.iterdir():
        if path.name in (INBOX, MOUNTS) or path.is_symlink() or path.stat().st_mode & 0o020:
            continue
        give(path, WORKER_UID, GROUP)
        subprocess.run(["chmod", "-R", "g+rwX", str(path)], check=True)  # noqa: S603, S607 - our own


def give(folder: Path, uid: int, group: int) -> None:
    """Give a folder and all that is in it to a user, without following links."""
    subprocess.run(["chown", "-R", "-P", "-h", f"{uid}:{group}", str(folder)], check=True)  # noqa: S603, S607 - our own


def make_inbox(folder: Path, owner: os.stat_result) -> None:
    """Where people put their files for runs: it belongs to whoever made the secrets, Airflow reads it."""
    folder.mkdir(exist_ok=True)
    os.chown(folder, owner.st_uid, owner.st_gid)


def main(arguments: list[str]) -> int:
    """Run what the first argument names; anything else is a command of its own."""
    name, *rest = arguments
    if name in ACTIONS:
        return ACTIONS[name](*rest)
    os.umask(UMASK)
    os.environ.update(environment(KEPT))
    commands = SERVICES | {"airflow": rest}
    command = [*AIRFLOW, *commands[name]] if name in commands else arguments
    return os.execvp(command[0], command)  # noqa: S606 - this process becomes the command, which then gets the signals


def check_project() -> int:
    """Return 1, and say why, where a stack of this name is another checkout's, or services could not read files."""
    from include.cli.deployments import stack_conflict, unreadable_configuration

    faults = list(filter(None, (stack_conflict(), unreadable_configuration())))
    for fault in faults:
        say(f"error: {fault}")
    return 1 if faults else 0


ACTIONS: dict[str, Callable[..., int]] = {
    "check": check_project,
    "secrets": make_secrets,
    "copy-secrets": copy_secrets,
    "wait": wait,
    "address": address,
    "healthy": healthy,
    "init": initialise,
}


def docker(*arguments: str) -> list[str]:
    """Run a command of the Docker client; returns the lines of its output."""
    command = ["docker", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603


def free_port(wanted: int) -> int:
    """The wanted port, or the next one that nobody listens on; any free one if 0 is wanted."""
    for port in range(wanted, wanted + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit(f"no free port from {wanted} to {wanted + 99}; name one: make ui PORT=9000")


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)  # noqa: T201 - what users see of these programs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
