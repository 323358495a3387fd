"""The files of one process-backed pod on the host: its volumes, /etc files, termination messages.

Everything stands in a folder of this user's alone, below the system's folder for temporary files; the pod's end
removes its folder, the cluster's end all of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from emulator.node.volumes import Claim, Files, Folder, HostPath, Volume, VolumeFailure

DATA = "..data"
MAX_MESSAGE_BYTES = 4096  # pkg/kubelet/container: MaxContainerTerminationMessageLength


class PodFiles:
    """Folder of one pod. Methods raise OSError."""

    def __init__(self, folder: str, claims: str) -> None:
        self.folder = folder
        self._claims = claims
        self._shown: dict[str, Files] = {}
        for name in ("etc", "volumes", "messages", "root", "scratch"):
            os.makedirs(f"{folder}/{name}", mode=0o755, exist_ok=True)

    def write(self, name: str, text: str) -> str:
        """A file of /etc; its path."""
        path = f"{self.folder}/etc/{name}"
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o644)
        return path

    def message_file(self, container: str) -> str:
        """An empty file for the termination message of a container's next run."""
        path = f"{self.folder}/messages/{container}"
        with open(path, "wb"):
            pass
        os.chmod(path, 0o666)  # noqa: S103 - as the kubelet has it; the folder above is this user's alone
        return path

    def message(self, container: str) -> str:
        """What the container left as its termination message."""
        try:
            with open(f"{self.folder}/messages/{container}", "rb") as file:
                return file.read(MAX_MESSAGE_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def volume(self, name: str, volume: Volume) -> str:
        """Set a volume up, or bring it up to date; its path. Raises VolumeFailure."""
        match volume:
            case HostPath():
                return _host_path(volume)
            case Claim(claim):
                return _open_folder(f"{self._claims}/{claim}")
            case Folder():
                return _open_folder(f"{self.folder}/volumes/{name}")
            case Files():
                path = f"{self.folder}/volumes/{name}"
                os.makedirs(path, mode=0o755, exist_ok=True)
                if self._shown.get(name) != volume:
                    _swap(path, volume.contents)
                    self._shown[name] = volume
                return path

    def holds(self, name: str) -> bool:
        """Whether a volume of files was set up under this name."""
        return name in self._shown

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _open_folder(path: str) -> str:
    if not os.path.isdir(path):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o777)  # noqa: S103 - as the kubelet has it; the folder above is this user's alone
    return path


def _host_path(volume: HostPath) -> str:
    if volume.type == "DirectoryOrCreate":
        os.makedirs(volume.path, mode=0o755, exist_ok=True)
    elif volume.type == "FileOrCreate" and not os.path.exists(volume.path):
        with open(volume.path, "a"):
            pass
    wanted = {"Directory": os.path.isdir, "File": os.path.isfile}.get(volume.type, os.path.exists)
    if not wanted(volume.path):
        word = {"Directory": "directory", "File": "file"}.get(volume.type, "path")
        raise VolumeFailure(f"hostPath type check failed: {volume.path} is not a {word} of this host")
    return volume.path


def _swap(folder: str, contents: Mapping[str, tuple[bytes, int]]) -> None:
    """Show new contents in one step: readers see all of the old or all of the new.

    As the kubelet's AtomicWriter does it: `..data` leads to the present set, each name to its file in there.
    """
    before = os.path.realpath(f"{folder}/{DATA}") if os.path.islink(f"{folder}/{DATA}") else ""
    number = int(before.rpartition("_")[2]) + 1 if before else 1
    made = f"{folder}/..set_{number}"
    os.mkdir(made, 0o755)
    for path, (text, mode) in contents.items():
        at = os.path.normpath(f"{made}/{path}")
        os.makedirs(os.path.dirname(at), mode=0o755, exist_ok=True)
        with open(at, "wb") as file:
            file.write(text)
        os.chmod(at, mode)
    os.symlink(os.path.basename(made), f"{folder}/{DATA}_tmp")
    os.rename(f"{folder}/{DATA}_tmp", f"{folder}/{DATA}")
    wanted = {path.partition("/")[0] for path in contents}
    for name in wanted:
        if not os.path.islink(f"{folder}/{name}"):
            os.symlink(f"{DATA}/{name}", f"{folder}/{name}")
    for name in os.listdir(folder):
        if not name.startswith("..") and name not in wanted:
            os.unlink(f"{folder}/{name}")
    if before:
        shutil.rmtree(before, ignore_errors=True)
