"""The course's two Ingresses, applied with kubectl as they stand there, served on the host and inside the sandbox."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import kubectl_versions
from tests.support.cli import CONFIGS, Done, Kubemu, eventually, program

DEFAULT_BACKEND = (CONFIGS / "v1beta1" / "ingress-default-backend.yaml").read_text()
DEFAULT_BACKEND_V1 = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: test-ingress
spec:
  defaultBackend:
    service:
      name: testsvc
      port:
        number: 80
"""
TESTPATH = (CONFIGS / "v1beta1" / "ingress-path.yaml").read_text()
TESTPATH_V1 = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: test-ingress
  annotations:
    nginx.ingress.kubernetes.io/rewrite-target: /
spec:
  rules:
  - http:
      paths:
      - path: /testpath
        pathType: Prefix
        backend:
          service:
            name: test
            port:
              number: 80
"""
BACKENDS = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 80, targetPort: 8080}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers: [{{name: web, image: web, ports: [{{containerPort: 8080}}]}}]
"""
CONTROLLER = "ingress-nginx-controller.ingress-nginx"
END = "-- answered --"
CURL = ("-sS", "--max-time", "5", "-w", f"\n%{{http_code}}{END}")


@dataclass
class Course:
    """A cluster in the sandbox with the Services `testsvc` and `test`, and where it is."""

    kubemu: Kubemu
    where: dict[str, Any]

    def kubectl(self, *arguments: str, stdin: str = "", path: str = "") -> Done:
        env = {**self.kubemu.env, "KUBECONFIG": self.where["kubeconfig"]}
        command = [path or program("kubectl"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=env, input=stdin, timeout=60, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, stdin: str = "", path: str = "") -> str:
        done = self.kubectl(*arguments, stdin=stdin, path=path)
        assert done.status == 0, done.text
        return done.stdout

    @property
    def address(self) -> str:
        """What the Ingress says where it is; "" while it does not."""
        return self.ok("get", "ingress", "test-ingress", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")

    def assert_answers(self, expected: dict[str, Answer]) -> None:
        """Path -> what every place gives where the ingress can be asked."""
        outside = [f"{self.where['http']}{path}" for path in expected]
        done = subprocess.run(
            [program("curl"), *CURL, *outside], capture_output=True, text=True, timeout=30, check=False
        )
        assert answers(done.stdout) == list(expected.values()), f"asked on the host: {done}"
        inside = [f"http://{host}{path}" for host in (self.address, CONTROLLER) for path in expected]
        told = self.kubemu.run(program("curl"), *CURL, *inside)
        assert answers(told.stdout) == [*expected.values()] * 2, f"asked in the sandbox: {told.text}"


@dataclass(frozen=True)
class Answer:
    """service: of the pod that answered; target: what it was asked for; both "" when nobody was asked."""

    status: int
    service: str = ""
    target: str = ""


def answers(text: str) -> list[Answer]:
    """What curl printed of several requests."""
    found = []
    for part in text.split(END)[:-1]:
        body, _, status = part.rpartition("\n")
        told = json.loads(body) if status == "200" else {}
        service = told.get("pod", "").partition("-")[0]
        found.append(Answer(int(status), service, told["request"]["target"] if told else ""))
    return found


NOBODY = Answer(404)


@pytest.fixture(scope="module")
def course() -> Iterator[Course]:
    with tempfile.TemporaryDirectory(prefix="kubemu-test-") as folder:
        backends = Path(folder, "backends.yaml")
        backends.write_text("---\n".join(BACKENDS.format(name=name) for name in ("testsvc", "test")))
        kubemu = Kubemu(Path(folder))
        where = kubemu.up("--network", "sandbox", "-f", str(backends))
        try:
            yield Course(kubemu, where)
        finally:
            kubemu("down")


@pytest.fixture(autouse=True)
def without_ingresses(course: Course) -> Iterator[None]:
    yield
    course.ok("delete", "ingress", "--all")


@pytest.mark.parametrize("text", [DEFAULT_BACKEND, DEFAULT_BACKEND_V1], ids=["v1beta1", "v1"])
def test_every_request_goes_to_one_service(course: Course, text: str) -> None:
    assert course.ok("apply", "-f", "-", stdin=text) == "ingress.networking.k8s.io/test-ingress created\n"
    eventually(lambda: course.address)
    paths = ("/", "/any/thing?a=b", "/testpath")
    course.assert_answers({path: Answer(200, "testsvc", path) for path in paths})
    again = course.ok("apply", "-f", "-", stdin=text)
    assert again == "ingress.networking.k8s.io/test-ingress unchanged\n"
    address = course.address
    assert [course.ok("get", "ingress", "--no-headers").split()[place] for place in (0, 2, 3, 4)] == [
        "test-ingress", "*", address, "80",
    ]  # fmt: skip
    told = described(course.ok("describe", "ingress", "test-ingress"))
    assert told["Address"] == address
    assert told["Default backend"].startswith("testsvc:80 (10.1.0.")


@pytest.mark.parametrize("text", [TESTPATH, TESTPATH_V1], ids=["v1beta1", "v1"])
def test_a_path_is_rewritten_to_the_root(course: Course, text: str) -> None:
    assert course.ok("apply", "-f", "-", stdin=text) == "ingress.networking.k8s.io/test-ingress created\n"
    eventually(lambda: course.address)
    course.assert_answers(
        {
            "/testpath": Answer(200, "test", "/"),
            "/testpath/below?a=b": Answer(200, "test", "/?a=b"),
            "/": NOBODY,
            "/other": NOBODY,
        }
    )
    assert course.address in course.ok("get", "ingress", "test-ingress")
    shown = course.ok("describe", "ingress", "test-ingress")
    assert described(shown)["Address"] == course.address
    assert "/testpath   test:80 (10.1.0." in shown
    assert "nginx.ingress.kubernetes.io/rewrite-target: /" in shown


def described(text: str) -> dict[str, str]:
    """The fields of `kubectl describe`."""
    fields = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in fields}


@pytest.mark.parametrize("text", [DEFAULT_BACKEND, TESTPATH], ids=["default-backend", "path"])
def test_every_kubectl_applies_the_older_texts(course: Course, text: str) -> None:
    for version, path in kubectl_versions().items():
        done = course.kubectl("apply", "-f", "-", stdin=text, path=path)
        assert done.stdout == "ingress.networking.k8s.io/test-ingress created\n", (version, done.text)
        assert "networking.k8s.io/v1beta1 Ingress is deprecated" in done.stderr, version
        eventually(lambda: course.address)
        assert course.address in course.ok("get", "ingress", path=path), version
        assert f"Address:          {course.address}" in course.ok("describe", "ingress", path=path), version
        course.ok("delete", "ingress", "test-ingress", path=path)
