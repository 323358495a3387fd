"""ServiceAccount tokens: JSON Web Tokens signed with a key of the cluster's own (ES256). Text in, text out.

Source: RFC 7515 (JWS compact form), RFC 7519 (registered claims), RFC 7518 3.4 (ES256).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

ALGORITHM = "ES256"
_HALF = 32  # bytes of each half of a P-256 signature


class TokenKey:
    """The cluster's key for tokens. Lives as long as the cluster; nobody else can sign with it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The token of these claims."""
        head = {"alg": ALGORITHM, "typ": "JWT"}
        signed = ".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{_encode(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}"

    def verify(self, token: str, *, at_seconds: float) -> dict[str, Any] | None:
        """The claims of a token of ours that is valid at this time (seconds since 1970); None for any other."""
        signed, _, signature = token.rpartition(".")
        try:
            raw = _decode(signature)
            claims = json.loads(_decode(signed.partition(".")[2]))
            pair = encode_dss_signature(int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big"))
            self._key.public_key().verify(pair, signed.encode(), ec.ECDSA(SHA256()))
        except (ValueError, binascii.Error, InvalidSignature):
            return None
        if not isinstance(claims, dict) or not claims.get("nbf", 0) <= at_seconds < claims.get("exp", 0):
            return None
        return claims


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii", "strict") + b"=" * (-len(text) % 4))
