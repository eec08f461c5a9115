"""A step in a container: the policy that every container runs under, in one place.

Only the run's `files/` is mounted, at `/data`. No network, a user that is not root, a read-only root file system with a
small tmpfs at `/tmp`, no capabilities, no new privileges, an init process, and hard limits on memory, CPU and
processes. Images are never pulled at task time. Containers have labels instead of names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowException
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig, Mount
from requests.exceptions import ConnectionError as EngineConnectionError
from requests.exceptions import ReadTimeout
from urllib3.exceptions import ProtocolError

from include.core.contracts import StepParams
from include.core.errors import GroundtruthError, SetupError, TransientError
from include.core.pipeline import Pipeline, PipelineStep
from include.core.process import exit_error, step_environment
from include.core.runner import run_step
from include.core.settings import get_settings
from plugins.steps.context import TASK_DEFAULTS, attempt_of, folder_of, plain_errors, small, within_deadline

if TYPE_CHECKING:
    from airflow.sdk import Context

LABEL = "io.groundtruth"
STOP_SECONDS = 10
PROCESS_LIMIT = 256
KILLED = {137, 143}


class ContainerStepOperator(DockerOperator):
    """Runs a step in a container under our policy, and proves it like any other step.

    Args:
        pipeline: The pipeline that the step belongs to.
        each: The step.
        image: Its image; it must be on the engine already.
    """

    template_fields = ()

    def __init__(self, *, pipeline: Pipeline, each: PipelineStep, image: str, **kwargs: Any) -> None:
        uid = get_settings().step_uid
        super().__init__(
            image=image,
            command=list(each.container.command or each.step.program),
            user=f"{uid}:{uid}",
            network_mode="none",
            mount_tmp_dir=False,
            auto_remove="never",
            **TASK_DEFAULTS,
            **kwargs,
        )
        self.pipeline, self.each = pipeline, each

    def execute(self, context: Context) -> Any:
        """Run the container and prove its step."""
        folder = folder_of(context)
        attempt = attempt_of(context, self.pipeline, self.each, self._image_id)
        labels = {
            LABEL: "step",
            f"{LABEL}.dag": context["dag_run"].dag_id,
            f"{LABEL}.run": context["dag_run"].run_id,
            f"{LABEL}.step": self.each.step.id,
        }
        self.labels = labels | {f"{LABEL}.try": str(attempt.number)}

        def execute(params: StepParams) -> None:
            with self._engine_faults():
                self._remove(self._leftovers(labels))
                self._run(params, _host_path(folder.files))

        with plain_errors(self.log):
            try:
                return small(run_step(self.each.step, folder, attempt, execute))
            finally:
                self._clean_up()

    def _image_id(self) -> str:
        with self._engine_faults():
            try:
                return str(self.cli.inspect_image(self.image)["Id"])  # type: ignore[no-untyped-call]
            except ImageNotFound as error:
                ours = self.image == get_settings().energy_image
                how = "build it with `make images`" if ours else f"build or pull it first: docker pull {self.image}"
                raise SetupError(f"the image {self.image} is not on the Docker engine; {how}") from error

    def _clean_up(self) -> None:
        """Remove the container once its verdict stands; the next attempt removes one that cannot be reached now."""
        if not self.hook.client_created:
            return
        with suppress(DockerException, EngineConnectionError, ReadTimeout):
            self._remove([self.container["Id"]] if self.container else [])
        self.cli.close()

    def _leftovers(self, labels: dict[str, str]) -> list[str]:
        """Containers that an attempt of this very step left behind when its worker died."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        return [found["Id"] for found in self.cli.containers(all=True, filters={"label": wanted})]

    def _remove(self, containers: Iterable[str]) -> None:
        for container in containers:
            try:
                self.cli.remove_container(container, force=True, v=True)
            except NotFound:
                continue

    def _run(self, params: StepParams, host_path: str) -> None:
        limits = self.each.container
        self.container = self.cli.create_container(
            image=self.image,
            command=self.command,
            user=self.user,
            working_dir="/data",
            environment=step_environment("/data", params) | {"HOME": "/tmp", "PYTHONUNBUFFERED": "1"},  # noqa: S108
            labels=self.labels,
            host_config=self.cli.create_host_config(
                mounts=[Mount("/data", host_path, type="bind")],
                network_mode=self.network_mode,
                read_only=True,
                tmpfs={"/tmp": "size=64m,mode=1777"},  # noqa: S108
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                init=True,
                mem_limit=f"{limits.memory_mb}m",
                memswap_limit=f"{limits.memory_mb}m",
                nano_cpus=int(limits.cpus * 1e9),
                pids_limit=PROCESS_LIMIT,
                log_config=LogConfig(type="json-file", config={"max-size": "20m", "max-file": "1"}),
            ),
        )
        container = self.container["Id"]
        try:
            with within_deadline(limits.timeout_seconds):
                self.cli.start(container)
                last = self._follow(container)
                self.cli.wait(container)
        except BaseException:
            self._stop(container)
            raise
        state = self.cli.inspect_container(container)["State"]
        if state["OOMKilled"]:
            raise GroundtruthError(
                f"ran out of memory: its limit is {limits.memory_mb} MB (memory_mb in the pipeline definition)"
            )
        if state["ExitCode"] in KILLED:
            raise TransientError(f"its container was killed from outside (exit code {state['ExitCode']})")
        if state["ExitCode"]:
            raise exit_error(state["ExitCode"], last)

    def _follow(self, container: str) -> str:
        """Log each line as it comes; returns the last one that says something."""
        last, rest = "", b""
        for chunk in self.cli.logs(container, stream=True, follow=True):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                self.log.info("%s", text)
                last = text.strip() or last
        if rest:
            self.log.info("%s", rest.decode(errors="replace"))
        return rest.decode(errors="replace").strip() or last

    def _stop(self, container: str) -> None:
        try:
            self.cli.stop(container, timeout=STOP_SECONDS)
        except (DockerException, EngineConnectionError) as error:
            self.log.warning("could not stop the container %s: %s", container[:12], error)

    @contextmanager
    def _engine_faults(self) -> Iterator[None]:
        """Say in words what is wrong with the engine, and whether it may pass."""
        url = self.docker_url
        try:
            yield
        except APIError as error:
            said = error.explanation or str(error)
            if "bind source path does not exist" in said:
                raise SetupError(
                    f"{said}: set GROUNDTRUTH_HOST_DATA_DIR to the data folder as the engine's host sees it"
                ) from error
            if error.is_server_error():
                raise TransientError(f"the Docker engine at {url} failed: {said}") from error
            raise SetupError(f"the Docker engine at {url} refused: {said}") from error
        except (AirflowException, DockerException, EngineConnectionError, ReadTimeout, ProtocolError) as error:
            if isinstance(error, AirflowException) and "Docker hosts" not in str(error):
                raise
            if "Permission denied" in f"{error} {error.__context__}":
                raise SetupError(f"no permission to use the Docker engine at {url}: join the group `docker`") from error
            raise TransientError(
                f"the Docker engine at {url} does not answer: start it, or run with --runtime local"
            ) from error


def _host_path(files: Path) -> str:
    """The folder as the engine's host sees it."""
    settings = get_settings()
    if settings.host_data_dir is None:
        return str(files.resolve())
    return str(settings.host_data_dir / files.resolve().relative_to(settings.data_dir.resolve()))
