"""TLS contexts of the ingress: one for each certificate, chosen by SNI, replaced when a Secret changes; those for backends."""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable
from tempfile import NamedTemporaryFile

from emulator.ingress.certificates import is_for, names_of
from emulator.ingress.model import BackendTls, Certificate

log = logging.getLogger(__name__)

MAX_CONTEXTS = 1024
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


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
    _load_pair(context, certificate, key)
    return context


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    with NamedTemporaryFile("wb", prefix="kubemu-", suffix=".pem") as file:
        file.write(key.rstrip() + b"\n" + certificate)
        file.flush()
        context.load_cert_chain(file.name)


# -- to backends -------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def backend_context(tls: BackendTls, alpn: str) -> ssl.SSLContext:
    """What proxy-ssl annotations ask for. Raises ssl.SSLError for PEM or ciphers that are none.

    Who the certificate is for is looked at afterwards (`shows_its_name`): nginx may check a name that it does not send.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tls.authority:
        context.load_verify_locations(cadata=tls.authority.decode("ascii", "replace"))
        context.set_ciphers(tls.ciphers)
        versions = [VERSIONS[name] for name in tls.protocols]
        context.minimum_version, context.maximum_version = min(versions), max(versions)
    if tls.verified_name:
        context.verify_mode = ssl.CERT_REQUIRED
    if tls.certificate:
        _load_pair(context, tls.certificate, tls.key)
    context.set_alpn_protocols([alpn])
    return context


def shows_its_name(transport: asyncio.BaseTransport, tls: BackendTls) -> bool:
    """Whether the backend's certificate is for the name that is expected; True when none is."""
    if not tls.verified_name:
        return True
    connection: ssl.SSLObject = transport.get_extra_info("ssl_object")
    shown = connection.getpeercert(binary_form=True)
    names = names_of(ssl.DER_cert_to_PEM_cert(shown).encode()) if shown else None
    return names is not None and is_for(names, tls.verified_name)
