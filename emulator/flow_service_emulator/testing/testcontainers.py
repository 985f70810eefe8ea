"""The emulator's image for testcontainers: `with FlowServiceContainer() as emulator: … emulator.url …`.

Needs the package `testcontainers`, which the emulator itself does not install.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from testcontainers.core.container import DockerContainer

from flow_service_emulator.settings import variables
from flow_service_emulator.testing import FlowServiceServer
from flow_service_emulator.testing.client import FlowServiceError, wait_until_ready

IMAGE = "flow-service-emulator"
PORT = 8080
EXPORTS = "/exports"
START_SECONDS = 30.0


class FlowServiceContainer(DockerContainer):  # type: ignore[misc]  # untyped where testcontainers is not installed
    """A container with the emulator, ready for requests once it has started.

    `export_dir` is a folder of this machine that exported files go to. `settings` are the emulator's, by their names:
    `FlowServiceContainer(clock="frozen", seed=7, orgs=("A", "B"))`. Raises TypeError for a setting that does not exist.
    """

    def __init__(self, image: str = IMAGE, *, export_dir: Path | None = None, **settings: Any) -> None:
        super().__init__(image)
        self.with_exposed_ports(PORT)
        self._export_dir = export_dir
        if export_dir is not None:
            export_dir.mkdir(parents=True, exist_ok=True)
            export_dir.chmod(0o777)  # the image's user is another one
            self.with_volume_mapping(str(export_dir.resolve()), EXPORTS, mode="rw")
        for name, value in variables(settings).items():
            self.with_env(name, value)

    @property
    def url(self) -> str:
        """`http://HOST:PORT` of the started container."""
        return f"http://{self.get_container_host_ip()}:{self.get_exposed_port(PORT)}"

    @property
    def server(self) -> FlowServiceServer:
        """The container as `FlowService` and the fixture `flow_service_server` take it."""
        return FlowServiceServer(self.url, self._export_dir)

    def start(self) -> Self:
        """Starts the container and waits until the emulator answers. Raises FlowServiceError when it does not."""
        super().start()
        try:
            wait_until_ready(self.url, START_SECONDS)
        except FlowServiceError:
            self.stop()
            raise
        return self
