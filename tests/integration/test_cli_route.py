"""`kubemu route` against a running cluster: which rule a URL would take, and why each other lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Kubemu

SHOP = """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  annotations:
    nginx.ingress.kubernetes.io/server-snippet: "return 200;"
spec:
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}
      - {path: /api, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}
"""


@pytest.fixture
def kubemu(tmp_path: Path) -> Iterator[Kubemu]:
    kubemu = Kubemu(tmp_path)
    manifests = tmp_path / "shop.yaml"
    manifests.write_text(SHOP, encoding="utf-8")
    try:
        kubemu.up("-f", str(manifests), "--network", "loopback")
        yield kubemu
    finally:
        kubemu("down")


def test_where_a_url_goes(kubemu: Kubemu) -> None:
    assert kubemu("route", "http://shop.example.com/api/items?n=1").stdout == (
        "+ server shop.example.com: the host is the same\n"
        "- = /api (ingress default/shop, Prefix): /api/items is another path\n"
        "+ /api/ (ingress default/shop, Prefix): the longest path of those that the request's begins with\n"
        "- / (ingress default/shop, Prefix): a longer or exact path wins\n"
        "-> service default/shop:80, as /api/items?n=1, Host: shop.example.com\n"
        "  but service default/shop has no ready endpoint: the client would get 503\n"
        "! default/shop: annotation nginx.ingress.kubernetes.io/server-snippet is ignored: "
        "snippet annotations are disabled, as they are by default\n"
    )
    assert kubemu("resolve", "http://shop.example.com/api/items?n=1").stdout == (
        kubemu("route", "http://shop.example.com/api/items?n=1").stdout
    )
    lost = kubemu("route", "http://shop.example.com/", "-o", "json")
    assert lost.status == 1, "its service does not exist"
    assert json.loads(lost.stdout)["missing"] == "service default/front does not exist"
    elsewhere = kubemu("route", "other.example.com/x", "-H", "X-Canary: always", "-X", "post")
    assert (elsewhere.status, elsewhere.stderr) == (1, "")
    assert "\n-> 404: default backend - 404\n" in elsewhere.stdout


@pytest.mark.parametrize("arguments", [["ftp://x/"], ["http://x:bad/"], ["http:///x"], ["http://x/", "-H", "none"]])
def test_what_is_no_request_is_one_line(kubemu: Kubemu, arguments: list[str]) -> None:
    done = kubemu("route", *arguments)
    assert done.status == 1
    assert "Traceback" not in done.text
    assert len(done.stderr.splitlines()) == 1
    assert " is not a " in done.stderr


COURSE = """
apiVersion: networking.k8s.io/v1beta1
kind: Ingress
metadata: {name: test-ingress}
spec: {backend: {serviceName: testsvc, servicePort: 80}}
---
apiVersion: networking.k8s.io/v1beta1
kind: Ingress
metadata:
  name: test-path
  annotations: {nginx.ingress.kubernetes.io/rewrite-target: /}
spec:
  rules:
  - http:
      paths:
      - {path: /testpath, backend: {serviceName: test, servicePort: 80}}
"""


def test_the_older_shapes(kubemu: Kubemu, tmp_path: Path) -> None:
    """The Ingresses of older courses: a catch-all, and a path that is rewritten."""
    manifests = tmp_path / "course.yaml"
    manifests.write_text(COURSE, encoding="utf-8")
    kubemu.ok("apply", "-f", str(manifests))
    found = {}
    for path in ("/", "/testpath/deep?q=1", "/TestPath"):
        done = kubemu("route", f"http://anything.example.org{path}", "-o", "json")
        answer = json.loads(done.stdout)
        found[path] = (answer["ingress"], answer["backend"], answer["path"])
    assert found == {
        "/": ("default/test-ingress", "default/testsvc:80", "/"),
        "/testpath/deep?q=1": ("default/test-path", "default/test:80", "/?q=1"),
        "/TestPath": ("default/test-path", "default/test:80", "/"),
    }


FOREIGN = """
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: traefik}
spec: {controller: traefik.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: foreign}
spec: {ingressClassName: traefik, defaultBackend: {service: {name: shop, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: lost}
spec: {ingressClassName: inner, defaultBackend: {service: {name: shop, port: {number: 80}}}}
"""


def test_ingresses_that_nobody_serves_are_named(kubemu: Kubemu, tmp_path: Path) -> None:
    manifests = tmp_path / "foreign.yaml"
    manifests.write_text(FOREIGN, encoding="utf-8")
    kubemu.ok("apply", "-f", str(manifests))
    told = kubemu("route", "http://nowhere.example.org/").stdout
    assert (
        '! default/foreign: its class "traefik" is for the controller traefik.io/ingress-controller, '
        "which does not run here\n"
    ) in told
    assert '! default/lost: its class "inner" does not exist; `kubemu get ingressclass` lists those there are\n' in told
    listed = json.loads(kubemu.ok("get", "ingress", "-o", "json"))["items"]
    addresses = {item["metadata"]["name"]: item["status"]["loadBalancer"] for item in listed}
    assert addresses["shop"] == {"ingress": [{"ip": "127.0.0.1"}]}
    assert addresses["foreign"] == addresses["lost"] == {}
