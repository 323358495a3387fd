"""TLS contexts of the ingress: one for each certificate, chosen by SNI, replaced when a Secret changes."""

from __future__ import annotations

import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable
from tempfile import NamedTemporaryFile

from emulator.ingress.model import Certificate

log = logging.getLogger(__name__)

MAX_CONTEXTS = 1024


class Contexts:
    """choose: what is shown to a client that asks for this name; None for the default certificate."""

    def __init__(self, certificate: str, key: str, choose: Callable[[str | None], Certificate | None]) -> None:
        self.default = _context(certificate.encode(), key.encode())
        self.default.sni_callback = self._asked
        self._choose = choose
        self._made: OrderedDict[tuple[bytes, bytes], ssl.SSLContext | None] = OrderedDict()

    def _asked(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """What a handshake begins with; connections that stand keep the certificate they were shown."""
        found = self._choose(name)
        context = self._context(found) if found is not None else None
        if context is not None:
            connection.context = context

    def _context(self, certificate: Certificate) -> ssl.SSLContext | None:
        pair = (certificate.certificate, certificate.key)
        if pair not in self._made:
            try:
                self._made[pair] = _context(*pair)
            except (ssl.SSLError, OSError, ValueError) as error:
                log.warning("the certificate of %s cannot be used: %s", certificate.secret, error)
                self._made[pair] = None
            if len(self._made) > MAX_CONTEXTS:
                self._made.popitem(last=False)
        return self._made[pair]


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """OpenSSL reads key pairs from files only; the file is private, and gone when this returns."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    with NamedTemporaryFile("wb", prefix="kubemu-", suffix=".pem") as file:
        file.write(key.rstrip() + b"\n" + certificate)
        file.flush()
        context.load_cert_chain(file.name)
    return context
