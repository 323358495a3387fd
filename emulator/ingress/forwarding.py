"""What is believed of a request that a proxy sent on (use-forwarded-headers): who asked, for which host, and how.

Source: ingress-nginx rootfs/etc/nginx/lua/lua_ingress.lua (rewrite), template/nginx.tmpl; ngx_http_realip_module.c.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, fields
from typing import Any

from emulator.ingress.model import Forwarding, Network, Request
from emulator.ingress.ranges import is_in
from emulator.ingress.variables import http_host


@dataclass(slots=True)
class Believed(Request):
    """client is who asked the first proxy. chain: X-Forwarded-For for backends; the others as the proxies said."""

    chain: str = ""
    seen_host: str = ""
    seen_port: str = ""
    seen_scheme: str = ""


def believed(request: Request, forwarding: Forwarding) -> Believed:
    """The request as the proxies tell it."""
    headers = request.headers
    client = real_client(request.client, headers.get(forwarding.header, ""), forwarding.proxies)
    said = headers.get("x-forwarded-for", "")
    chain = (f"{said}, {request.client}" if said else request.client) if forwarding.adds else client
    plain: dict[str, Any] = {entry.name: getattr(request, entry.name) for entry in fields(Request)}
    return Believed(
        **{**plain, "client": client},
        chain=chain,
        seen_host=headers.get("x-forwarded-host", "").partition(",")[0] or http_host(request),
        seen_port=headers.get("x-forwarded-port") or str(request.port),
        seen_scheme=headers.get("x-forwarded-proto") or request.scheme,
    )


def best_host(request: Request) -> str:
    """The host with its port that backends are told."""
    return request.seen_host if isinstance(request, Believed) else http_host(request)


def real_client(peer: str, said: str, proxies: tuple[Network, ...]) -> str:
    """The last address of the chain that is no proxy; the first one when all are. What is no address ends the chain."""
    client = peer
    for part in reversed(said.split(",")):
        if not is_in(client, proxies):
            break
        try:
            client = str(ipaddress.ip_address(part.strip()))
        except ValueError:
            break
    return client
