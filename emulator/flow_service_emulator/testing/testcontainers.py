"""The emulator's image for testcontainers: `with FlowServiceContainer() as emulator: … emulator.url …`.

Needs the package `testcontainers`, which the emulator itself does not install.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self

from testcontainers.core.container import DockerContainer

from flow_service_emulator.settings import Settings, flag_name, variable_name
from flow_service_emulator.testing import FlowServiceServer
from flow_service_emulator.testing.client import ControlClient, FlowServiceError

IMAGE = "flow-service-emulator"
PORT = 8080
EXPORTS = "/exports"
POLL_SECONDS = 0.1
POLLS = 300


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
        for name, value in settings.items():
            if name not in Settings.__dataclass_fields__:
                raise TypeError(f"the emulator has no setting {name!r} (as in {flag_name('export_dir')}: export_dir)")
            self.with_env(variable_name(name), ",".join(value) if isinstance(value, (tuple, list)) else str(value))

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
        client = ControlClient(self.url)
        for poll in range(POLLS):
            try:
                client.call("GET", "/health")
                break
            except FlowServiceError:
                if poll == POLLS - 1:
                    self.stop()
                    raise
                time.sleep(POLL_SECONDS)
        client.close()
        return self
