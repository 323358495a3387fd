"""`kubemu up`: run a cluster in the foreground, or detached with -d."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click

from emulator.api.errors import ConfigError, EmulatorError, StartError
from emulator.cli.logs import set_up_logging
from emulator.cli.settings import decide_network, read_config_file
from emulator.cli.state import ClusterFolder
from emulator.config.settings import HTTP_PORT, ClusterConfig
from emulator.config.sources import build_config, expand_services, merged

START_TIMEOUT_SECONDS = 60.0  # how long `up -d` waits for the child on top of --wait


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, decided before anything is."""

    config: ClusterConfig
    why_network: str
    sources: tuple[str, ...]
    stdin_text: str
    services: tuple[dict[str, Any], ...]
    wait_seconds: float
    json_output: bool


@click.command("up")
@click.option("-f", "--filename", "filenames", multiple=True, metavar="FILE|DIR|-", help="Manifests to apply.")
@click.option("-d", "--detach", is_flag=True, help="Run in the background.")
@click.option("--wait", default="30s", metavar="DURATION", help="How long manifests may take to be ready.")
@click.option("--network", type=click.Choice(["auto", "sandbox", "loopback", "host"]), help="Default auto.")
@click.option("--preset", type=click.Choice(["microk8s", "kubeadm", "k3s"]), help="Whose address ranges.")
@click.option("--service-cidr", metavar="CIDR", help="The range of ClusterIPs.")
@click.option("--pod-cidr", metavar="CIDR", help="The range of pod addresses.")
@click.option("--nodes", type=int, metavar="N", help="How many nodes; 0: objects and controllers only.")
@click.option("--store", metavar="memory", help="Where objects are kept.")
@click.option("--api-port", type=int, metavar="PORT", help="Default 0: a free one.")
@click.option("--dns-port", type=int, metavar="PORT", help="On the host; default 10053.")
@click.option("--http-port", type=int, metavar="PORT", help="Of the ingress on the host; default 10080.")
@click.option("--https-port", type=int, metavar="PORT", help="Of the ingress on the host; default 10443.")
@click.option("--load-balancer", type=click.Choice(["assign", "pending"]), help="EXTERNAL-IP of LoadBalancers.")
@click.option("--runtime", type=click.Choice(["simulate", "process"]), help="What runs behind containers.")
@click.option("--isolated", is_flag=True, default=None, help="Nothing inside reaches addresses outside.")
@click.option("--ingress/--no-ingress", default=None, help="Serve Ingresses; default yes.")
@click.option("--insecure-http", is_flag=True, default=None, help="Serve the API without TLS.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default=None, help="How results are printed.")
@click.pass_obj
def up_command(obj: Any, /, filenames: Sequence[str], detach: bool, wait: str, output: str | None, **flags: Any) -> int:
    """Start a cluster, apply manifests, wait until they are ready, print where everything is."""
    file = read_config_file(obj.config_file)
    given = {name.replace("_", "-"): value for name, value in flags.items()}
    settings = merged({**given, "name": obj.cluster_name}, os.environ, file)
    folder: ClusterFolder = obj.folder
    mode, why = decide_network(settings.get("network", "auto"))
    plan = Plan(
        config=build_config(settings, mode, file.images),
        why_network=why,
        sources=tuple(filenames),
        stdin_text=sys.stdin.read() if "-" in filenames else "",
        services=tuple(expand_services(file.services)),
        wait_seconds=parse_duration(wait),
        json_output=(output or obj.output) == "json",
    )
    for source in plan.sources:
        if source != "-" and not Path(source).exists():
            raise EmulatorError(f"{source}: no such file or folder")
    folder.create()
    lock = folder.lock()
    if not detach:
        set_up_logging(verbose=obj.verbose)
        status = _run(plan, folder, sys.stdout)
        os.close(lock)
        return status
    return _detach(plan, folder, verbose=obj.verbose)


def parse_duration(text: str) -> float:
    """Seconds of `30s`, `2m`, `500ms` or `10`. Raises ConfigError."""
    for suffix, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)):
        number = text.removesuffix(suffix)
        if text.endswith(suffix) and number.replace(".", "", 1).isdigit():
            return float(number) * factor
    raise ConfigError(f"--wait: {text!r} is not a duration such as 30s")


def _detach(plan: Plan, folder: ClusterFolder, *, verbose: bool) -> int:
    """Fork before an event loop exists; the child tells through a pipe what the parent prints."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setsid()
        log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        set_up_logging(verbose=verbose)
        status = 1
        try:
            with os.fdopen(writing, "w") as pipe:
                status = _run(plan, folder, pipe)
        except EmulatorError:
            pass  # told through the pipe already
        finally:
            os._exit(status)
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            return _relay(pipe, folder)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        raise


def _relay(pipe: TextIO, folder: ClusterFolder) -> int:
    """Print what the child says until it is ready or gone; its exit status so far."""
    status: int | None = None
    for line in pipe:
        message = json.loads(line)
        if "error" in message:
            raise StartError(message["error"])
        if "status" in message:
            status = message["status"]
        stream = sys.stderr if message.get("stderr") else sys.stdout
        if "text" in message:
            print(message["text"], file=stream)
    if status is None:
        raise StartError(f"the cluster ended while it started; see {folder.log}")
    return status


class Teller:
    """Tells the user: straight to the terminal, or as JSON lines to the waiting parent."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.is_pipe = stream is not sys.stdout

    def say(self, text: str, *, stderr: bool = False) -> None:
        if self.is_pipe:
            self._send({"text": text, "stderr": stderr})
        else:
            print(text, file=sys.stderr if stderr else sys.stdout, flush=True)

    def ready(self, status: int) -> None:
        if self.is_pipe:
            self._send({"status": status})
            self.stream.close()

    def failed(self, error: EmulatorError) -> None:
        if self.is_pipe:
            self._send({"error": str(error)})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self.stream.write(json.dumps(message) + "\n")
            self.stream.flush()
        except (BrokenPipeError, ValueError):
            pass  # nobody waits any more


def _run(plan: Plan, folder: ClusterFolder, stream: TextIO) -> int:
    """Run the cluster until a signal; 0, 1 when a manifest failed, 130 when interrupted in the foreground."""
    teller = Teller(stream)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(plan, folder, teller))
    except EmulatorError as error:
        teller.failed(error)
        raise
    except (OSError, ExceptionGroup) as error:
        said = getattr(error, "strerror", None) or str(error)
        problem = StartError(f"the cluster ended: {said}; see {folder.log}")
        teller.failed(problem)
        raise problem from error
    finally:
        folder.remove()


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(plan: Plan, folder: ClusterFolder, teller: Teller) -> int:
    from emulator.client.io.files import load_manifests
    from emulator.cluster import Cluster
    from emulator.io.openfiles import raise_open_file_limit
    from emulator.io.tasks import TaskOwner

    raise_open_file_limit()
    started = time.monotonic()
    stopping = asyncio.Event()
    interrupted: list[int] = []
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        interrupted.append(number)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    manifests = [m for source in plan.sources if source != "-" for m in load_manifests(source)]
    if plan.stdin_text:
        from emulator.client.manifests import parse_manifests

        manifests += parse_manifests(plan.stdin_text, "<stdin>")
    cluster = Cluster(plan.config)
    async with cluster:
        status = await _apply(cluster, plan, manifests, teller)
        _write_state(cluster, folder)
        baseline = await cluster.mark_baseline()
        folder.write(folder.baseline, json.dumps(baseline))
        _announce(cluster, plan, folder, teller, time.monotonic() - started)
        teller.ready(status)
        watching = TaskOwner("up")
        watching.start(_pass_on(cluster.failed, stopping))
        await stopping.wait()
        await watching.close()
        if cluster.failed.is_set() and not interrupted:
            raise StartError(f"a part of the cluster failed and it had to stop; see {folder.log}")
    return 130 if signal.SIGINT in interrupted and not teller.is_pipe else status


async def _pass_on(first: asyncio.Event, second: asyncio.Event) -> None:
    await first.wait()
    second.set()


async def _apply(cluster: Any, plan: Plan, manifests: list[Any], teller: Teller) -> int:
    """Apply everything given; 1 when something failed. Good ones are applied, bad ones listed."""
    from emulator.cluster import NotReady

    found = [manifest.placed(plan.config.preset, cluster.config.addresses) for manifest in manifests]
    applied = await cluster.apply_manifests([*found, *cluster.parse(plan.services)])
    bad = [item for item in applied if item.problem]
    for item in bad:
        prefix = "warning: " if item.outcome == "skipped" else ""
        teller.say(f"kubemu: {prefix}{item}", stderr=True)
    failed = any(item.outcome == "failed" for item in bad)
    try:
        await cluster.wait_applied(applied, timeout_seconds=plan.wait_seconds)
    except NotReady as error:
        teller.say(f"kubemu: {error}", stderr=True)
        failed = True
    return 1 if failed else 0


def _write_state(cluster: Any, folder: ClusterFolder) -> None:
    folder.write(folder.ca_file, cluster.credentials.ca)
    folder.write(folder.kubeconfig, cluster.kubeconfig)
    folder.write(folder.state_file, json.dumps({**where(cluster, folder), **_private(cluster)}))


def where(cluster: Any, folder: ClusterFolder) -> dict[str, Any]:
    """What `-o json` prints: where everything is."""
    config: ClusterConfig = cluster.config
    host, port = cluster.dns_address
    return {
        "name": config.name,
        "pid": os.getpid(),
        "network": config.network,
        "apiServer": cluster.api_url,
        "token": cluster.token,
        "caFile": str(folder.ca_file),
        "kubeconfig": str(folder.kubeconfig),
        "dns": {"host": host, "port": port},
        "http": _url(cluster, "http"),
        "https": _url(cluster, "https"),
        "socks": None,
        "serviceCIDR": str(config.addresses.services),
        "podCIDR": str(config.addresses.pods),
    }


def _url(cluster: Any, scheme: str) -> str | None:
    """Where the ingress is on the host."""
    port = cluster.ingress.bound.get(scheme) if cluster.ingress is not None else None
    return f"{scheme}://127.0.0.1:{port}" if port else None


def _browser_url(cluster: Any) -> str | None:
    """Where the ingress is for browsers, if they refuse the port it has."""
    ports = cluster.ingress.bound if cluster.ingress is not None else {}
    return f"http://127.0.0.1:{ports['browser']}" if ports.get("http") == HTTP_PORT and "browser" in ports else None


def _private(cluster: Any) -> dict[str, Any]:
    """What only the other verbs need."""
    config: ClusterConfig = cluster.config
    return {
        "httpInBrowsers": _browser_url(cluster),
        "sandbox": cluster.sandbox.reference() if cluster.sandbox else None,
        "clusterDNS": config.addresses.dns,
        "clusterDomain": config.cluster_domain,
        "preset": config.preset,
        "hostAddress": cluster.sandbox.host_address if cluster.sandbox else "127.0.0.1",
        "nodes": config.nodes,
    }


def _announce(cluster: Any, plan: Plan, folder: ClusterFolder, teller: Teller, seconds: float) -> None:
    state = where(cluster, folder)
    logging.getLogger(__name__).info("ready after %.2f s", seconds)
    if plan.json_output:
        teller.say(json.dumps(state))
        return
    option, browser = folder.option, _browser_url(cluster)
    teller.say(
        f"cluster {state['name']} is up after {seconds:.2f} s (network {state['network']}: {plan.why_network})\n"
        f"  API          {state['apiServer']}\n"
        f"  DNS          {state['dns']['host']}:{state['dns']['port']}   "
        f"dig @{state['dns']['host']} -p {state['dns']['port']} kubernetes.default.svc.cluster.local\n"
        + (f"  ingress      {state['http']}, {state['https']}\n" if state["http"] else "")
        + (f"  in browsers  {browser} (they refuse port {HTTP_PORT})\n" if browser else "")
        + f"  Services     {state['serviceCIDR']}, pods {state['podCIDR']}\n"
        f"  kubectl      export KUBECONFIG=$(kubemu{option} kubeconfig)\n"
        f"  inside       kubemu{option} run -- COMMAND\n"
        f"  stop         kubemu{option} down" + ("" if teller.is_pipe else ", or Ctrl-C")
    )
