"""Print rows as kubectl does, and server-printed Tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
import yaml

from emulator.api.meta import JsonObject


def print_rows(head: Sequence[str], rows: Sequence[Sequence[str]], *, headers: bool = True) -> None:
    """Columns padded to their widest cell and three blanks between them; trailing blanks cut."""
    shown = [list(head), *[list(row) for row in rows]] if headers else [list(row) for row in rows]
    if not shown:
        return
    widths = [max(len(row[column]) for row in shown) for column in range(len(head))]
    for row in shown:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_table(table: JsonObject, *, wide: bool, namespaces: bool) -> None:
    """A metav1.Table; `namespaces` adds the NAMESPACE column, `wide` the columns of priority 1."""
    columns = [n for n, c in enumerate(table["columnDefinitions"]) if wide or not c.get("priority")]
    head = [table["columnDefinitions"][n]["name"].upper() for n in columns]
    rows: list[list[str]] = []
    for row in table.get("rows") or []:
        cells = [_cell(row["cells"][n]) for n in columns]
        if namespaces:
            cells.insert(0, row["object"]["metadata"].get("namespace", ""))
        rows.append(cells)
    print_rows(["NAMESPACE", *head] if namespaces else head, rows)


def print_objects(objects: list[JsonObject], output: str, *, single: bool) -> None:
    """As yaml or json, keys in order and managedFields left out, as kubectl does; several as a List."""
    bare = [_without_managers(object) for object in objects]
    items = {"apiVersion": "v1", "kind": "List", "items": bare, "metadata": {"resourceVersion": ""}}
    shown: Any = bare[0] if single else items
    if output == "json":
        click.echo(json.dumps(shown, indent=4, sort_keys=True))
    else:
        click.echo(yaml.dump(shown, Dumper=_Dumper), nl=False)


class _Dumper(yaml.SafeDumper):
    """Quotes and blocks as Go's YAML library writes them, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    resolve: Any = dumper.resolve
    if "\n" in text:
        style = "|"
    elif not text or resolve(yaml.ScalarNode, text, (True, False)) != TEXT_TAG:  # plain it would be no text
        style = '"'
    return dumper.represent_scalar(TEXT_TAG, text, style=style)


TEXT_TAG = "tag:yaml.org,2002:str"
_Dumper.add_representer(str, _text)


def _without_managers(object: JsonObject) -> JsonObject:
    return {**object, "metadata": {k: v for k, v in object["metadata"].items() if k != "managedFields"}}


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
