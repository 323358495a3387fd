"""The server's TLS context from PEM texts."""

from __future__ import annotations

import ssl
from tempfile import NamedTemporaryFile

from emulator.pki.authority import Credentials


def server_context(credentials: Credentials) -> ssl.SSLContext:
    """Asks clients for a certificate of the cluster's CA and takes them without one too.

    OpenSSL reads key pairs from files only; the file is private, and gone when this returns.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with NamedTemporaryFile("w", prefix="kubemu-", suffix=".pem") as file:
        file.write(credentials.server.key + credentials.server.certificate)
        file.flush()
        context.load_cert_chain(file.name)
    context.load_verify_locations(cadata=credentials.ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context
