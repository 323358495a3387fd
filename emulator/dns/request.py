"""One question on its way through the server, and the empty reply it starts from. No stage decides anything here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from emulator.dns import wire
from emulator.dns.wire import Edns, Message, Question

REFLECTED_OPTIONS = frozenset((3, 9, 10, 11, 12))  # NSID, EXPIRE, COOKIE, TCP-KEEPALIVE, PADDING


@dataclass(slots=True)
class Request:
    message: Message
    name: bytes
    lower: bytes
    type: int
    peer: tuple[str, int]
    now: float
    transport: str
    depth: int = 0
    forwarded: bool = False
    shuffled: bool = False


def reply_to(request: Request) -> Message:
    """A reply to the request, empty so far: RD and CD are copied for QUERY, AD and RA never."""
    asked = request.message
    is_query = asked.opcode == wire.QUERY
    return Message(
        id=asked.id,
        response=True,
        opcode=asked.opcode,
        rd=asked.rd and is_query,
        cd=asked.cd and is_query,
        question=asked.question,
    )


def sized(reply: Message, asked: Message) -> Message:
    """Give the reply its OPT record: the client's size and DO, and the options that are reflected."""
    if asked.edns is None:
        return reply
    if reply.edns is not None:
        options = reply.edns.options
    else:
        options = tuple(option for option in asked.edns.options if option[0] in REFLECTED_OPTIONS)
    reply.edns = Edns(asked.edns.udp_size, 0, asked.edns.do, options)
    return reply


def limit_of(request: Request) -> int:
    if request.transport != "udp":
        return wire.MAX_MESSAGE_BYTES
    return request.message.edns.udp_size if request.message.edns is not None else wire.MIN_UDP_BYTES


def renamed(request: Request, name: bytes, type_: int | None = None) -> Request:
    """The same request for another name."""
    asked = request.type if type_ is None else type_
    message = replace(request.message, question=Question(name, asked))
    return replace(request, message=message, name=name, lower=name.lower(), type=asked)
