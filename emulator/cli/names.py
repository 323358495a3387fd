"""`kubemu resolve`: walk the search path as a pod would, and say why each answer came."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Mapping
from typing import Any

import click

from emulator.api.errors import EmulatorError
from emulator.api.kinds import ENDPOINT_SLICE, NAMESPACE, SERVICE
from emulator.cli.remote import call_state
from emulator.client.index import Change
from emulator.client.io.http import HttpClient
from emulator.dns import names, wire
from emulator.dns.config import REVERSE_ZONES, DnsConfig
from emulator.dns.explain import explain, summary
from emulator.dns.records import Records
from emulator.dns.walk import Step, walk
from emulator.dns.wire import Message, Record
from emulator.node.resolvconf import pod_resolv_conf

TIMEOUT_SECONDS = 5.0  # a stub resolver's default
NDOTS = 5  # what the kubelet writes


@click.command("resolve")
@click.argument("name")
@click.argument("type", default="A")
@click.option("-n", "--namespace", default="default", metavar="NS", help="Whose search path; default `default`.")
@click.option("--explain", "explained", is_flag=True, help="Say for each step what was asked, what came, and why.")
@click.option("--resolver", type=click.Choice(["glibc", "musl"]), default="glibc", help="Whose rules.")
@click.pass_obj
def resolve_command(obj: Any, name: str, type: str, namespace: str, explained: bool, resolver: Any) -> int:
    """Resolve NAME as a pod of the namespace would; for a URL say which Ingress rule takes it, as `route` does."""
    if "://" in name:
        from emulator.cli.route import explain_url

        return explain_url(obj, name)
    state = obj.folder.state()
    number = type_number(type)
    pod = {"metadata": {"name": "kubemu", "namespace": namespace}, "spec": {}}
    resolv_conf = pod_resolv_conf(pod, "", [state["clusterDNS"]], state["clusterDomain"])

    def ask(qname: bytes, qtype: int) -> Message:
        return ask_server(state["dns"]["host"], state["dns"]["port"], qname, qtype)

    try:
        steps = walk(name, number, ask, search=resolv_conf.searches, ndots=NDOTS, resolver=resolver)
    except ValueError as error:
        raise EmulatorError(f"{name!r} is not a name: {error}") from error
    found = bool(steps) and steps[-1].is_answer
    if explained:
        _print_explained(state, name, steps)
    elif obj.output == "json":
        click.echo(json.dumps([answer_texts(step) for step in steps]))
    elif found:
        for line in answer_texts(steps[-1])["answer"]:
            click.echo(line)
    else:
        last = steps[-1]
        rcode = wire.RCODES.get(last.reply.rcode, str(last.reply.rcode))
        click.echo(
            f"kubemu: {name}: {'no such record (NODATA)' if last.is_nodata else rcode}; "
            f"`kubemu resolve {name} --explain` says why",
            err=True,
        )
    return 0 if found else 1


def type_number(text: str) -> int:
    """The number of a record type. Raises EmulatorError."""
    try:
        return wire.type_number(text)
    except ValueError as error:
        raise EmulatorError(f"{text!r} is not a record type such as A, AAAA, SRV, PTR, CNAME, TXT") from error


def ask_server(host: str, port: int, qname: bytes, qtype: int) -> Message:
    """One question to the cluster's DNS over UDP, over TCP when the reply was cut. Raises EmulatorError."""
    query = wire.query(qname, qtype, id_=secrets.randbelow(65536))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(TIMEOUT_SECONDS)
            udp.connect((host, port))
            udp.send(query)
            reply = wire.parse(udp.recv(65535))
        if not reply.tc:
            return reply
        with socket.create_connection((host, port), TIMEOUT_SECONDS) as tcp:
            tcp.sendall(len(query).to_bytes(2, "big") + query)
            return wire.parse(_exactly(tcp, int.from_bytes(_exactly(tcp, 2), "big")))
    except OSError as error:
        raise EmulatorError(f"DNS at {host}:{port} does not answer ({error}); see `kubemu status`") from error


def _exactly(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = stream.recv(count - len(data))
        if not chunk:
            raise OSError("connection closed")
        data += chunk
    return data


def answer_texts(step: Step) -> dict[str, Any]:
    return {
        "question": names.to_text(step.name),
        "type": wire.type_text(step.type),
        "rcode": wire.RCODES.get(step.reply.rcode, str(step.reply.rcode)),
        "answer": [record_text(record) for record in step.reply.answer],
    }


def record_text(record: Record) -> str:
    """One line of a zone file."""
    return f"{names.to_text(record.name)} {record.ttl} IN {wire.type_text(record.type)} {wire.data_text(record)}"


def _print_explained(state: Mapping[str, Any], name: str, steps: list[Step]) -> None:
    records = call_state(dict(state), read_records)
    config = DnsConfig(zones=(state["clusterDomain"] + ".", *REVERSE_ZONES), pods="insecure", fallthrough=REVERSE_ZONES)
    for number, step in enumerate(steps, 1):
        texts = answer_texts(step)
        outcome = "NODATA" if step.is_nodata else texts["rcode"]
        click.echo(f"{number}. {texts['question']} {texts['type']}: {outcome}")
        for line in texts["answer"]:
            click.echo(f"     {line}")
        click.echo(f"     {explain(step, records, config)}")
    click.echo(summary(name, steps, ndots=NDOTS))


async def read_records(client: HttpClient) -> Records:
    """The DNS index of the cluster as it stands, from the API."""
    records = Records()
    for kind in (NAMESPACE, SERVICE, ENDPOINT_SLICE):
        for object in (await client.list(kind)).items:
            records.apply(Change("ADDED", kind, object, None))
    return records
