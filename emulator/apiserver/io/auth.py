"""Who sends a request: the holder of the token, of the client certificate, or of a ServiceAccount's token.

On plain http nobody is asked for credentials, because kubectl never sends any there; instead such a request must
name a loopback host and come from no web page, so that a browser cannot be made to send it.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import Any

from aiohttp import web

from emulator.api.errors import Forbidden, Unauthorized
from emulator.apiserver.io.accounts import Accounts
from emulator.apiserver.users import AUTHENTICATED, User
from emulator.pki.authority import ADMIN_GROUP, ADMIN_USER, Credentials

ADMIN = User(ADMIN_USER, groups=(ADMIN_GROUP, AUTHENTICATED))
OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version")


class Authenticator:
    """Says who sends a request, or raises Unauthorized."""

    def __init__(self, credentials: Credentials, accounts: Accounts) -> None:
        self._token = credentials.token.encode()
        self._accounts = accounts

    async def of_token(self, token: str) -> User | None:
        """Whose a bearer token is."""
        if hmac.compare_digest(token.strip().encode(), self._token):
            return ADMIN
        return await self._accounts.user(token.strip())

    async def user(self, request: web.BaseRequest) -> User:
        """The user. Raises Unauthorized, and Forbidden for what only a browser would send over http."""
        header = request.headers.get("Authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer" and token:
            found = await self.of_token(token)
            if found is None:
                raise Unauthorized("Unauthorized")
            return found
        transport = request.transport
        if transport is None or transport.get_extra_info("sslcontext") is None:
            _refuse_browsers(request)
            return ADMIN
        if _is_admin(transport.get_extra_info("peercert")):
            return ADMIN
        raise Unauthorized("Unauthorized")


def is_open(path: str) -> bool:
    """True for what anybody may read: health and version."""
    return any(path == open or path.startswith(f"{open}/") for open in OPEN_PATHS)


def _is_admin(certificate: dict[str, Any] | None) -> bool:
    """The TLS layer has already verified the certificate against the cluster's CA."""
    if not certificate:
        return False
    names = {pair for part in certificate.get("subject", ()) for pair in part}
    return ("organizationName", ADMIN_GROUP) in names


def _refuse_browsers(request: web.BaseRequest) -> None:
    host = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
    if "Origin" in request.headers or not _is_loopback(host.strip("[]")):
        raise Forbidden("plain http is served to local programs only, by the name of localhost or 127.0.0.1")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
