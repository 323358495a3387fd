"""What auth servers answered lately: nginx' proxy_cache for auth-cache-key. Time comes in as `now`.

Source: ingress-nginx template/nginx.tmpl (proxy_cache_key, proxy_cache_valid); nginx ngx_http_upstream.c for what is kept.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from emulator.ingress.model import ExternalAuth, Request, Route
from emulator.ingress.variables import expand

MAX_ANSWERS = 16_384  # keys_zone=auth_cache:10m holds about five times as many
_MAX_AGE = re.compile(r"(?:^|[\s,])(?:s-maxage|max-age)=(\d+)")


class Answer(NamedTuple):
    """Of an auth server; headers by lower-case name."""

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...] = ()


class AuthCache:
    """Answers by location and key; of too many the one longest unused is forgotten."""

    def __init__(self, max_answers: int = MAX_ANSWERS) -> None:
        self._max_answers = max_answers
        self._answers: OrderedDict[tuple[str, str], tuple[float, Answer]] = OrderedDict()

    def find(self, auth: ExternalAuth, route: Route, request: Request, now: float) -> Answer | None:
        """The answer that still counts; None when the auth server must be asked."""
        if not auth.cache_key:
            return None
        key = _key(auth, route, request)
        until, answer = self._answers.get(key, (0.0, None))
        if answer is None or until <= now:
            self._answers.pop(key, None)
            return None
        self._answers.move_to_end(key)
        return answer

    def keep(self, auth: ExternalAuth, route: Route, request: Request, answer: Answer, now: float) -> None:
        """Remember what may be remembered: not what sets a cookie or forbids it, and only the statuses that are listed."""
        seconds = kept_seconds(auth, answer) if auth.cache_key and auth.method in ("", "GET", "HEAD") else 0.0
        if seconds > 0:
            key = _key(auth, route, request)
            self._answers[key] = (now + seconds, answer)
            self._answers.move_to_end(key)
            if len(self._answers) > self._max_answers:
                self._answers.popitem(last=False)


def kept_seconds(auth: ExternalAuth, answer: Answer) -> float:
    """For how long an answer counts: what the server says goes before auth-cache-duration."""
    control = answer.headers.get("cache-control", "").lower()
    if answer.cookies or any(word in control for word in ("no-cache", "no-store", "private")):
        return 0.0
    age = _MAX_AGE.search(control)
    return float(age[1]) if age is not None else dict(auth.cache_seconds).get(answer.status, 0.0)


def _key(auth: ExternalAuth, route: Route, request: Request) -> tuple[str, str]:
    return f"{route.host}{route.path}", expand(auth.cache_key, request)
