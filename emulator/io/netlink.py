"""The few rtnetlink messages kubemu needs: links, addresses, routes; without the `ip` program.

Imported by the sandbox's helper, so only the plainest standard modules; it never touches a namespace by itself:
it acts in the network namespace of the process that calls it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

LOOPBACK = "lo"

_RTM_NEWLINK, _RTM_DELLINK, _RTM_NEWADDR, _RTM_DELADDR, _RTM_NEWROUTE, _RTM_DELROUTE = 16, 17, 20, 21, 24, 25
_NLMSG_ERROR = 2
_REQUEST, _ACK, _REPLACE, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_IFF_UP = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 4, 5, 7
_TABLE_MAIN, _TABLE_LOCAL, _PROTO_STATIC = 254, 255, 4
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_HOST = 0, 253, 254
_TYPE_UNICAST, _TYPE_LOCAL = 1, 2
_RTNH_F_ONLINK = 4
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 3, 18, 26, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFLA_INET_CONF, _DEVCONF_FORWARDING = 1, 1
_NO_INTERFACE = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
_HEADER = struct.Struct("=IHHII")


class Netlink:
    """One rtnetlink socket. Methods raise OSError with the kernel's errno."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(5.0)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def link_up(self, name: str = LOOPBACK) -> None:
        """Bring a link up."""
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, socket.if_nametoindex(name), _IFF_UP, _IFF_UP)
        self._request(_RTM_NEWLINK, 0, body)

    def add_veth(self, name: str, peer: str, peer_namespace: int) -> None:
        """A pair of linked interfaces: `name` here, `peer` in the network namespace behind a file descriptor."""
        far = _NO_INTERFACE + _attribute(_IFLA_IFNAME, _name(peer))
        far += _attribute(_IFLA_NET_NS_FD, struct.pack("=I", peer_namespace))
        data = _attribute(_VETH_INFO_PEER, far)
        link = _attribute(_IFLA_INFO_KIND, b"veth\0") + _attribute(_IFLA_INFO_DATA, data)
        body = _NO_INTERFACE + _attribute(_IFLA_IFNAME, _name(name)) + _attribute(_IFLA_LINKINFO, link)
        self._request(_RTM_NEWLINK, _CREATE | _EXCLUSIVE, body)

    def delete_link(self, name: str) -> None:
        """Take an interface away, and with it its peer and their routes. Raises OSError when it is not there."""
        index = socket.if_nametoindex(name)
        self._request(_RTM_DELLINK, 0, struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0))

    def forward_from(self, name: str) -> None:
        """Pass packets on that come in by this interface, without the need to write below /proc/sys."""
        conf = _attribute(_IFLA_INET_CONF, _attribute(_DEVCONF_FORWARDING, struct.pack("=I", 1)))
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, socket.if_nametoindex(name), 0, 0)
        self._request(_RTM_NEWLINK, 0, body + _attribute(_IFLA_AF_SPEC, _attribute(socket.AF_INET, conf)))

    def add_host_route(self, address: str, name: str, source: str) -> None:
        """One address is behind an interface. In the table of local routes, whose wider ones it has to beat."""
        body = struct.pack(
            "=BBBBBBBBI", socket.AF_INET, 32, 0, 0, _TABLE_LOCAL, _PROTO_STATIC, _SCOPE_LINK, _TYPE_UNICAST, 0
        )
        body += _attribute(_RTA_DST, socket.inet_pton(socket.AF_INET, address))
        body += _attribute(_RTA_OIF, struct.pack("=i", socket.if_nametoindex(name)))
        body += _attribute(_RTA_PREFSRC, socket.inet_pton(socket.AF_INET, source))
        self._request(_RTM_NEWROUTE, _CREATE | _REPLACE, body)

    def add_default_route(self, gateway: str, name: str) -> None:
        """Everything else goes to `gateway`, which is at the other end of an interface."""
        body = struct.pack(
            "=BBBBBBBBI",
            socket.AF_INET,
            0,
            0,
            0,
            _TABLE_MAIN,
            _PROTO_STATIC,
            _SCOPE_UNIVERSE,
            _TYPE_UNICAST,
            _RTNH_F_ONLINK,
        )
        body += _attribute(_RTA_OIF, struct.pack("=i", socket.if_nametoindex(name)))
        body += _attribute(_RTA_GATEWAY, socket.inet_pton(socket.AF_INET, gateway))
        self._request(_RTM_NEWROUTE, _CREATE | _REPLACE, body)

    def add_address(self, address: str, name: str = LOOPBACK) -> None:
        """Give an interface a /32; one that is there already is fine."""
        self._request(_RTM_NEWADDR, _CREATE | _REPLACE, _address_body(address, name))

    def delete_address(self, address: str) -> None:
        self._request(_RTM_DELADDR, 0, _address_body(address))

    def add_local_route(self, network: str, source: str | None = None) -> None:
        """Make every address of `network` (a.b.c.d/n) local, with `source` as what connections to it come from.

        Raises FileExistsError when the route is there.
        """
        self._request(_RTM_NEWROUTE, _CREATE | _EXCLUSIVE, _route_body(network, source))

    def delete_local_route(self, network: str, source: str | None = None) -> None:
        self._request(_RTM_DELROUTE, 0, _route_body(network, source))

    def _request(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _ACK | flags, self._sequence, 0)
        self._socket.send(header + body)
        while True:
            answer = self._socket.recv(65536)
            _, answer_kind, _, sequence, _ = _HEADER.unpack_from(answer)
            if sequence != self._sequence:
                continue
            if answer_kind != _NLMSG_ERROR:
                raise OSError(errno.EPROTO, "unexpected netlink answer")
            (code,) = struct.unpack_from("=i", answer, _HEADER.size)
            if code:
                raise OSError(-code, os.strerror(-code))
            return


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def _name(name: str) -> bytes:
    return name.encode() + b"\0"


def _address_body(address: str, name: str = LOOPBACK) -> bytes:
    raw = socket.inet_pton(socket.AF_INET, address)
    scope = _SCOPE_HOST if name == LOOPBACK else _SCOPE_UNIVERSE
    body = struct.pack("=BBBBi", socket.AF_INET, 32, 0, scope, socket.if_nametoindex(name))
    return body + _attribute(_IFA_LOCAL, raw) + _attribute(_IFA_ADDRESS, raw)


def _route_body(network: str, source: str | None) -> bytes:
    address, _, prefix = network.partition("/")
    body = struct.pack(
        "=BBBBBBBBI",
        socket.AF_INET,
        int(prefix or 32),
        0,
        0,
        _TABLE_LOCAL,
        _PROTO_STATIC,
        _SCOPE_HOST,
        _TYPE_LOCAL,
        0,
    )
    body += _attribute(_RTA_DST, socket.inet_pton(socket.AF_INET, address))
    body += _attribute(_RTA_OIF, struct.pack("=i", socket.if_nametoindex(LOOPBACK)))
    if source is not None:
        body += _attribute(_RTA_PREFSRC, socket.inet_pton(socket.AF_INET, source))
    return body
