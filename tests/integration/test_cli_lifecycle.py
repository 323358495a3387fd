"""Starting, stopping and being killed: nothing is left behind, and a mistake is one clear line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import CONFIGS, HELPER, Kubemu, alive, children_of, eventually, program

WEBAPP = str(CONFIGS / "webapp.yaml")


@pytest.fixture
def kubemu(tmp_path: Path) -> Iterator[Kubemu]:
    kubemu = Kubemu(tmp_path)
    try:
        yield kubemu
    finally:
        kubemu("down")


def namespaces_of(pid: int) -> list[int]:
    """Processes in another network namespace than ours among `pid` and what it started."""
    ours = os.stat("/proc/self/ns/net").st_ino
    return [p for p in (pid, *children_of(pid)) if os.stat(f"/proc/{p}/ns/net").st_ino != ours]


def test_down_leaves_nothing(kubemu: Kubemu) -> None:
    where = kubemu.up("-f", WEBAPP)
    processes = [where["pid"], *children_of(where["pid"])]
    assert len(namespaces_of(where["pid"])) == 1, "the sandbox is a helper in a namespace of its own"
    mode = os.stat(Path(where["kubeconfig"]).parent).st_mode
    assert mode & 0o077 == 0, "tokens and keys are private"
    assert kubemu.ok("down") == "cluster kubemu is down\n"
    assert not any(alive(pid) for pid in processes)
    left = {path.name for path in (kubemu.home / "state" / "kubemu").iterdir()}
    assert left <= {"log", "lock"}
    assert kubemu.ok("down") == "cluster kubemu is not running\n"


def test_add_ons_are_turned_off_and_on(kubemu: Kubemu) -> None:
    kubemu.up("-f", WEBAPP, "-f", str(CONFIGS / "ingress-webapp.yaml"))
    [url] = json.loads(kubemu.ok("status", "-o", "json"))["ingresses"]
    assert f"Ingress   {url}  default/webapp" in kubemu.ok("status")
    host = url.split("/")[2]
    get = ["curl", "-s", "--retry", "5", "--resolve", f"{host}:127.0.0.1", f"{url}hostname"]
    assert subprocess.run(get, capture_output=True, text=True, check=True).stdout.startswith("webapp-")
    assert kubemu.ok("disable", "ingress") == "ingress is disabled\n"
    assert subprocess.run(get, capture_output=True, check=False).returncode == 7
    status = kubemu.ok("status")
    assert "disabled  ingress; `kubemu enable ingress` starts it again" in status
    assert "Ingress   " not in status
    eventually(lambda: addresses(kubemu) == [None])  # nobody answers there any more
    assert kubemu.ok("enable", "ingress") == "ingress is enabled\n"
    assert subprocess.run(get, capture_output=True, text=True, check=True).stdout.startswith("webapp-")
    eventually(lambda: addresses(kubemu) == ["10.64.140.254"])
    assert kubemu.ok("disable", "dns") == "dns is disabled\n"
    assert "does not answer" in kubemu("resolve", "webapp").stderr
    assert kubemu.ok("enable", "dns") == "dns is enabled\n"
    assert "10.152.183.44" in kubemu.ok("resolve", "webapp")


def addresses(kubemu: Kubemu) -> list[str | None]:
    """Of each Ingress; None for one without."""
    items = json.loads(kubemu.ok("get", "ingress", "-o", "json"))["items"]
    return [(item["status"]["loadBalancer"].get("ingress") or [{}])[0].get("ip") for item in items]


def test_node_ports_have_the_scheme_of_their_service(kubemu: Kubemu) -> None:
    kubemu.up()
    assert "NodePort  https://127.0.0.1:" in kubemu.ok("status"), "the ingress' own"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_foreground(kubemu: Kubemu, number: signal.Signals) -> None:
    process = kubemu.start("up", "--dns-port", "0", "-o", "json", "-f", WEBAPP)
    assert process.stdout
    where = json.loads(process.stdout.readline())
    processes = [where["pid"], *children_of(where["pid"])]
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == (130 if number == signal.SIGINT else 0), out + err
    assert "Traceback" not in err
    assert not any(alive(pid) for pid in processes)


def test_kill_of_the_main_process(kubemu: Kubemu) -> None:
    where = kubemu.up("-f", WEBAPP)
    helpers = children_of(where["pid"])
    assert helpers
    os.kill(where["pid"], signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in (where["pid"], *helpers)))
    assert "not running" in kubemu("status").stderr
    kubemu.up("-f", WEBAPP)  # what is left in the state folder is in nobody's way
    assert "webapp" in kubemu.ok("get", "services")


def test_a_crash_of_the_helper_ends_the_cluster(kubemu: Kubemu) -> None:
    where = kubemu.up("-f", WEBAPP)
    (helper,) = (pid for pid in children_of(where["pid"]) if HELPER in Path(f"/proc/{pid}/cmdline").read_text())
    os.kill(helper, signal.SIGKILL)
    eventually(lambda: not alive(where["pid"]))
    told = kubemu("logs").stdout
    assert "the sandbox's helper process ended" in told
    assert "Traceback" not in told
    assert kubemu("status").status == 1


def test_a_second_up_of_the_same_name(kubemu: Kubemu) -> None:
    kubemu.up()
    again = kubemu("up", "-d", "--dns-port", "0")
    assert again.status == 1
    assert again.stderr == (
        "kubemu: cluster 'kubemu' is running already; stop it with `kubemu down`, or start another with --name\n"
    )
    kubemu.ok("--name", "other", "up", "-d", "--dns-port", "0")
    assert json.loads(kubemu.ok("status", "--name", "other", "-o", "json"))["name"] == "other"
    assert [entry["name"] for entry in json.loads(kubemu.ok("list", "-o", "json"))] == ["kubemu", "other"]
    try:
        assert [line.split()[0] for line in kubemu.ok("list").splitlines()] == ["NAME", "kubemu", "other"]
    finally:
        kubemu.ok("--name", "other", "down")


def test_a_taken_port(kubemu: Kubemu) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        done = kubemu("up", "-d", "--dns-port", str(port))
    assert done.status == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(port) in done.stderr
    assert "--dns-port" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        done = kubemu("up", "-d", "--dns-port", "0", "--api-port", str(port))
    assert done.status == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(port) in done.stderr
    assert "--api-port" in done.stderr
    assert "not running" in kubemu("status").stderr


BROKEN = """\
apiVersion: v1
kind: Service
metadata: {name: a
spec: {}
"""


def test_broken_yaml(kubemu: Kubemu) -> None:
    (kubemu.home / "broken.yaml").write_text(BROKEN)
    done = kubemu("up", "-d", "--dns-port", "0", "-f", "broken.yaml")
    assert done.status == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("kubemu: broken.yaml:4: not YAML: ")
    absent = kubemu("up", "-d", "-f", "absent.yaml")
    assert (absent.status, absent.stderr) == (1, "kubemu: absent.yaml: no such file or folder\n")


MIXED = """\
apiVersion: v1
kind: Service
metadata: {name: good}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: bad}
spec: {ports: [{port: 80000}]}
---
apiVersion: example.dev/v1
kind: Wonder
metadata: {name: strange}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: good}
data: {a: b}
---
apiVersion: v1
kind: Service
metadata: {name: typo}
spec: {ports: [{port: 80, prot: TCP}]}
"""


def test_good_manifests_are_applied_and_bad_ones_listed(kubemu: Kubemu) -> None:
    (kubemu.home / "mixed.yaml").write_text(MIXED)
    done = kubemu("up", "-d", "--dns-port", "0", "-f", "mixed.yaml")
    assert done.status == 1
    first, second, third = done.stderr.splitlines()
    assert first == (
        'kubemu: mixed.yaml:6: Service "bad" is invalid: [spec.ports[0].port: Invalid value: 80000: '
        "must be between 1 and 65535, inclusive, spec.ports[0].targetPort: Invalid value: 80000: "
        "must be between 1 and 65535, inclusive]"
    )
    assert second == "kubemu: warning: mixed.yaml:11: Wonder of example.dev/v1 is not a kind kubemu knows"
    assert third.startswith("kubemu: mixed.yaml:20: ")
    assert third.endswith('.spec.ports[port=80,protocol="TCP"].prot: field not declared in schema')
    names = kubemu.ok("get", "services", "-o", "name").split()
    assert names == ["service/good", "service/kubernetes"]
    assert "configmap/good" in kubemu.ok("get", "configmaps", "-o", "name").split()


def test_unknown_settings_are_errors_with_their_line(kubemu: Kubemu) -> None:
    (kubemu.home / "kubemu.yaml").write_text(
        "apiVersion: kubemu.dev/v1alpha1\nkind: ClusterConfig\nnodes: 1\nnodez: 2\n"
    )
    done = kubemu("up", "-d")
    assert done.status == 1
    assert done.stderr.startswith("kubemu: kubemu.yaml:4: ")
    assert "nodez" in done.stderr
    (kubemu.home / "kubemu.yaml").unlink()
    kubemu.environment["KUBEMU_NODES"] = "many"
    done = kubemu("up", "-d")
    assert done.status == 1
    assert "KUBEMU_NODES" in done.stderr


def test_usage_mistakes(kubemu: Kubemu) -> None:
    assert kubemu("upp").status == 2
    assert kubemu("up", "--nope").status == 2
    assert kubemu("run").status == 2
    assert kubemu("--name", "No!", "status").status == 1
    for verb in (["status"], ["run", "--", "true"], ["get", "pods"], ["env"], ["resolve", "a"], ["reset"]):
        done = kubemu(*verb)
        assert done.status == 1, verb
        assert done.stderr == "kubemu: cluster 'kubemu' is not running; start it with `kubemu up -d`\n"


def test_a_folder_of_somebody_else(kubemu: Kubemu) -> None:
    kubemu.environment["KUBEMU_HOME"] = "/proc/1/kubemu"  # nobody may make folders there
    for verb in (["up", "-d"], ["down"], ["status"], ["list"], ["logs"]):
        done = kubemu(*verb)
        assert "Traceback" not in done.stderr, done.text
        assert len(done.stderr.splitlines()) <= 1


def test_no_user_namespaces(kubemu: Kubemu) -> None:
    """A user namespace that allows no further ones stands for a machine that forbids them."""
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces && exec "
    shell = [program("unshare"), "-Ur", "sh", "-c"]

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = forbid + " ".join([kubemu.path, *arguments])
        return subprocess.run([*shell, line], capture_output=True, text=True, env=kubemu.env, timeout=60, check=False)

    doctor = call("doctor")
    assert "user.max_user_namespaces=0" in doctor.stdout
    assert "sysctl -w user.max_user_namespaces" in doctor.stdout
    assert doctor.returncode == 1
    refused = call("up", "-d", "--dns-port", "0", "--network", "sandbox")
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith("kubemu: --network sandbox does not work here: user namespaces are off")
    other = call("up", "-d", "--dns-port", "0", "-f", WEBAPP)
    assert other.returncode == 0, other.stdout + other.stderr
    assert "network loopback: sandbox does not work here: user namespaces are off" in other.stdout
    assert kubemu.ok("get", "service", "webapp").split()[-4:-2] == ["127.152.183.44", "<none>"]


def test_host_mode_needs_root(kubemu: Kubemu) -> None:
    if os.geteuid() != 0:
        done = kubemu("up", "-d", "--network", "host")
        assert (done.status, done.stderr) == (1, "kubemu: --network host needs root; use --network sandbox, or sudo\n")
        return
    # A network namespace stands for the host, so that the real one is not touched.
    script = (
        f"ip link set lo up && {kubemu.path} up -d --dns-port 0 --network host -f {WEBAPP} >/dev/null && "
        "curl -sS http://10.152.183.44:8080/hostname && echo && "
        f"{kubemu.path} down >/dev/null && ip route show table local type local"
    )
    command = [program("unshare"), "-n", "sh", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, env=kubemu.env, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    first, *routes = result.stdout.splitlines()
    assert first in ("webapp-1", "webapp-2")
    assert all(line.startswith("127.") or "127.0.0" in line for line in routes), routes


def test_a_command_ends_with_the_cluster_or_by_signal(kubemu: Kubemu) -> None:
    kubemu.up()
    process = kubemu.start("run", "--", "sh", "-c", "echo started; exec sleep 60")
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)
