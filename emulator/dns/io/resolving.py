"""Resolving as a pod does: the search path walked against this very server, the answer's data as `dig +short` has it."""

from __future__ import annotations

from emulator.api.errors import EmulatorError
from emulator.dns import wire
from emulator.dns.io.server import DnsServer


class NoSuchName(EmulatorError):
    """There is no such record. `rcode` is NXDOMAIN, NODATA or SERVFAIL; the text says what was asked and why."""

    def __init__(self, message: str, rcode: str) -> None:
        super().__init__(message)
        self.rcode = rcode


async def resolve(server: DnsServer, name: str, type: str, *, namespace: str, domain: str) -> list[str]:
    """The data of the first answer on the search path of a pod of `namespace`. Raises NoSuchName, EmulatorError."""
    try:
        number = wire.type_number(type)
    except ValueError as error:
        raise EmulatorError(f"{type!r} is not a record type such as A, AAAA, SRV, PTR, CNAME, TXT") from error
    search = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)
    try:
        steps = await server.walk(name, number, search=search)
    except ValueError as error:
        raise EmulatorError(f"{name!r} is not a name: {error}") from error
    last = steps[-1]
    if last.is_answer:
        return [wire.data_text(record) for record in last.reply.answer if record.type == number]
    first = steps[0]
    rcode = "NODATA" if any(step.is_nodata for step in steps) else wire.RCODES.get(first.reply.rcode, "")
    raise NoSuchName(f"{name} {type}: {rcode}; {server.explain(first)}", rcode)
