"""The Events of one pod, in the kubelet's words where it has them."""

from __future__ import annotations

import errno
from typing import Protocol

from emulator.api.meta import JsonObject
from emulator.node.io.backend import BindFailure
from emulator.node.io.containerrun import ContainerRun
from emulator.node.io.events import EventRecorder


class Place(Protocol):
    @property
    def name(self) -> str: ...


class Subject(Protocol):
    """The pod that is told about, in its newest state."""

    pod: JsonObject

    @property
    def place(self) -> Place: ...


class PodEvents:
    def __init__(self, subject: Subject, events: EventRecorder) -> None:
        self._subject = subject
        self._events = events
        self._told_programs = False

    def warn(self, reason: str, message: str) -> None:
        """A Warning about the pod as a whole."""
        self._events.record(self._subject.pod, self._subject.place.name, "Warning", reason, message)

    def of(self, container: ContainerRun, type: str, reason: str, message: str) -> None:
        """An Event about one container."""
        init = container.role != "container"
        place = self._subject.place.name
        self._events.record(self._subject.pod, place, type, reason, message, container=container.name, init=init)

    def started(self, container: ContainerRun) -> None:
        image = container.manifest.get("image") or ""
        present = f'Container image "{image}" already present on machine and can be accessed by the pod'
        self.of(container, "Normal", "Pulled", present)
        self.of(container, "Normal", "Created", "Container created")
        self.of(container, "Normal", "Started", "Container started")

    def killing(self, container: ContainerRun) -> None:
        self.of(container, "Normal", "Killing", f"Stopping container {container.name}")

    def programs_pass(self, container: ContainerRun) -> None:
        """Told once a pod."""
        if not self._told_programs:
            self._told_programs = True
            message = f"exec probes of container {container.name} are not run: the container is simulated, they pass"
            self.of(container, "Normal", "ProbeSimulated", message)

    def unbound(self, container: ContainerRun, failure: BindFailure) -> None:
        listen = failure.listen
        denied = failure.error.errno in (errno.EACCES, errno.EPERM)
        why = "this user may not bind ports so low" if denied else failure.error.strerror or str(failure.error)
        message = f"port {listen.port}/{listen.protocol} is not served at {listen.host}: {why}; the other ports work"
        self.of(container, "Warning", "PortNotServed", message)
