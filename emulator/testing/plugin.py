"""pytest: `kubemu_cluster`, `cluster`, `sync_cluster`, `cluster_config`, the marker `kubemu` and the options `--kubemu-*`.

pytest imports this module in every project that has kubemu installed, so it imports nothing of ours until a fixture is
asked for, and nothing happens to tests that ask for none.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from emulator.config.settings import ClusterConfig
    from emulator.testing.sync import SyncCluster
    from emulator.testing.view import ClusterView

MARKER = (
    "kubemu(*manifests, wait=True, **settings): apply the manifests (paths, texts, objects) before the test; settings "
    "are fields of ClusterConfig and give the test a cluster of its own"
)
USED = "kubemu_used"
SHOWN = 20  # events, queries and connections in the report of a failure


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kubemu", "a Kubernetes service network for tests")
    group.addoption("--kubemu-nodes", type=int, metavar="N", help="nodes of the cluster; 0: objects only (default 1)")
    group.addoption(
        "--kubemu-network", choices=("loopback", "sandbox"), help="where its addresses are (default loopback)"
    )
    group.addoption("--kubemu-preset", choices=("microk8s", "kubeadm", "k3s"), help="whose address ranges")
    group.addoption("--kubemu-timeout", type=float, default=30.0, metavar="SECONDS", help="for the marker's manifests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture(scope="session")
def cluster_config(pytestconfig: pytest.Config) -> ClusterConfig:
    """The settings of the session's cluster; override it in conftest.py to choose others."""
    from emulator.testing.settings import config_for_tests

    return config_for_tests(
        nodes=pytestconfig.getoption("--kubemu-nodes"),
        network=pytestconfig.getoption("--kubemu-network"),
        preset=pytestconfig.getoption("--kubemu-preset"),
    )


@pytest.fixture(scope="session")
def kubemu_cluster(cluster_config: ClusterConfig) -> Iterator[SyncCluster]:
    """The session's cluster, in a thread of its own; nothing is reset between tests that use it directly."""
    from emulator.testing.sync import SyncCluster

    with SyncCluster(cluster_config) as cluster:
        yield cluster


@pytest.fixture
def sync_cluster(request: pytest.FixtureRequest) -> Iterator[SyncCluster]:
    """The cluster for a blocking test: as it was started, with the marker's manifests."""
    marker = request.node.get_closest_marker("kubemu")
    settings = dict(marker.kwargs) if marker else {}
    wait = settings.pop("wait", True)
    manifests = marker.args if marker else ()
    seconds = request.config.getoption("--kubemu-timeout")
    if settings:
        from dataclasses import replace

        from emulator.testing.sync import SyncCluster

        with SyncCluster(replace(request.getfixturevalue("cluster_config"), **settings)) as own:
            yield from _used(request, own, manifests, wait=wait, seconds=seconds)
        return
    shared = request.getfixturevalue("kubemu_cluster")
    try:
        yield from _used(request, shared, manifests, wait=wait, seconds=seconds)
    finally:
        shared.reset()


def _used(
    request: pytest.FixtureRequest, cluster: SyncCluster, manifests: tuple[Any, ...], *, wait: bool, seconds: float
) -> Iterator[SyncCluster]:
    request.node.stash[_USED] = cluster
    cluster.forget_records()
    for manifest in manifests:
        cluster.apply(manifest, wait=wait, timeout_seconds=seconds)
    yield cluster


@pytest.fixture
def cluster(sync_cluster: SyncCluster) -> Iterator[ClusterView]:
    """The cluster for an asynchronous test, on whatever asyncio loop it runs; reset after each test."""
    from emulator.testing.view import ClusterView

    view = ClusterView(sync_cluster)
    yield view
    view.close()


_USED: pytest.StashKey[Any] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the cluster saw lately."""
    report = yield
    used = item.stash.get(_USED, None)
    if used is not None and report.when != "teardown" and report.failed:
        from emulator.testing.report import lately

        report.sections.append(("kubemu: what the cluster saw", lately(used, SHOWN)))
    return report
