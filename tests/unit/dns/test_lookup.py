"""Host names against a small zone: what is the cluster's, what is not, and what cannot be said yet."""

from __future__ import annotations

from emulator.dns import names, wire
from emulator.dns.lookup import Absent, Addresses, Elsewhere, Outcome, lookup
from emulator.dns.wire import Message, address_record

DOMAIN = "cluster.local"
SEARCH = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")
ZONE = {"webapp.default.svc.cluster.local.": bytes((10, 152, 183, 44)), "empty.default.svc.cluster.local.": b""}


def ask(name: bytes, type_: int) -> Message | str | None:
    text = names.to_text(name)
    if not text.lower().endswith("cluster.local."):
        return None
    if text == "docs.default.svc.cluster.local.":
        return "docs.example.com"
    held = ZONE.get(text)
    if held is None:
        return Message(response=True, rcode=wire.NXDOMAIN)
    answer = [address_record(name, held, 5)] if held and type_ == wire.A else []
    return Message(response=True, answer=answer)


def found(name: str, *, six: bool = False) -> Outcome:
    return lookup(name, ask, search=SEARCH, domain=DOMAIN, six=six)


def test_names_of_the_cluster() -> None:
    for name in ("webapp", "webapp.default", "webapp.default.svc", "webapp.default.svc.cluster.local."):
        assert found(name) == Addresses(("10.152.183.44",))
    assert found("webapp", six=True) == Addresses(())
    assert found("empty") == Addresses(())
    assert found("nosuch.default.svc.cluster.local") == Absent()
    assert found("nosuch.cluster.local.") == Absent()


def test_names_of_others() -> None:
    for name in ("example.com", "nosuch", "webapp.", "a..b", "cluster.locals", "x" * 300):
        assert found(name) == Elsewhere(name)
    assert found("docs") == Elsewhere("docs.example.com")


def test_not_known_yet_is_not_absent() -> None:
    def later(name: bytes, type_: int) -> Message | None:
        return Message(rcode=wire.SERVFAIL) if names.to_text(name).endswith("cluster.local.") else None

    assert lookup("webapp", later, search=SEARCH, domain=DOMAIN) == Absent(failed=True)
