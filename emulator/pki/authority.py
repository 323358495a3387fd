"""The cluster's CA, the server's and one client's certificate, and the kubeconfig: all as text.

Nothing here writes a file. Keys are ECDSA P-256: made and signed in a fraction of a millisecond, known to every
client. The CA's own key is thrown away as soon as both certificates are signed: nobody can sign more with it.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=365)  # a kubeadm certificate lives a year
BACKDATED = timedelta(minutes=5)  # for clocks that run behind
ADMIN_USER, ADMIN_GROUP = "kubernetes-admin", "system:masters"


INGRESS_NAMES = ("ingress.local", "localhost", "*.localhost", "127.0.0.1")  # of the certificate nobody configured


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, PEM."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who the API server is and who may speak to it. Secret: keep it in memory or in files of mode 0600."""

    ca: str
    server: KeyPair
    client: KeyPair
    ingress: KeyPair
    token: str

    def kubeconfig(self, name: str, server: str, *, namespace: str = "default") -> str:
        return kubeconfig(self, name=name, server=server, namespace=namespace)


def make_credentials(hosts: Iterable[str], *, name: str, token: str, at: datetime) -> Credentials:
    """A new CA and what it signs.

    hosts: DNS names and IP addresses the server certificate must cover; name: the cluster's.
    The client certificate is for user `kubernetes-admin` of `system:masters`.
    """
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kubemu-ca {name}")])
    ca = _sign_ca(ca_name, ca_key, at)
    signer = (ca_name, ca_key)
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    admin = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, ADMIN_GROUP),
        x509.NameAttribute(NameOID.COMMON_NAME, ADMIN_USER),
    ]
    ingress = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Kubernetes Ingress Controller Fake Certificate")])
    return Credentials(
        ca.public_bytes(Encoding.PEM).decode(),
        _signed(signer, server_name, at, ExtendedKeyUsageOID.SERVER_AUTH, [_general_name(host) for host in hosts]),
        _signed(signer, x509.Name(admin), at, ExtendedKeyUsageOID.CLIENT_AUTH, []),
        _signed(signer, ingress, at, ExtendedKeyUsageOID.SERVER_AUTH, [_general_name(host) for host in INGRESS_NAMES]),
        token,
    )


def kubeconfig(credentials: Credentials, *, name: str, server: str, namespace: str = "default") -> str:
    """A kubeconfig with the one context `kubemu-NAME`, everything embedded. JSON, which is YAML.

    server: the URL. kubectl sends no credentials over plain http, so none are written for such a server.
    """
    context = f"kubemu-{name}"
    cluster: dict[str, str] = {"server": server}
    user: dict[str, str] = {}
    if server.startswith("https:"):
        cluster["certificate-authority-data"] = _base64(credentials.ca)
        user["client-certificate-data"] = _base64(credentials.client.certificate)
        user["client-key-data"] = _base64(credentials.client.key)
        user["token"] = credentials.token
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context, "namespace": namespace}}],
        "current-context": context,
        "preferences": {},
    }
    return json.dumps(config, indent=2) + "\n"


def _sign_ca(name: x509.Name, key: ec.EllipticCurvePrivateKey, at: datetime) -> x509.Certificate:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _builder(name, name, key.public_key(), at)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _signed(
    signer: tuple[x509.Name, ec.EllipticCurvePrivateKey],
    subject: x509.Name,
    at: datetime,
    purpose: x509.ObjectIdentifier,
    names: list[x509.GeneralName],
) -> KeyPair:
    issuer, issuer_key = signer
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        _builder(subject, issuer, key.public_key(), at)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(authority, critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    key_text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return KeyPair(certificate.public_bytes(Encoding.PEM).decode(), key_text)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, at: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - BACKDATED)
        .not_valid_after(at + VALID)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
