"""What `/version` says. It names the Kubernetes that is emulated, and that this is the emulator."""

from __future__ import annotations

from emulator.api.meta import JsonObject

MAJOR, MINOR, PATCH = "1", "36", "2"
GIT_VERSION = f"v{MAJOR}.{MINOR}.{PATCH}"


def version_info(*, platform: str, interpreter: str) -> JsonObject:
    """platform: `linux/amd64`; interpreter: what runs the server, in the place of Go's version."""
    return {
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": GIT_VERSION,
        "gitCommit": "kubemu",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": interpreter,
        "compiler": "kubemu",
        "platform": platform,
    }
