"""Certificates and kubeconfig."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from emulator.pki.authority import Credentials, kubeconfig, make_credentials

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials(["127.0.0.1", "localhost", "10.152.183.1"], name="x", token="secret", at=AT)


def test_the_server_certificate_verifies_under_each_of_its_names(credentials: Credentials) -> None:
    ca = x509.load_pem_x509_certificate(credentials.ca.encode())
    leaf = x509.load_pem_x509_certificate(credentials.server.certificate.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "10.152.183.1"]
    verifier = PolicyBuilder().store(Store([ca])).time(AT).build_server_verifier(x509.DNSName("localhost"))
    assert verifier.verify(leaf, [])[-1] == ca


def test_the_client_certificate_is_an_administrators(credentials: Credentials) -> None:
    leaf = x509.load_pem_x509_certificate(credentials.client.certificate.encode())
    (organization,) = leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert organization.value == "system:masters"
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    key = load_pem_private_key(credentials.client.key.encode(), None)
    assert key.public_key() == leaf.public_key()


def test_it_is_valid_now_and_for_a_year(credentials: Credentials) -> None:
    leaf = x509.load_pem_x509_certificate(credentials.server.certificate.encode())
    assert leaf.not_valid_before_utc < AT
    assert leaf.not_valid_after_utc >= AT + timedelta(days=365)


def test_each_cluster_has_a_ca_of_its_own(credentials: Credentials) -> None:
    assert make_credentials([], name="x", token="secret", at=AT).ca != credentials.ca


def test_the_kubeconfig_carries_everything(credentials: Credentials) -> None:
    config = json.loads(credentials.kubeconfig("shop", "https://127.0.0.1:1234", namespace="a"))
    assert config["current-context"] == "kubemu-shop"
    assert config["contexts"][0]["context"] == {"cluster": "kubemu-shop", "user": "kubemu-shop", "namespace": "a"}
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    assert base64.b64decode(cluster["certificate-authority-data"]).decode() == credentials.ca
    assert base64.b64decode(user["client-key-data"]).decode() == credentials.client.key
    assert user["token"] == "secret"


def test_no_secret_is_written_for_plain_http(credentials: Credentials) -> None:
    config = json.loads(kubeconfig(credentials, name="shop", server="http://127.0.0.1:1234"))
    assert config["users"][0]["user"] == {}
