"""What the documents show is true: every command runs, every option exists, every example passes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from emulator.cli.main import VERBS
from emulator.cli.main import kubemu as command_line
from tests.support.cli import ROOT, Kubemu

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECONDS = 60


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def commands(path: Path) -> list[str]:
    return [line[2:] for block in blocks(path, "console") for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture
def kubemu(tmp_path: Path) -> Iterator[Kubemu]:
    kubemu = Kubemu(tmp_path, {"KUBEMU_DNS_PORT": "0"})
    try:
        yield kubemu
    finally:
        kubemu("down")


def shell(line: str, kubemu: Kubemu) -> subprocess.CompletedProcess[str]:
    """A line as a user would type it in the checkout; the DNS port is the one that this cluster has."""
    env = {**kubemu.env, "PATH": f"{Path(kubemu.path).parent}{os.pathsep}{kubemu.env['PATH']}"}
    if "-p 10053" in line:
        listed = kubemu.ok("list").splitlines()[1].split()
        line = line.replace("-p 10053", f"-p {listed[-1].rpartition(':')[2]}")
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=env, cwd=ROOT, timeout=SECONDS, check=False
    )


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if commands(path)], ids=lambda path: path.name)
def test_commands(path: Path, kubemu: Kubemu) -> None:
    for line in commands(path):
        done = shell(line, kubemu)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks(path, "python")], ids=lambda path: path.name)
def test_python_examples(path: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(path, "python")):
        (tmp_path / f"test_{number}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(tmp_path)]
    command += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tour(kubemu: Kubemu) -> None:
    for _ in range(2):  # it may be run again
        done = shell(f"sh tools/tour.sh {kubemu.path}", kubemu)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "webapp.default.svc.cluster.local" in done.stdout
        assert "WEBAPP_SERVICE_HOST=10.152.183.44" in done.stdout


def test_make_has_the_words_that_are_shown() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for path in DOCUMENTS:
        for word in re.findall(r"`?make ([a-z]+)", path.read_text()):
            assert re.search(rf"^{word}:", makefile, re.MULTILINE), f"{path.name}: make {word}"


def test_the_configuration_shown_is_taken(tmp_path: Path) -> None:
    for path in DOCUMENTS:
        for text in blocks(path, "yaml"):
            if "kubemu.dev/v1alpha1" in text:
                (tmp_path / "kubemu.yaml").write_text(text)
                assert Kubemu(tmp_path).ok("config", "--show")


def test_usage_names_every_verb_and_only_options_there_are() -> None:
    text = (ROOT / "docs" / "usage.md").read_text()
    context = click.Context(command_line)
    shown: set[str] = set()
    for row in re.findall(r"^\| (`.*?) \|(?: |$)", text, re.MULTILINE):
        for call in re.findall(r"`([^`]+)`", row):
            words = re.findall(r"(?<![^\s\[|(])--?[a-z][-a-z]*|[a-z]+", call.replace("\\|", " "))
            if words[0] in VERBS:
                verb = words[0]
                shown.add(verb)
            command = command_line.get_command(context, verb)
            assert command is not None
            options = {
                option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
            }
            assert {word for word in words if word.startswith("-")} <= options, call
    assert shown == set(VERBS)
