"""What annotations name: Secrets with passwords or certificates, ConfigMaps with headers. A refusal says how to mend it.

Source: ingress-nginx internal/ingress/annotations (auth, proxyssl, customheaders, authreq).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from emulator.api.meta import JsonObject, ObjectKey
from emulator.ingress.basicauth import parse_htpasswd
from emulator.ingress.model import BackendTls, Header

Lookup = Callable[[ObjectKey], JsonObject | None]

HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
HEADER_VALUE = re.compile(r"""[A-Za-z0-9_ :;.,\\/"'?!(){}\[\]@<>=\-+*#$&`|~^%]+""")
UPSTREAM_NAME = "upstream_balancer"  # what nginx takes for the name of a backend that has none


class Refused(Exception):
    """What is named is not there or not fit: every request of the location is answered with 503."""


def nothing(_: ObjectKey) -> JsonObject | None:
    """For those who hold no objects of a kind."""
    return None


def headers_of(named: str, config_map: Lookup) -> tuple[Header, ...]:
    """The data of a ConfigMap as headers, by name. Raises Refused."""
    namespace, slash, name = named.partition("/")
    if not slash:
        raise Refused(f"configmap {named} is not found: write NAMESPACE/NAME")
    found = config_map(ObjectKey(namespace, name))
    if found is None:
        raise Refused(f"configmap {named} does not exist")
    data: Mapping[str, str] = found.get("data") or {}
    for header in data:
        if not HEADER_NAME.fullmatch(header):
            raise Refused(f'configmap {named}: "{header}" is no name of a header')
    return tuple(sorted(data.items()))


def custom_headers(named: str, config_map: Lookup, allowed: Iterable[str], controller: ObjectKey) -> tuple[Header, ...]:
    """The headers of custom-headers; only those that the controller's ConfigMap allows. Raises Refused."""
    found = headers_of(named, config_map)
    for header, value in found:
        if not HEADER_VALUE.fullmatch(value):
            raise Refused(f"configmap {named}: the value of {header} is empty or holds a character that is not allowed")
    allowed = set(allowed)
    missing = [header for header, _ in found if header not in allowed]
    if missing:
        names = ",".join(sorted(allowed) + missing)
        raise Refused(
            f"configmap {named}: {', '.join(missing)} is not among the allowed headers; "
            f"set global-allowed-response-headers of configmap {controller} to {names}"
        )
    return found


def users_of(named: str, own: str, secret: Lookup, *, is_map: bool) -> tuple[ObjectKey, dict[str, str]]:
    """The secret of basic authentication and its users with their hashes. Raises Refused."""
    key, found = _secret(named, own, secret)
    data = {name: _decoded(text).decode("utf-8", "replace") for name, text in (found.get("data") or {}).items()}
    if is_map:
        return key, {name: text.strip() for name, text in data.items()}
    if "auth" not in data:
        raise Refused(f'secret {key} has no key "auth"')
    return key, parse_htpasswd(data["auth"])


def backend_tls(found: Mapping[str, Any], own: str, secret: Lookup) -> BackendTls:
    """found: the annotations proxy-ssl-*, read. Raises Refused."""
    key, held = _secret(found["proxy-ssl-secret"], own, secret)
    data = held.get("data") or {}
    certificate, private = _decoded(data.get("tls.crt") or ""), _decoded(data.get("tls.key") or "")
    authority = _decoded(data.get("ca.crt") or "")
    if not (certificate and private) and not authority:
        raise Refused(f"secret {key} has neither tls.crt with tls.key nor ca.crt")
    name = found.get("proxy-ssl-name") or UPSTREAM_NAME
    more = {field: found[f"proxy-ssl-{field}"] for field in ("ciphers", "protocols") if f"proxy-ssl-{field}" in found}
    return BackendTls(
        certificate if private else b"",
        private if certificate else b"",
        authority,
        verified_name=name if authority and found.get("proxy-ssl-verify") else "",
        server_name=name if found.get("proxy-ssl-server-name") else "",
        **(more if authority else {}),  # nginx is told of them beside the authority only
    )


def _secret(named: str, own: str, secret: Lookup) -> tuple[ObjectKey, JsonObject]:
    namespace, _, name = named.rpartition("/")
    key = ObjectKey(namespace or own, name)
    if key.namespace != own:
        raise Refused(f"secret {key} is in another namespace, which is not allowed")
    found = secret(key)
    if found is None:
        raise Refused(f"secret {key} does not exist")
    return key, found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return b""
