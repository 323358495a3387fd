"""Volumes on disk: swapped in one step, as the kubelet does it, and gone with the pod."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.node.io.podfiles import DATA, PodFiles
from emulator.node.volumes import Claim, Files, Folder, HostPath, VolumeFailure


@pytest.fixture
def files(tmp_path: Path) -> PodFiles:
    return PodFiles(str(tmp_path / "pod"), str(tmp_path / "claims"))


def test_contents_are_swapped_in_one_step(files: PodFiles) -> None:
    folder = Path(files.volume("v", Files({"a": (b"1", 0o644), "sub/b": (b"2", 0o400)})))
    before = (folder / DATA).resolve()
    assert ((folder / "a").read_text(), (folder / "sub/b").read_text()) == ("1", "2")
    assert (folder / "sub/b").stat().st_mode & 0o777 == 0o400
    assert (folder / "a").is_symlink()
    files.volume("v", Files({"a": (b"changed", 0o644), "c": (b"3", 0o644)}))
    assert (folder / "a").read_text() == "changed"
    assert sorted(each.name for each in folder.iterdir() if not each.name.startswith("..")) == ["a", "c"]
    assert (folder / DATA).resolve() != before
    assert not before.exists()


def test_the_same_contents_are_left_alone(files: PodFiles) -> None:
    folder = Path(files.volume("v", Files({"a": (b"1", 0o644)})))
    before = (folder / DATA).resolve()
    files.volume("v", Files({"a": (b"1", 0o644)}))
    assert (folder / DATA).resolve() == before


def test_folders_live_as_long_as_the_pod_and_claims_longer(files: PodFiles) -> None:
    empty, claim = Path(files.volume("e", Folder())), Path(files.volume("c", Claim("data")))
    (empty / "x").write_text("kept")
    (claim / "x").write_text("kept")
    assert Path(files.volume("e", Folder())) == empty
    assert (empty / "x").exists()
    files.remove()
    assert not empty.exists()
    assert (claim / "x").exists()


def test_paths_of_the_host(files: PodFiles, tmp_path: Path) -> None:
    assert files.volume("h", HostPath(str(tmp_path), "Directory")) == str(tmp_path)
    made = tmp_path / "new" / "folder"
    assert files.volume("h", HostPath(str(made), "DirectoryOrCreate")) == str(made)
    assert made.is_dir()
    for path, type in ((tmp_path / "absent", ""), (tmp_path, "File"), (tmp_path / "absent", "Directory")):
        with pytest.raises(VolumeFailure, match="hostPath type check failed"):
            files.volume("h", HostPath(str(path), type))


def test_messages(files: PodFiles) -> None:
    path = Path(files.message_file("c"))
    assert files.message("c") == ""
    path.write_text("x" * 5000)
    assert files.message("c") == "x" * 4096
    files.message_file("c")
    assert files.message("c") == ""
    assert files.message("absent") == ""
