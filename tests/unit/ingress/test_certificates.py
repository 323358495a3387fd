"""Which certificate is shown for a server name, and when the default one stands in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from emulator.api.meta import JsonObject
from emulator.ingress.certificates import names_of
from emulator.ingress.model import Redirect
from emulator.pki.authority import make_credentials
from tests.unit.ingress.world import decide, ingress, messages, router, rule, secret

HOST = "web.example.com"
PAIR = make_credentials([HOST, "*.wild.example.com"], name="t", token="t", at=datetime(2026, 1, 1, tzinfo=UTC)).server


def pair(name: str = "cert") -> JsonObject:
    return secret(name, tls_crt=PAIR.certificate, tls_key=PAIR.key)


def with_tls(*entries: JsonObject, host: str = HOST, name: str = "web", age: int = 0) -> JsonObject:
    return ingress(rule(host=host), name=name, age=age, spec={"tls": list(entries)})


def test_the_names_of_a_certificate() -> None:
    assert names_of(PAIR.certificate.encode()) == frozenset(("kube-apiserver", HOST, "*.wild.example.com"))
    assert names_of(b"no certificate") is None


LISTED = {"hosts": [HOST], "secretName": "cert"}
FOUND = [
    (LISTED, HOST, HOST),
    (LISTED, HOST, "WEB.example.com"),
    ({"hosts": ["Web.Example.com"], "secretName": "cert"}, HOST, HOST),
    ({"secretName": "cert"}, HOST, HOST),
    ({"hosts": ["elsewhere.org"], "secretName": "cert"}, HOST, HOST),
    ({"hosts": ["*.wild.example.com"], "secretName": "cert"}, "*.wild.example.com", "a.wild.example.com"),
    ({"secretName": "cert"}, "a.wild.example.com", "a.wild.example.com"),
]


@pytest.mark.parametrize(("entry", "host", "asked"), FOUND)
def test_which_is_shown(entry: JsonObject, host: str, asked: str) -> None:
    made = router(with_tls(entry, host=host), secrets=(pair(),))
    shown = made.certificate(asked)
    assert shown is not None
    assert (shown.certificate.decode(), shown.key.decode()) == (PAIR.certificate, PAIR.key)
    assert messages(made) == []
    assert made.certificate("nobody.example.org") is None
    assert made.certificate(None) is None


MISSING = [
    ({"hosts": [HOST], "secretName": "gone"}, HOST, "secret shop/gone does not exist"),
    ({"hosts": [HOST], "secretName": "half"}, HOST, "secret shop/half has no tls.crt and tls.key"),
    ({"hosts": [HOST], "secretName": "bad"}, HOST, "secret shop/bad does not contain a valid certificate"),
    (
        {"hosts": ["other.example.com"], "secretName": "cert"},
        "other.example.com",
        "the certificate of secret shop/cert is not for other.example.com",
    ),
]


@pytest.mark.parametrize(("entry", "host", "why"), MISSING)
def test_when_the_default_stands_in(entry: JsonObject, host: str, why: str) -> None:
    secrets = (pair(), secret("half", tls_crt=PAIR.certificate), secret("bad", tls_crt="x", tls_key="y"))
    made = router(with_tls(entry, host=host), secrets=secrets)
    assert made.certificate(host) is None
    assert messages(made) == [("MissingSecret", f"TLS of {host}: {why}; the default certificate is shown")]
    assert isinstance(decide(made, host=host), Redirect), "https is served all the same"


def test_no_secret_name_is_the_default_certificate_by_wish() -> None:
    made = router(with_tls({"hosts": [HOST]}))
    assert made.certificate(HOST) is None
    assert messages(made) == []
    assert isinstance(decide(made), Redirect)


def test_the_oldest_keeps_the_certificate() -> None:
    made = router(
        with_tls({"hosts": [HOST], "secretName": "cert"}, name="old"),
        with_tls({"hosts": [HOST], "secretName": "gone"}, name="young", age=1),
        secrets=(pair(),),
    )
    shown = made.certificate(HOST)
    assert shown is not None
    assert shown.ingress.name == "old"


def test_rules_without_a_host_have_the_default_certificate_and_no_redirect() -> None:
    made = router(ingress(rule(), spec={"tls": [{"secretName": "cert"}]}), secrets=(pair(),))
    assert made.certificate("any.example.org") is None
    assert not isinstance(decide(made, host="any.example.org"), Redirect)
