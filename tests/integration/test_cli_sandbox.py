"""The main job through the installed command: manifests in, names and virtual IPs out, in a sandbox."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import CONFIGS, Done, Kubemu, eventually, program

SEVEN = """\
WEBAPP_PORT=tcp://10.152.183.44:8080
WEBAPP_PORT_8080_TCP=tcp://10.152.183.44:8080
WEBAPP_PORT_8080_TCP_ADDR=10.152.183.44
WEBAPP_PORT_8080_TCP_PORT=8080
WEBAPP_PORT_8080_TCP_PROTO=tcp
WEBAPP_SERVICE_HOST=10.152.183.44
WEBAPP_SERVICE_PORT=8080
"""


@dataclass
class Running:
    """A cluster with configs/webapp.yaml, and where it is."""

    kubemu: Kubemu
    where: dict[str, Any]

    def kubectl(self, *arguments: str, **environment: str) -> str:
        env = {**self.kubemu.env, "KUBECONFIG": self.where["kubeconfig"], **environment}
        command = [program("kubectl"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def exec(self, pod: str, *command: str, stdin: str = "") -> Done:
        env = {**self.kubemu.env, "KUBECONFIG": self.where["kubeconfig"]}
        call = [program("kubectl"), "exec", *(["-i"] if stdin else []), pod, "--", *command]
        done = subprocess.run(call, capture_output=True, text=True, env=env, input=stdin, timeout=60, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def dig(self, *arguments: str) -> str:
        command = [program("dig"), "@127.0.0.1", "-p", str(self.where["dns"]["port"]), "+short", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    def names(self, url: str, times: int) -> Counter[str]:
        """Which pods answered, inside."""
        script = f"for i in $(seq {times}); do {program('curl')} -sS --max-time 5 {url}; echo; done"
        return Counter(self.kubemu.run("sh", "-c", script).stdout.split())

    def curl(self, *arguments: str) -> Done:
        return self.kubemu.run(program("curl"), "-sS", "--max-time", "5", *arguments)


@pytest.fixture(scope="module")
def webapp() -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="kubemu-test-") as folder:
        kubemu = Kubemu(Path(folder))
        where = kubemu.up("--network", "sandbox", "-f", str(CONFIGS / "webapp.yaml"))
        try:
            yield Running(kubemu, where)
        finally:
            kubemu("down")


@pytest.fixture(autouse=True)
def as_after_up(webapp: Running) -> None:
    webapp.kubemu.ok("reset")
    webapp.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=10s")


def test_nslookup_of_bind_and_of_busybox(webapp: Running) -> None:
    for command in ([program("nslookup"), "webapp"], [program("busybox"), "nslookup", "webapp"]):
        text = webapp.kubemu.run(*command).stdout
        lines = [line.split() for line in text.splitlines()]
        assert ["Server:", "10.152.183.10"] in lines, text
        assert ["Name:", "webapp.default.svc.cluster.local"] in lines, text
        assert ["Address:", "10.152.183.44"] in lines, text


def test_records_from_the_host(webapp: Running) -> None:
    assert webapp.dig("webapp.default.svc.cluster.local") == "10.152.183.44\n"
    assert webapp.dig("-x", "10.152.183.44") == "webapp.default.svc.cluster.local.\n"
    assert webapp.dig("+tcp", "webapp.default.svc.cluster.local") == "10.152.183.44\n"
    assert webapp.dig("SRV", "_https._tcp.kubernetes.default.svc.cluster.local") == (
        "0 100 443 kubernetes.default.svc.cluster.local.\n"
    )
    assert webapp.dig("SRV", "webapp.default.svc.cluster.local") == "0 100 8080 webapp.default.svc.cluster.local.\n"


def test_connections_are_spread_over_ready_pods(webapp: Running) -> None:
    assert set(webapp.names("http://webapp:8080/hostname", 100)) == {"webapp-1", "webapp-2"}
    webapp.kubectl("annotate", "pod", "webapp-1", "kubemu.dev/ready=false")
    webapp.kubectl("wait", "--for=condition=Ready=false", "pod/webapp-1", "--timeout=10s")
    eventually(lambda: "10.1.0.3" not in webapp.kubectl("get", "endpoints", "webapp", "-o", "jsonpath={..addresses}"))
    assert webapp.names("http://webapp:8080/hostname", 30) == {"webapp-2": 30}
    webapp.kubectl("annotate", "pod", "webapp-2", "kubemu.dev/ready=false")
    eventually(lambda: webapp.curl("http://webapp:8080/hostname").status == 7)  # curl: could not connect
    before = time.monotonic()
    assert webapp.curl("http://webapp:8080/hostname").status == 7
    assert time.monotonic() - before < 4, "refused at once, not after curl's --max-time"


def test_node_ports_from_the_host(webapp: Running) -> None:
    webapp.kubectl("patch", "service", "webapp", "-p", '{"spec": {"type": "NodePort"}}')
    port = webapp.kubectl("get", "service", "webapp", "-o", "jsonpath={.spec.ports[0].nodePort}")
    curl = [program("curl"), "-sS", "--max-time", "5", f"http://127.0.0.1:{port}/hostname"]

    def reply() -> tuple[int, str]:
        done = subprocess.run(curl, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    eventually(lambda: reply()[0] == 0)
    assert {reply()[1] for _ in range(40)} == {"webapp-1", "webapp-2"}
    webapp.kubectl("annotate", "pod", "--all", "kubemu.dev/ready=false")
    eventually(lambda: reply()[0] == 7)


def test_variables(webapp: Running) -> None:
    inside = webapp.kubemu.run("env").stdout.splitlines(keepends=True)
    assert "".join(sorted(line for line in inside if line.startswith("WEBAPP_"))) == SEVEN
    echoed = webapp.curl("http://webapp:8080/env").stdout
    assert set(SEVEN.split()) <= set(echoed.split())
    exported = webapp.kubemu.ok("env", "--format", "dotenv").splitlines()
    assert set(SEVEN.split()) <= set(exported)


def test_load_balancer_address_inside(webapp: Running) -> None:
    webapp.kubectl("patch", "service", "webapp", "-p", '{"spec": {"type": "LoadBalancer"}}')
    address = "{.status.loadBalancer.ingress[0].ip}"
    eventually(lambda: webapp.kubectl("get", "service", "webapp", "-o", f"jsonpath={address}"))
    found = webapp.kubectl("get", "service", "webapp", "-o", f"jsonpath={address}")
    assert found == "10.64.140.43"
    eventually(lambda: webapp.curl(f"http://{found}:8080/hostname").status == 0)


def test_what_a_pod_finds_around_it(webapp: Running) -> None:
    resolv = webapp.kubemu.run("cat", "/etc/resolv.conf").stdout
    assert resolv.splitlines() == [
        "search default.svc.cluster.local svc.cluster.local cluster.local",
        "nameserver 10.152.183.10",
        "options ndots:5",
    ]
    assert "host.kubemu.internal" in webapp.kubemu.run("cat", "/etc/hosts").stdout
    assert webapp.kubemu.run("getent", "hosts", "webapp").stdout.split()[0] == "10.152.183.44"
    assert webapp.kubemu.run("sh", "-c", "exit 7").status == 7
    assert webapp.kubemu.run("no-such-program").status == 127
    outside = subprocess.run(["getent", "hosts", "webapp"], capture_output=True, text=True, check=False)
    assert outside.stdout == "", "the host's own resolver is left alone"


def test_the_api_is_reached_from_inside(webapp: Running) -> None:
    assert '"gitVersion": "v1.36' in webapp.curl("-k", "https://kubernetes/version").stdout.replace('":"', '": "')
    ca = webapp.where["caFile"]
    done = webapp.curl("--cacert", ca, "-H", f"Authorization: Bearer {webapp.where['token']}", _PODS)
    assert '"kind":"PodList"' in done.stdout.replace('": "', '":"')


_IN_CLUSTER = """
import json, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
token, namespace = (open(f"{folder}/{name}").read() for name in ("token", "namespace"))
url = f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/pods"
asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
with urllib.request.urlopen(asked, context=ssl.create_default_context(cafile=f"{folder}/ca.crt")) as answer:
    print(sorted(pod["metadata"]["name"] for pod in json.load(answer)["items"]))
"""


def test_programs_inside_find_their_service_account(webapp: Running) -> None:
    for done in (
        webapp.kubemu.run("python3", "-c", _IN_CLUSTER),
        webapp.exec("webapp-1", "python3", "-c", _IN_CLUSTER),
    ):
        assert done.stdout == "['webapp-1', 'webapp-2']\n", done.text
    assert not Path("/var/run/secrets/kubernetes.io").exists(), "nothing of it is on the host"


_PODS = "https://kubernetes.default.svc.cluster.local/api/v1/namespaces/default/pods"


def test_the_host_is_reached_from_inside(webapp: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(30)

        def answer_tcp() -> None:
            with tcp.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nfrom the host")

        def answer_udp() -> None:
            for _ in range(3):
                data, peer = udp.recvfrom(2048)
                udp.sendto(b"echo " + data, peer)

        threads = [threading.Thread(target=answer_tcp), threading.Thread(target=answer_udp)]
        for thread in threads:
            thread.start()
        reply = webapp.curl(f"http://host.kubemu.internal:{tcp.getsockname()[1]}/")
        assert reply.stdout == "from the host", reply.text
        asked = webapp.kubemu.run("python3", "-c", _ASK.format(port=udp.getsockname()[1]))
        assert asked.stdout.split("\n")[:3] == ["echo 0", "echo 1", "echo 2"], asked.text
        for thread in threads:
            thread.join(10)


_ASK = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
for i in range(3):
    s.sendto(str(i).encode(), ("host.kubemu.internal", {port}))
    print(s.recvfrom(100)[0].decode())
"""


def test_a_command_in_a_pod(webapp: Running) -> None:
    asked = webapp.exec("webapp-1", "nslookup", "webapp").stdout
    assert ["Server:", "10.152.183.10"] in [line.split() for line in asked.splitlines()], asked
    assert ["Address:", "10.152.183.44"] in [line.split() for line in asked.splitlines()], asked
    variables = webapp.exec("webapp-1", "env").stdout.splitlines()
    assert set(SEVEN.split()) <= set(variables)
    assert "HOSTNAME=webapp-1" in variables
    assert webapp.exec("webapp-1", "sh", "-c", "cat; exit 3", stdin="piped").stdout == "piped"
    assert webapp.exec("webapp-1", "sh", "-c", "cat; exit 3", stdin="piped").status == 3
    absent = webapp.exec("webapp-1", "no-such-program")
    assert absent.status == 127
    assert 'exec: "no-such-program": executable file not found in $PATH' in absent.stderr
    assert "10.1.0.3\twebapp-1" in webapp.exec("webapp-1", "cat", "/etc/hosts").stdout


def test_the_lookup_of_the_course(webapp: Running) -> None:
    webapp.kubectl("run", "busybox", "--image=busybox", "--command", "--", "sleep", "3600")
    webapp.kubectl("wait", "--for=condition=Ready", "pod/busybox", "--timeout=10s")
    told = [line.split() for line in webapp.exec("busybox", "busybox", "nslookup", "webapp").stdout.splitlines()]
    assert ["Server:", "10.152.183.10"] in told
    assert ["Name:", "webapp.default.svc.cluster.local"] in told
    assert ["Address:", "10.152.183.44"] in told


def test_logs_tell_of_requests(webapp: Running) -> None:
    webapp.curl("http://webapp:8080/hostname?for=the-log")
    told = [webapp.kubectl("logs", pod) for pod in ("webapp-1", "webapp-2")]
    assert sum('"GET /hostname?for=the-log HTTP/1.1" 200' in text for text in told) == 1
    assert len(webapp.kubectl("logs", "webapp-1", "--tail=1", "--timestamps").splitlines()) == 1


def test_the_api_leads_to_services_and_pods(webapp: Running) -> None:
    path = "/api/v1/namespaces/default"
    assert webapp.kubectl("get", "--raw", f"{path}/services/webapp:8080/proxy/hostname") in ("webapp-1", "webapp-2")
    assert webapp.kubectl("get", "--raw", f"{path}/pods/webapp-2:8080/proxy/hostname") == "webapp-2"


def test_names_are_explained(webapp: Running) -> None:
    assert webapp.kubemu.ok("resolve", "webapp") == "webapp.default.svc.cluster.local. 5 IN A 10.152.183.44\n"
    told = webapp.kubemu("resolve", "wepapp", "--explain")
    assert told.status == 1
    assert "there is no Service 'wepapp' in namespace 'default'" in told.stdout


def test_get_prints_what_kubectl_prints(webapp: Running) -> None:
    for what in (["svc", "webapp"], ["svc"], ["pods", "webapp-1"], ["configmaps"]):
        for form in ("yaml", "json", "name"):
            assert webapp.kubemu.ok("get", *what, "-o", form) == webapp.kubectl("get", *what, "-o", form)


def test_every_file_of_configs_works(webapp: Running) -> None:
    webapp.kubemu.ok("apply", "-f", str(CONFIGS))
    webapp.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=10s")
    assert webapp.dig("db-0.db.default.svc.cluster.local") == webapp.dig("db.default.svc.cluster.local") != ""
    assert webapp.dig("search.default.svc.cluster.local") == "search.example.com.\n"
    assert (
        webapp.dig("SRV", "_http._tcp.shop.default.svc.cluster.local") == "0 100 80 shop.default.svc.cluster.local.\n"
    )
    assert webapp.curl("http://shop/hostname").stdout == "shop"
    assert webapp.curl("http://front/hostname").stdout == "front"
    legacy = webapp.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=legacy", "-o", "name")
    assert legacy.startswith("endpointslice.discovery.k8s.io/legacy-")
    again = webapp.kubemu.ok("apply", "-f", str(CONFIGS))
    assert {line.split()[-1] for line in again.splitlines()} == {"unchanged"}
