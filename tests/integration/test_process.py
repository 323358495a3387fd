"""Pods that are processes of this host: two on one port behind a Service, crashes, signals, logs, exec, volumes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.cli import Done, Kubemu, alive, children_of, eventually, program

SECONDS = 30.0

CONFIG = """\
apiVersion: kubemu.dev/v1alpha1
kind: ClusterConfig
images:
- match: "example/webapp:*"
  command: [python3, -u, -m, http.server, "8080", --bind, "$(POD_IP)", --directory, ./site]
- match: example/shell
  command: [sh, -c]
- match: example/absent
  command: [no-such-program-anywhere]
- match: example/mounted
  command: [sh, -c, 'cat /app/data/hello; exec sleep 1000']
  mounts: {/app/data: ./site}
- match: "example/any:*"
"""

WEBAPP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: webapp}
spec:
  replicas: 2
  selector: {matchLabels: {app: webapp}}
  template:
    metadata: {labels: {app: webapp}}
    spec:
      containers:
      - name: web
        image: example/webapp:1
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /hello, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: webapp}
spec: {selector: {app: webapp}, ports: [{port: 8080}]}
"""


@dataclass
class Running:
    """A cluster whose pods are processes, and where it is."""

    kubemu: Kubemu
    where: dict[str, Any]

    def call(self, *arguments: str, stdin: str = "") -> Done:
        env = {**self.kubemu.env, "KUBECONFIG": self.where["kubeconfig"]}
        command = [program("kubectl"), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=env, input=stdin, timeout=60, check=False, errors="replace"
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        done = self.call(*arguments, stdin=stdin)
        assert done.status == 0, done.text
        return done.stdout

    def pod(self, name: str, image: str, *arguments: str, **spec: Any) -> None:
        """Make a pod of one container `c`; `container` in `spec` are more of its fields."""
        container = {"name": "c", "image": image, **spec.pop("container", {})}
        if arguments:
            container["args"] = list(arguments)
        self.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container], **spec}}
        )

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def status(self, name: str) -> dict[str, Any]:
        statuses = self.get("pod", name)["status"].get("containerStatuses") or [{}]
        found: dict[str, Any] = statuses[0]
        return found

    def ready(self, *names: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", "--timeout=20s", *(f"pod/{name}" for name in names))

    def events(self, name: str) -> list[str]:
        found = self.get("events", f"--field-selector=involvedObject.name={name}")["items"]
        return [f"{each['type']} {each['reason']} {each['message']}" for each in found]

    def exec(self, name: str, *command: str, stdin: str = "") -> Done:
        return self.call("exec", *(["-i"] if stdin else []), name, "--", *command, stdin=stdin)

    def endpoints(self, service: str) -> set[str]:
        slices = self.get("endpointslices", "-l", f"kubernetes.io/service-name={service}")["items"]
        return {
            endpoint["addresses"][0]
            for each in slices
            for endpoint in each.get("endpoints") or ()
            if endpoint["conditions"].get("ready")
        }

    def inside(self, *command: str) -> Done:
        return self.kubemu.run(*command)


def start(folder: Path, *arguments: str) -> Running:
    (folder / "site").mkdir()
    (folder / "site" / "hello").write_text("hello from the host\n")
    (folder / "kubemu.yaml").write_text(CONFIG)
    (folder / "webapp.yaml").write_text(WEBAPP)
    kubemu = Kubemu(folder)
    return Running(kubemu, kubemu.up(*arguments, "-f", str(folder / "webapp.yaml")))


@pytest.fixture(scope="module", params=["sandbox", "loopback"])
def both(request: pytest.FixtureRequest) -> Iterator[Running]:
    yield from cluster(request.param)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    yield from cluster("sandbox")


def cluster(network: str) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="kmtest-") as folder:
        running = start(Path(folder), "--network", network)
        try:
            yield running
        finally:
            running.kubemu("down")


def host_pid_of(running: Running, address: str) -> int:
    """The process of a cluster that serves http at a pod's address."""
    for pid in descendants(running.where["pid"]):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"http.server" in words and address.encode() in words:
            return pid
    raise AssertionError(f"no process serves {address}")


# -- both modes --------------------------------------------------------------------------------------------------


def test_two_processes_on_one_port_share_the_load(both: Running) -> None:
    pods = both.get("pods", "-l", "app=webapp")["items"]
    assert len({pod["status"]["podIP"] for pod in pods}) == 2
    url = f"http://{both.get('service', 'webapp')['spec']['clusterIP']}:8080/hello"
    names = [pod["metadata"]["name"] for pod in pods]
    before = {name: both.kubectl("logs", name).count("curl-") for name in names}
    script = f"for i in $(seq 20); do {program('curl')} -sS -m 5 {url}?curl-$i; done"
    assert both.inside("sh", "-c", script).stdout == "hello from the host\n" * 20
    asked = [both.kubectl("logs", name).count("curl-") - before[name] for name in names]
    assert sum(asked) == 20
    assert all(asked), asked


def test_a_killed_process_is_restarted_and_out_until_it_serves(both: Running) -> None:
    victim = both.get("pods", "-l", "app=webapp")["items"][0]
    name, address = victim["metadata"]["name"], victim["status"]["podIP"]
    count = both.status(name)["restartCount"]
    os.kill(host_pid_of(both, address), signal.SIGKILL)
    eventually(lambda: both.status(name)["restartCount"] == count + 1, seconds=SECONDS)
    terminated = both.status(name)["lastState"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (137, "Error")
    assert "10." in both.kubectl("logs", name, "--previous") or "127." in both.kubectl("logs", name, "--previous")
    eventually(lambda: address in both.endpoints("webapp"), seconds=SECONDS)
    url = f"http://{both.get('service', 'webapp')['spec']['clusterIP']}:8080/hello"
    script = f"for i in $(seq 10); do {program('curl')} -sS -m 5 {url}; done"
    assert both.inside("sh", "-c", script).stdout == "hello from the host\n" * 10


def test_a_program_that_is_not_there_says_so_and_backs_off(both: Running) -> None:
    both.pod("absent", "example/absent")
    eventually(lambda: both.status("absent").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff")
    status = both.status("absent")
    assert status["ready"] is False
    last = status["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (128, "StartError")
    said = 'exec: "no-such-program-anywhere": executable file not found in $PATH'
    assert said in last["message"]
    assert said in both.kubectl("logs", "absent")
    eventually(lambda: any(said in event for event in both.events("absent")))
    both.kubectl("delete", "pod", "absent", "--now")


def test_a_program_that_exits_at_once_backs_off_ten_seconds(both: Running) -> None:
    both.pod("crash", "example/shell", "echo because; exit 3")
    eventually(lambda: both.status("crash").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff")
    status = both.status("crash")
    assert status["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=c pod=crash_")
    assert (status["lastState"]["terminated"]["exitCode"], status["restartCount"]) == (3, 1)
    assert both.kubectl("logs", "crash") == "because\n"
    eventually(lambda: any(event.startswith("Warning BackOff Back-off restarting") for event in both.events("crash")))
    both.kubectl("delete", "pod", "crash", "--now")


def test_jobs_and_init_containers_end_as_their_processes_do(both: Running) -> None:
    step = {"name": "first", "image": "example/shell", "args": ["echo first > $F/step"]}
    folder = [{"name": "shared", "emptyDir": {}}]
    mount: dict[str, Any] = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    where: dict[str, Any] = {}
    if both.where["network"] == "sandbox":
        where["env"] = [{"name": "F", "value": "/shared"}]
    script = "F=${F:-$KUBEMU_ROOT/shared}; "
    step = {**step, "args": [f"{script}echo first > $F/step"], **mount, **where}
    main = {"name": "c", "image": "example/shell", "args": [f"{script}cat $F/step; exit 4"], **mount, **where}
    spec = {"restartPolicy": "Never", "initContainers": [step], "containers": [main], "volumes": folder}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "fails"}}
    both.apply({**job, "spec": {"backoffLimit": 0, "template": {"spec": spec}}})
    both.kubectl("wait", "--for=condition=Failed", "job/fails", "--timeout=20s")
    pod = both.get("pods", "-l", "job-name=fails")["items"][0]
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert both.kubectl("logs", "job/fails", "-c", "c") == "first\n"
    both.kubectl("delete", "job", "fails")


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(both: Running) -> None:
    both.pod(
        "stubborn",
        "example/shell",
        "trap '' TERM; echo up; while :; do sleep 0.1; done",
        terminationGracePeriodSeconds=1,
    )
    both.ready("stubborn")
    begun = time.monotonic()
    both.kubectl("delete", "pod", "stubborn")
    assert 1.0 <= time.monotonic() - begun < 8.0


def test_sigterm_is_heard_and_the_children_go_too(both: Running) -> None:
    script = "sleep 987654 & trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    both.pod("polite", "example/shell", script)
    both.ready("polite")
    sleepers = sleeping("987654")
    assert sleepers
    begun = time.monotonic()
    both.kubectl("delete", "pod", "polite")
    assert time.monotonic() - begun < 10.0
    assert not any(alive(pid) for pid in sleepers)


def sleeping(seconds: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (entry / "cmdline").read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_endless_output_is_bounded_and_the_cluster_goes_on(both: Running) -> None:
    both.pod("noisy", "example/shell", "exec yes")
    both.ready("noisy")
    time.sleep(1.0)
    begun = time.monotonic()
    text = both.kubectl("logs", "noisy")
    assert 1000 < len(text) <= 1 << 20
    assert set(text.split()) == {"y"}
    assert time.monotonic() - begun < 10.0
    both.kubectl("delete", "pod", "noisy", "--now")


def test_exec_says_what_is_missing_and_carries_exit_codes(both: Running) -> None:
    both.pod("tool", "example/shell", "exec sleep 1000", container={"env": [{"name": "COLOUR", "value": "green"}]})
    both.ready("tool")
    done = both.exec("tool", "no-such-program")
    assert done.status == 127
    assert 'exec: "no-such-program": executable file not found in $PATH' in done.stderr
    assert both.exec("tool", "sh", "-c", "exit 9").status == 9
    assert both.exec("tool", "sh", "-c", "echo $COLOUR").stdout == "green\n"
    assert both.exec("tool", "cat", stdin="through\n").stdout == "through\n"
    seen = both.exec("tool", "sh", "-c", "env | grep ^WEBAPP_ | sort").stdout.splitlines()
    assert len(seen) == 7
    assert seen[-1] == "WEBAPP_SERVICE_PORT=8080"


def test_a_pod_deleted_under_an_open_exec_ends_it(both: Running) -> None:
    both.pod("open", "example/shell", "exec sleep 1000")
    both.ready("open")
    env = {**both.kubemu.env, "KUBECONFIG": both.where["kubeconfig"]}
    command = [program("kubectl"), "exec", "open", "--", "sh", "-c", "echo in; exec sleep 876543"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "in\n"
        both.kubectl("delete", "pod", "open", "--grace-period=1")
        client.wait(timeout=15)
    assert client.returncode != 0
    eventually(lambda: not sleeping("876543"))


def test_run_with_stdin_attaches_and_ends_as_the_process(both: Running) -> None:
    both.call("delete", "pod", "once", "--now")
    arguments = ["run", "once", "-i", "--rm", "--restart=Never", "--image=example/any:1", "--quiet", "--"]
    done = both.call(*arguments, "sh", "-c", "read line; echo got $line; exit 5", stdin="words\n")
    assert "got words" in done.stdout, done.text
    assert done.status == 5, done.text


def test_probes_run_programs_inside(both: Running) -> None:
    probe = {"exec": {"command": ["sh", "-c", "echo looking; exit 1"]}, "periodSeconds": 1, "failureThreshold": 1}
    both.pod("unready", "example/shell", "exec sleep 1000", container={"readinessProbe": probe})
    eventually(lambda: any("Readiness probe failed: looking" in event for event in both.events("unready")))
    assert both.status("unready")["ready"] is False
    probe = {**probe, "exec": {"command": ["false"]}}
    script = "trap 'echo told; exit 0' TERM; while :; do sleep 0.05; done"
    both.pod("unwell", "example/shell", script, container={"livenessProbe": probe})
    eventually(lambda: both.status("unwell").get("restartCount", 0) >= 1, seconds=SECONDS)
    assert "told" in both.kubectl("logs", "unwell", "--previous")
    both.kubectl("delete", "pod", "unready", "unwell", "--now")


# -- sandbox -----------------------------------------------------------------------------------------------------


def test_volumes_are_at_their_paths(sandbox: Running) -> None:
    data = {"greeting": "hello", "colour": "green"}
    sandbox.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {"key": "s3cret"}},
    )
    volumes = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "hidden", "secret": {"secretName": "hidden", "defaultMode": 0o400}},
        {"name": "empty", "emptyDir": {}},
        {"name": "own", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    paths = {"settings": "/etc/webapp/settings", "hidden": "/hidden", "empty": "/data/cache", "own": "/etc/podinfo"}
    mounts = [{"name": name, "mountPath": path} for name, path in paths.items()]
    mounts.append({"name": "settings", "mountPath": "/etc/webapp/colour.txt", "subPath": "colour"})
    message = "echo written > /dev/termination-log; exec sleep 1000"
    sandbox.pod("volumes", "example/shell", message, volumes=volumes, container={"volumeMounts": mounts})
    sandbox.ready("volumes")

    def shown(script: str) -> str:
        done = sandbox.exec("volumes", "sh", "-c", script)
        assert done.status == 0, done.text
        return done.stdout

    assert shown("cat /etc/webapp/settings/greeting /hidden/key") == "hellos3cret"
    assert shown("cat /etc/webapp/colour.txt /etc/podinfo/name") == "greenvolumes"
    assert shown("echo 1 > /data/cache/x && cat /data/cache/x") == "1\n"
    assert sandbox.exec("volumes", "sh", "-c", "echo > /etc/webapp/settings/greeting").status != 0
    assert shown("cat /var/run/secrets/kubernetes.io/serviceaccount/namespace") == "default"
    data["greeting"] = "changed"
    sandbox.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data})
    eventually(lambda: shown("cat /etc/webapp/settings/greeting") == "changed")
    assert not Path("/etc/webapp").exists()


def test_a_volume_whose_object_is_missing_waits_for_it(sandbox: Running) -> None:
    volumes = [{"name": "late", "configMap": {"name": "late"}}]
    mounts = [{"name": "late", "mountPath": "/late"}]
    sandbox.pod("waits", "example/shell", "exec sleep 1000", volumes=volumes, container={"volumeMounts": mounts})
    missing = 'Warning FailedMount MountVolume.SetUp failed for volume "late" : configmap "late" not found'
    eventually(lambda: missing in sandbox.events("waits"))
    assert sandbox.status("waits")["state"] == {"waiting": {"reason": "ContainerCreating"}}
    sandbox.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}, "data": {"a": "b"}})
    sandbox.ready("waits")
    sandbox.kubectl("delete", "pod", "waits", "--now")


def test_names_and_files_of_the_pod(sandbox: Running) -> None:
    sandbox.pod("named", "example/shell", "exec sleep 1000", hostname="cache-1")
    sandbox.ready("named")
    address = sandbox.get("pod", "named")["status"]["podIP"]
    assert sandbox.exec("named", "hostname").stdout == "cache-1\n"
    assert f"{address}\tcache-1\n" in sandbox.exec("named", "cat", "/etc/hosts").stdout
    conf = sandbox.exec("named", "cat", "/etc/resolv.conf").stdout
    assert "nameserver 10.152.183.10\n" in conf
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in conf
    shown = sandbox.exec("named", program("ip"), "-br", "-4", "address").stdout
    assert re.search(rf"^eth0\S* +\S+ +{re.escape(address)}/32", shown, re.MULTILINE), shown


def test_a_pod_reaches_names_services_itself_and_others(sandbox: Running) -> None:
    sandbox.pod("asks", "example/shell", "exec sleep 1000")
    sandbox.ready("asks")
    found = sandbox.exec("asks", program("curl"), "-sS", "-m", "5", "http://webapp:8080/hello")
    assert found.stdout == "hello from the host\n", found.text
    other = sandbox.get("pods", "-l", "app=webapp")["items"][0]
    name, address = other["metadata"]["name"], other["status"]["podIP"]
    found = sandbox.exec("asks", program("curl"), "-sS", "-m", "5", f"http://{address}:8080/hello")
    assert found.stdout == "hello from the host\n", found.text
    found = sandbox.exec(name, program("curl"), "-sS", "-m", "5", "http://webapp:8080/hello")
    assert found.stdout == "hello from the host\n", found.text
    run = sandbox.kubemu("run", "--pod", "asks", "--", program("ip"), "-br", "-4", "address")
    own = sandbox.get("pod", "asks")["status"]["podIP"]
    assert f"{own}/32" in run.stdout, run.text


def test_a_pod_reaches_the_host_and_the_api(sandbox: Running) -> None:
    sandbox.pod("out", "example/shell", "exec sleep 1000")
    sandbox.ready("out")
    curl = f"{program('curl')} -sS -m 5"
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://host.kubemu.internal:{server.server_port}/"
        done = sandbox.exec("out", "sh", "-c", f"{curl} -o /dev/null -w '%{{http_code}}' {url}")
        server.shutdown()
    assert done.stdout == "200", done.text
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    url = "https://kubernetes.default.svc/api/v1/namespaces/default/pods/out"
    script = f'{curl} --cacert {folder}/ca.crt -H "Authorization: Bearer $(cat {folder}/token)" {url}'
    assert json.loads(sandbox.exec("out", "sh", "-c", script).stdout)["metadata"]["name"] == "out"
    sandbox.kubectl("delete", "pod", "out", "--now")


def test_mounts_of_an_image_and_port_forward(sandbox: Running) -> None:
    sandbox.pod("mounted", "example/mounted")
    sandbox.ready("mounted")
    eventually(lambda: sandbox.kubectl("logs", "mounted") == "hello from the host\n")
    name = sandbox.get("pods", "-l", "app=webapp")["items"][0]["metadata"]["name"]
    env = {**sandbox.kubemu.env, "KUBECONFIG": sandbox.where["kubeconfig"]}
    command = [program("kubectl"), "port-forward", f"pod/{name}", ":8080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as client:
        assert client.stdout is not None
        port = re.search(r":(\d+) ->", client.stdout.readline())
        assert port is not None
        url = f"http://127.0.0.1:{port.group(1)}/hello"
        got = subprocess.run([program("curl"), "-sS", "-m", "5", url], capture_output=True, text=True, check=False)
        client.terminate()
    assert got.stdout == "hello from the host\n"


def test_hooks_run_and_a_failed_one_is_told(sandbox: Running) -> None:
    start = {"exec": {"command": ["sh", "-c", "echo begun > /shared/start"]}}
    stop = {"exec": {"command": ["sh", "-c", "sleep 0.3; exit 3"]}}
    volumes = [{"name": "shared", "emptyDir": {}}]
    container = {
        "lifecycle": {"postStart": start, "preStop": stop},
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
    }
    sandbox.pod("hooked", "example/shell", "exec sleep 1000", volumes=volumes, container=container)
    sandbox.ready("hooked")
    eventually(lambda: sandbox.exec("hooked", "cat", "/shared/start").stdout == "begun\n")
    sandbox.kubectl("delete", "pod", "hooked")
    eventually(lambda: "Warning FailedPreStopHook PreStopHook failed" in sandbox.events("hooked"))
    container = {"lifecycle": {"postStart": {"exec": {"command": ["false"]}}}}
    sandbox.pod("refused", "example/shell", "exec sleep 1000", container=container)
    eventually(lambda: "Warning FailedPostStartHook PostStartHook failed" in sandbox.events("refused"))
    eventually(lambda: sandbox.status("refused")["restartCount"] >= 1)
    sandbox.kubectl("delete", "pod", "refused", "--now")


def test_a_job_with_a_sidecar_ends_and_the_sidecar_is_told(sandbox: Running) -> None:
    sidecar = {
        "name": "helper",
        "image": "example/shell",
        "restartPolicy": "Always",
        "args": ["trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.05; done"],
    }
    shared = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    twice = {"name": "twice", "image": "example/shell", "args": ["test -e /shared/x || { touch /shared/x; exit 1; }"]}
    spec = {
        "restartPolicy": "OnFailure",
        "initContainers": [sidecar, {**twice, **shared}],
        "containers": [{"name": "c", "image": "example/shell", "args": ["echo main"]}],
        "volumes": [{"name": "shared", "emptyDir": {}}],
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "aided"}}
    sandbox.apply({**job, "spec": {"template": {"spec": spec}}})
    sandbox.kubectl("wait", "--for=condition=Complete", "job/aided", "--timeout=20s")
    assert sandbox.kubectl("logs", "job/aided", "-c", "c") == "main\n"
    assert sandbox.kubectl("logs", "job/aided", "-c", "helper") == "up\ntold\n"
    pod = sandbox.get("pods", "-l", "job-name=aided")["items"][0]
    assert [each["restartCount"] for each in pod["status"]["initContainerStatuses"]] == [0, 1]
    sandbox.kubectl("delete", "job", "aided")


def test_a_simulated_container_beside_a_process_is_on_its_localhost(sandbox: Running) -> None:
    containers = [
        {"name": "c", "image": "example/shell", "args": ["exec sleep 1000"]},
        {"name": "echo", "image": "simulated", "ports": [{"containerPort": 9000, "hostPort": 9001}]},
    ]
    sandbox.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mixed"}, "spec": {"containers": containers}}
    )
    sandbox.ready("mixed")
    curl = [program("curl"), "-sS", "-m", "5"]
    assert sandbox.exec("mixed", *curl, "http://localhost:9000/hostname").stdout == "mixed"
    status = sandbox.get("pod", "mixed")["status"]
    for url in (f"http://{status['podIP']}:9000/hostname", f"http://{status['hostIP']}:9001/hostname"):
        assert sandbox.inside(*curl, url).stdout == "mixed"
    own = sandbox.call("exec", "mixed", "-c", "echo", "--", program("ip"), "-br", "-4", "address").stdout
    assert f"{status['podIP']}/32" in own
    sandbox.kubectl("delete", "pod", "mixed", "--now")


def test_termination_messages(sandbox: Running) -> None:
    sandbox.pod("last", "example/shell", "echo why > /dev/termination-log; exit 1", restartPolicy="Never")
    container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    sandbox.pod("words", "example/shell", "echo from the log; exit 1", restartPolicy="Never", container=container)
    for name, message in (("last", "why\n"), ("words", "from the log\n")):
        eventually(lambda name=name: "terminated" in sandbox.status(name).get("state", {}))  # type: ignore[misc]
        assert sandbox.status(name)["state"]["terminated"]["message"] == message
        assert sandbox.get("pod", name)["status"]["phase"] == "Failed"


def test_a_port_that_is_taken_is_in_the_log(both: Running) -> None:
    first = both.get("pods", "-l", "app=webapp")["items"][0]
    taken = first["status"]["podIP"]
    script = "exec python3 -m http.server 8080 --bind $A 2>&1"
    if both.where["network"] == "sandbox":  # in a network of its own only its own process can be in the way
        script = f"python3 -m http.server 8080 --bind $A & sleep 0.7; {script}"
        env = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    else:
        env = {"name": "A", "value": taken}
    both.pod("taken", "example/shell", script, container={"env": [env]})
    eventually(
        lambda: both.status("taken").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff",
        seconds=SECONDS,
    )
    assert "Address already in use" in both.kubectl("logs", "taken")
    assert both.endpoints("webapp") >= {taken}
    both.kubectl("delete", "pod", "taken", "--now")


def test_files_are_copied_in_and_out(both: Running, tmp_path: Path) -> None:
    both.pod("files", "example/shell", "exec sleep 1000", restartPolicy="Never")
    both.ready("files")
    (tmp_path / "there").write_text("copied\n")
    target = tempfile.mktemp(prefix="kmtest-copy-")
    try:
        both.kubectl("cp", str(tmp_path / "there"), f"files:{target}")
        both.kubectl("cp", f"files:{target}", str(tmp_path / "back"))
    finally:
        Path(target).unlink(missing_ok=True)
    assert (tmp_path / "back").read_text() == "copied\n"
    both.kubectl("delete", "pod", "files", "--now")


def test_host_network_and_host_ports(sandbox: Running) -> None:
    serve = ["python3 -m http.server 7070 --bind 0.0.0.0 --directory /"]
    sandbox.pod("own-net", "example/shell", *serve, container={"ports": [{"containerPort": 7070, "hostPort": 7171}]})
    sandbox.pod("host-net", "example/shell", "exec python3 -m http.server 7272 --bind 0.0.0.0", hostNetwork=True)
    sandbox.ready("own-net", "host-net")
    node = sandbox.get("pod", "host-net")["status"]["hostIP"]
    assert sandbox.get("pod", "host-net")["status"]["podIP"] == node
    for port in (7171, 7272):
        url = f"http://{node}:{port}/"
        eventually(lambda url=url: sandbox.inside(program("curl"), "-fsS", "-m", "2", url).status == 0)  # type: ignore[misc]
    shown = sandbox.exec("host-net", program("ip"), "-br", "link").stdout
    assert "veth" in shown
    sandbox.kubectl("delete", "pod", "own-net", "host-net", "--now")


# -- own clusters ------------------------------------------------------------------------------------------------


def test_runtime_process_runs_commands_on_a_read_only_root() -> None:
    with tempfile.TemporaryDirectory(prefix="kmtest-") as folder:
        kubemu = Kubemu(Path(folder))
        running = Running(kubemu, kubemu.up("--network", "sandbox", "--runtime", "process"))
        try:
            script = "touch /etc/kubemu-was-here; touch /tmp/mine && ls /tmp; exec sleep 1000"
            running.pod("own", "busybox", container={"command": ["sh", "-c", script]})
            running.ready("own")
            eventually(lambda: "Read-only file system" in running.kubectl("logs", "own"))
            assert running.kubectl("logs", "own").splitlines()[-1] == "mine"
            done = running.call(
                "run", "once", "-i", "--rm", "--restart=Never", "--quiet", "--image=busybox", "--", "echo", "out"
            )
            assert "out" in done.stdout, done.text
        finally:
            kubemu("down")
    assert not Path("/etc/kubemu-was-here").exists()


@pytest.mark.parametrize("network", ["sandbox", "loopback"])
def test_a_killed_cluster_takes_its_processes_along(network: str) -> None:
    with tempfile.TemporaryDirectory(prefix="kmtest-") as folder:
        running = start(Path(folder), "--network", network)
        running.pod(
            "stubborn",
            "example/shell",
            "trap '' TERM INT HUP; (trap '' HUP; sleep 654321) & sleep 654321; sleep 654321",
        )
        running.ready("stubborn")
        eventually(lambda: len(sleeping("654321")) >= 2)
        pids = descendants(running.where["pid"])
        os.kill(running.where["pid"], signal.SIGKILL)
        eventually(lambda: not any(alive(pid) for pid in pids))
        assert not sleeping("654321")
        running.kubemu("down")


def test_the_helper_of_the_sandbox_dies_and_everything_ends() -> None:
    with tempfile.TemporaryDirectory(prefix="kmtest-") as folder:
        running = start(Path(folder), "--network", "sandbox")
        pids = descendants(running.where["pid"])
        helper = next(pid for pid in pids if b"sandbox_helper" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(helper, signal.SIGKILL)
        eventually(lambda: not any(alive(pid) for pid in (*pids, running.where["pid"])), seconds=15.0)
        assert "is not running" in running.kubemu("status").text
        running.kubemu("down")


def test_fifty_pods_share_a_port() -> None:
    with tempfile.TemporaryDirectory(prefix="kmtest-") as folder:
        running = start(Path(folder), "--network", "sandbox", "--wait", "60s")
        try:
            running.kubectl("scale", "deployment/webapp", "--replicas=50")
            running.kubectl("rollout", "status", "deployment/webapp", "--timeout=50s")
            assert len(running.endpoints("webapp")) == 50
            url = "http://webapp:8080/hello"
            script = f"for i in $(seq 20); do {program('curl')} -sS -m 5 {url}; done"
            assert running.inside("sh", "-c", script).stdout == "hello from the host\n" * 20
        finally:
            running.kubemu("down")


def test_down_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="kmtest-") as folder:
        running = start(Path(folder), "--network", "sandbox")
        running.pod("sleeper", "example/shell", "trap '' TERM; sleep 765432; sleep 765432")
        running.ready("sleeper")
        pids = descendants(running.where["pid"])
        assert len(pids) >= 10  # the helper, and of each of three containers its launcher, its init and its command
        before = mounts()
        running.kubemu.ok("down")
        eventually(lambda: not sleeping("765432"))
        assert not any(alive(pid) for pid in pids)
        assert mounts() == before


def descendants(pid: int) -> list[int]:
    found = children_of(pid)
    return found + [each for child in found for each in descendants(child)]


def mounts() -> list[str]:
    return Path("/proc/self/mounts").read_text().splitlines()
