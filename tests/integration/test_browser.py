"""A real browser at the URLs that `kubemu status` lists: names below localhost need no set-up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import CONFIGS, SECONDS, Kubemu, program

QUIET = (  # it asks nobody but the page it is given
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-quic",
)  # fmt: skip


@pytest.fixture
def kubemu(tmp_path: Path) -> Iterator[Kubemu]:
    kubemu = Kubemu(tmp_path)
    try:
        yield kubemu
    finally:
        kubemu("down")


def page(url: str, profile: Path, *options: str) -> str:
    """What Chromium makes of the page."""
    command = [program("chromium"), "--headless", "--no-sandbox", "--disable-gpu", *QUIET, *options]
    command += [f"--user-data-dir={profile}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.stdout, done.stderr
    return done.stdout


def test_a_browser_takes_the_urls_of_status(kubemu: Kubemu, tmp_path: Path) -> None:
    """Not the port that programs are told, which browsers refuse."""
    kubemu.up("-f", str(CONFIGS / "webapp.yaml"), "-f", str(CONFIGS / "ingress-webapp.yaml"))
    [url] = json.loads(kubemu.ok("status", "-o", "json"))["ingresses"]
    assert url.startswith("http://webapp.localhost:")
    assert ">webapp-" in page(f"{url}hostname", tmp_path / "profile")


def test_and_https(kubemu: Kubemu, tmp_path: Path) -> None:
    """HTTP/2, with the cluster's own certificate, which a browser does not know."""
    where = kubemu.up("-f", str(CONFIGS / "webapp.yaml"), "-f", str(CONFIGS / "ingress-webapp.yaml"))
    url = where["https"].replace("127.0.0.1", "webapp.localhost")
    assert ">webapp-" in page(f"{url}/hostname", tmp_path / "profile", "--ignore-certificate-errors")
