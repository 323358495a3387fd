"""The pytest plugin as projects use it: in every mode of pytest-asyncio, with anyio, blocking, under xdist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MANIFESTS = """
CONTAINER = {"name": "web", "image": "web", "ports": [{"containerPort": 8080}]}
LABELS = {"app": "web"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": TEMPLATE},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": LABELS, "ports": [{"port": 8080}]},
}
"""
ASYNC = (
    MANIFESTS
    + """
import pytest

{mark}

async def test_by_name(cluster):
    await cluster.apply([SERVICE, DEPLOYMENT], wait=True)
    async with cluster.http.get("http://web:8080/hostname") as reply:
        assert (await reply.text()).startswith("web-")
    assert len(cluster.connections) == 1
    assert await cluster.dns.saw("web")

async def test_nothing_is_left(cluster):
    assert await cluster.list("deployments") == []
    assert [each["metadata"]["name"] for each in await cluster.list("services")] == ["kubernetes"]
    assert cluster.connections == []

@pytest.mark.kubemu(SERVICE, DEPLOYMENT)
async def test_the_marker_applies(cluster):
    assert await cluster.resolve("web")

@pytest.mark.kubemu(nodes=2)
async def test_a_cluster_of_its_own(cluster):
    assert len(await cluster.list("nodes")) == 2

async def test_a_handler_on_the_tests_loop(cluster):
    seen = []

    async def handler(request):
        seen.append(request.path)
        return "hello"

    async with cluster.serve("api", handler), cluster.http.get("http://api:8080/x") as reply:
        assert (await reply.text(), seen) == ("hello", ["/x"])
"""
)
SYNC = (
    MANIFESTS
    + """
def test_by_name(sync_cluster):
    sync_cluster.apply([SERVICE, DEPLOYMENT], wait=True)
    with sync_cluster.http() as http:
        assert http.get("http://web:8080/hostname", timeout=5).text.startswith("web-")

def test_nothing_is_left(sync_cluster):
    assert sync_cluster.list("deployments") == []

def test_a_program(sync_cluster):
    sync_cluster.apply(SERVICE)
    assert sync_cluster.run("sh", "-c", "echo $WEB_SERVICE_PORT").stdout == b"8080\\n"

def test_served(sync_cluster):
    with sync_cluster.serve("api", {"a": 1}), sync_cluster.http() as http:
        assert http.get("http://api:8080/", timeout=5).json() == {"a": 1}
    with sync_cluster.namespace() as name:
        sync_cluster.wait_for("serviceaccount/default", "exists", namespace=name)
"""
)
SELF = """
def test_it(sync_cluster):
    def handler():
        try:
            sync_cluster.list("pods")
        except Exception as error:
            return str(error)

    with sync_cluster.serve("api", handler), sync_cluster.http() as http:
        assert "would wait for itself" in http.get("http://api:8080/", timeout=5).text
"""
FAILING = """
def test_fails(sync_cluster):
    import pytest
    from emulator import NoSuchName
    with pytest.raises(NoSuchName):
        sync_cluster.resolve("nobody")
    raise AssertionError("on purpose")
"""
MANY = (
    ASYNC.split("{mark}")[0]
    + """
@pytest.mark.parametrize("number", range(200))
async def test_one_of_many(cluster, number):
    await cluster.apply([SERVICE, DEPLOYMENT], wait=True)
    assert len(await cluster.resolve("web")) == 1
    async with cluster.http.get("http://web:8080/hostname") as reply:
        assert reply.status == 200
    assert len(cluster.connections) == 1

def test_no_thread_or_descriptor_is_left(kubemu_cluster):
    import os, threading
    names = [thread.name for thread in threading.enumerate() if thread.daemon is False]
    assert names == ["MainThread"]
    assert len(os.listdir("/proc/self/fd")) < 60
"""
)
STRICT = "pytestmark = pytest.mark.asyncio"
SESSION = 'pytestmark = pytest.mark.asyncio(loop_scope="session")'
ANYIO = """pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def run(folder: Path, text: str, *options: str, mode: str = "strict") -> subprocess.CompletedProcess[str]:
    """pytest over one file, warnings as errors."""
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text(
        f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("mark", "mode", "options"),
    [
        ("", "auto", ()),
        (STRICT, "strict", ()),
        (SESSION, "strict", ()),
        (ANYIO, "strict", ()),
        ("", "auto", ("-n", "2")),
    ],
    ids=["auto", "strict", "session loop", "anyio", "xdist"],
)
def test_asynchronous_tests(tmp_path: Path, mark: str, mode: str, options: tuple[str, ...]) -> None:
    done = run(tmp_path, ASYNC.replace("{mark}", mark), *options, mode=mode)
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_blocking_tests(tmp_path: Path) -> None:
    done = run(tmp_path, SYNC)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_a_failure_shows_what_the_cluster_saw(tmp_path: Path) -> None:
    done = run(tmp_path, FAILING)
    assert "1 failed" in done.stdout
    assert "what the cluster saw" in done.stdout
    assert "nobody.default.svc.cluster.local. A from" in done.stdout


def test_a_handler_that_would_wait_for_itself_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, SELF)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_two_hundred_isolated_tests(tmp_path: Path) -> None:
    done = run(tmp_path, MANY, mode="auto")
    assert "201 passed" in done.stdout, done.stdout[-3000:] + done.stderr


def test_nothing_of_ours_is_imported_until_it_is_used(tmp_path: Path) -> None:
    text = "import sys\ndef test_it():\n    assert 'emulator.cluster' not in sys.modules and 'aiohttp' not in sys.modules\n"
    done = run(tmp_path, text, "-p", "no:asyncio", "-o", "asyncio_mode=", "-W", "ignore")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_options_and_the_overridden_config(tmp_path: Path) -> None:
    text = "def test_it(sync_cluster):\n    assert len(sync_cluster.list('nodes')) == 3\n"
    assert "1 passed" in run(tmp_path, text, "--kubemu-nodes", "3").stdout
    override = (
        "import pytest\nfrom emulator import ClusterConfig\n"
        "@pytest.fixture(scope='session')\ndef cluster_config():\n    return ClusterConfig(dns_port=0, nodes=3)\n"
    )
    (tmp_path / "conftest.py").write_text(override)
    assert "1 passed" in run(tmp_path, text).stdout
