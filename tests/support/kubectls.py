"""One scenario driven by every kubectl of this machine at once, each in a namespace and home of its own."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from emulator.cluster import Cluster
from emulator.config.settings import ClusterConfig
from tests.support.api import WANTED_VERSIONS, Kubectl, kubectl_versions

DEBIAN = Path(__file__).parents[2] / ".venv/programs/kubernetes-client/usr/bin/kubectl"
SCENARIO_SECONDS = 60.0
Version = tuple[int, int]


@dataclass
class Matrix:
    """One kubectl in a scenario: its version, what it may use alone, and what the last command printed."""

    kubectl: Kubectl
    version: Version
    namespace: str
    node: str

    async def ok(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        """Standard output of a command that must succeed."""
        return await self.kubectl.ok(*arguments, stdin=stdin, **environment)

    async def fails(self, *arguments: str, stdin: str = "") -> str:
        """Standard error of a command that must fail with exit status 1."""
        result = await self.kubectl(*arguments, stdin=stdin)
        assert result.status == 1, result.text
        return result.stderr.strip()

    async def cells(self, *arguments: str) -> dict[str, list[str]]:
        """The rows of what `get` prints: name -> the cells after it."""
        lines = (await self.ok("get", *arguments, "--no-headers")).strip().splitlines()
        rows = [re.split(r"  +", line.strip()) for line in lines]
        return {row[0]: row[1:] for row in rows}

    def since(self, minor: int) -> bool:
        return self.version >= (1, minor)


def every_kubectl() -> dict[str, str]:
    """Version -> path. Raises AssertionError that says what to install."""
    found = {version: path for version, path in kubectl_versions().items() if version in WANTED_VERSIONS}
    assert DEBIAN.exists(), (
        "Debian's kubectl is missing: run tools/install_programs.sh kubectl, "
        f"or unpack the package kubernetes-client (dpkg -x) into {DEBIAN.parents[2]}"
    )
    return {"1.20": str(DEBIAN), **found}


def on_every_kubectl(scenario: Callable[[Matrix], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """A test that runs the scenario with every kubectl at the same time against one cluster, a node for each."""

    async def test() -> None:
        paths = every_kubectl()
        config = replace(ClusterConfig(), dns_port=0, nodes=len(paths))
        async with Cluster(config) as cluster, AsyncExitStack() as stack:
            tries: dict[str, Awaitable[None]] = {}
            for number, (version, path) in enumerate(sorted(paths.items()), 1):
                home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubemu-test-")))
                place = f"v{version.replace('.', '-')}"
                await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}})
                kubectl = Kubectl(path, home, _environment(home, cluster, place))
                major, minor = version.split(".")
                tries[version] = scenario(Matrix(kubectl, (int(major), int(minor)), place, f"node-{number}"))
            async with asyncio.timeout(SCENARIO_SECONDS):
                ends = await asyncio.gather(*tries.values(), return_exceptions=True)
        failed = {version: end for version, end in zip(tries, ends, strict=True) if end is not None}
        for version, error in failed.items():
            error.add_note(f"with kubectl {version}")
        if failed:
            raise BaseExceptionGroup(f"kubectl {', '.join(failed)}", list(failed.values()))

    test.__name__ = test.__qualname__ = scenario.__name__
    test.__doc__, test.__module__ = scenario.__doc__, scenario.__module__
    return test


def _environment(home: Path, cluster: Cluster, namespace: str) -> dict[str, str]:
    """Nothing of the user's own configuration is read; the namespace is the context's."""
    document = yaml.safe_load(cluster.kubeconfig)
    for context in document["contexts"]:
        context["context"]["namespace"] = namespace
    config = home / "kubeconfig"
    config.write_text(yaml.safe_dump(document))
    config.chmod(0o600)
    return {"HOME": str(home), "KUBECONFIG": str(config), "PATH": os.environ["PATH"]}
