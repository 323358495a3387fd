"""`kubemu doctor`: what this machine allows, with the mend for each no."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from dataclasses import asdict, dataclass
from typing import Any

import click

SBIN = "/usr/sbin:/sbin"  # where nft is, often not on an ordinary user's PATH


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    ok: bool
    said: str


@click.command("doctor")
@click.pass_obj
def doctor_command(obj: Any) -> int:
    """Say what this machine allows, and how to mend what it does not."""
    found = findings()
    if obj.output == "json":
        click.echo(json.dumps([asdict(finding) for finding in found]))
    else:
        for finding in found:
            click.echo(f"{'ok' if finding.ok else 'no':4}{finding.what}: {finding.said}")
    return 0 if all(finding.ok for finding in found[:2]) else 1


def findings() -> list[Finding]:
    """Python and the sandbox first: without them something important is missing; the rest is convenience."""
    from emulator.io.sandbox import probe_sandbox

    version = ".".join(map(str, sys.version_info[:3]))
    problem = probe_sandbox()
    out = [
        Finding("Python", sys.version_info >= (3, 11), version),
        Finding("sandbox (user namespaces)", problem is None, problem or "works"),
        _port("DNS port", 10053, "--dns-port"),
    ]
    for program, use, package in (
        ("kubectl", "the client everybody knows; `kubemu get` and `apply` do without", "kubernetes-client"),
        ("nslookup", "for `kubemu run -- nslookup`", "bind9-dnsutils"),
        ("dig", "for questions to DNS", "bind9-dnsutils"),
        ("nft", "lets programs inside the sandbox reach addresses outside", "nftables"),
    ):
        path = shutil.which(program) or shutil.which(program, path=SBIN)
        out.append(Finding(program, path is not None, path or f"absent: {use}; apt-get install {package}"))
    return out


def _port(what: str, port: int, flag: str) -> Finding:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))
    except OSError as error:
        return Finding(what, False, f"127.0.0.1:{port}: {error.strerror}; a cluster may run already, or use {flag} 0")
    return Finding(what, True, f"127.0.0.1:{port} is free")
