"""Users and passwords: htpasswd files, and whether the Authorization header proves one of their users.

Formats: apr1 and MD5-crypt, {SHA}, {SSHA}, {PLAIN} here; bcrypt, SHA-crypt and DES where the C library's crypt knows them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from functools import lru_cache

ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MAX_REMEMBERED = 1024  # a bcrypt check takes tens of milliseconds, and clients send the password each time


def parse_htpasswd(text: str) -> dict[str, str]:
    """name -> hash; comments and lines without a colon are left out, the first line of a name counts, as in nginx."""
    users: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, rest = line.strip().partition(":")
        if colon and name and not name.startswith("#"):
            users.setdefault(name, rest.split(":", 1)[0])
    return users


def credentials(header: str) -> tuple[str, str] | None:
    """User and password of an Authorization header; None when it holds none."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None


def proves(users: Mapping[str, str], header: str) -> bool:
    """Whether the header is that of one of the users."""
    sent = credentials(header)
    if sent is None or sent[0] not in users:
        return False
    return matches(sent[1], users[sent[0]])


@lru_cache(maxsize=MAX_REMEMBERED)
def matches(password: str, hashed: str) -> bool:
    """Whether `hashed`, as it stands in the file, is of this password; False for a format nobody here can check."""
    made = _hashed(password.encode(), hashed)
    return made is not None and hmac.compare_digest(made.encode(), hashed.encode())


def can_check(hashed: str) -> bool:
    """Whether a hash of this format can be checked on this machine."""
    return _hashed(b"x", hashed) is not None


def _hashed(password: bytes, hashed: str) -> str | None:
    """The password hashed the way `hashed` was."""
    if hashed.startswith(("$apr1$", "$1$")):
        magic, salt = hashed.split("$")[1:3]
        return md5_crypt(password, salt, f"${magic}$")
    if hashed.startswith("{PLAIN}"):
        return "{PLAIN}" + password.decode()
    if hashed.startswith("{SHA}"):
        return "{SHA}" + base64.b64encode(hashlib.sha1(password).digest()).decode()  # noqa: S324  the format's own
    if hashed.startswith("{SSHA}"):
        try:
            salt_bytes = base64.b64decode(hashed[6:])[20:]
        except binascii.Error:
            return None
        digest = hashlib.sha1(password + salt_bytes).digest()  # noqa: S324  the format's own
        return "{SSHA}" + base64.b64encode(digest + salt_bytes).decode()
    return _crypt(password, hashed)


def _crypt(password: bytes, hashed: str) -> str | None:
    """By the C library; None where it has no crypt or does not know the format."""
    function = _library()
    if function is None or b"\0" in password or not hashed:
        return None
    made = function(password, hashed.encode())
    return None if not made or made.startswith(b"*") else made.decode("ascii", "replace")


@lru_cache(maxsize=1)
def _library() -> Callable[[bytes, bytes], bytes | None] | None:
    import ctypes

    for name in ("libcrypt.so.1", "libcrypt.so.2", None):  # None: the program itself, where libc has it
        try:
            function = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        function.restype = ctypes.c_char_p
        function.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        return function
    return None


def md5_crypt(password: bytes, salt: str, magic: str) -> str:
    """Poul-Henning Kamp's MD5-based crypt, whose Apache form has the magic `$apr1$`."""
    seed = salt[:8].encode()
    inner = _md5(password + seed + password)
    mixed = password + magic.encode() + seed + (inner * (len(password) // 16 + 1))[: len(password)]
    length = len(password)
    while length:
        mixed += b"\0" if length & 1 else password[:1]
        length >>= 1
    digest = _md5(mixed)
    for turn in range(1000):
        first, last = (password, digest) if turn & 1 else (digest, password)
        middle = (seed if turn % 3 else b"") + (password if turn % 7 else b"")
        digest = _md5(first + middle + last)
    order = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))
    text = "".join(_base64(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in order)
    return f"{magic}{salt[:8]}${text}{_base64(digest[11], 2)}"


def _base64(value: int, length: int) -> str:
    return "".join(ALPHABET[value >> 6 * at & 63] for at in range(length))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()  # noqa: S324  the format's own
