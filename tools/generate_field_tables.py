"""Make emulator/api/data/*.json: the fields of every served kind, from a published schema package.

Run at development time: `python tools/generate_field_tables.py [WHEEL]`. Without a wheel it downloads the PyPI package
kubernetes-validate (Apache-2.0). Only structure is taken: names, types, merge keys; no prose. Protobuf numbers are
facts of the wire format and stand in tools/protobuf_numbers.yaml.

Output, one file a group: {"types": {NAME: {"fields": {FIELD: [TYPE, OPTIONS]}, "required": [..], "atomic": true}},
"kinds": {KIND: NAME}}. `atomic` types are owned and replaced as a whole by server-side apply.
TYPE is a scalar, `ref:NAME`, `list:TYPE` or `map:TYPE`; OPTIONS has `merge` (strategic merge key; "" for a set of
scalars), `retain` (retainKeys), `listType`, `listKeys`, `mapType` (where the field overrides its type), `default` (of a
list key) and `number` (protobuf) where they apply.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "emulator" / "api" / "data"
PACKAGE, VERSION = "kubernetes-validate==1.37.0", "v1.36.0"
DEFINITIONS = f"kubernetes_validate/kubernetes-json-schema/{VERSION}-local/_definitions.json"
PREFIXES = ("io.k8s.api.", "io.k8s.apimachinery.pkg.apis.", "io.k8s.apimachinery.pkg.", "io.k8s.")
SCALARS = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intOrString",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "microTime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}
OVERRIDES = {("core.v1.Secret", "data"): "map:bytes", ("core.v1.ConfigMap", "binaryData"): "map:bytes"}
"""Types the package does not tell: base64 texts."""
KEY_DEFAULTS = {
    ("core.v1.ContainerPort", "protocol"): "TCP",
    ("core.v1.ServicePort", "protocol"): "TCP",
    ("core.v1.LocalObjectReference", "name"): "",
}
"""What a list key is when an item leaves it out; the package leaves defaults out."""
SUBRESOURCE_KINDS = {
    "autoscaling": {"Scale": "io.k8s.api.autoscaling.v1.Scale"},
    "policy": {"Eviction": "io.k8s.api.policy.v1.Eviction"},
    "authentication.k8s.io": {"TokenRequest": "io.k8s.api.authentication.v1.TokenRequest"},
}
"""Kinds that only subresources exchange."""
META_KINDS = ("meta.v1.DeleteOptions", "meta.v1.Status")


def main(arguments: list[str]) -> int:
    sys.path.insert(0, str(ROOT))
    from legacy_shapes import legacy_documents

    from emulator.api.kinds import SERVED

    definitions = read_definitions(arguments[0] if arguments else None)
    numbers = yaml.safe_load((ROOT / "tools" / "protobuf_numbers.yaml").read_text())
    by_kind = {
        (entry["group"], entry["version"], entry["kind"]): name
        for name, definition in definitions.items()
        for entry in definition.get("x-kubernetes-group-version-kind", [])
        if len(definition["x-kubernetes-group-version-kind"]) == 1
    }
    OUTPUT.mkdir(exist_ok=True)
    groups: dict[str, dict[str, str]] = {}
    for kind in SERVED:
        full = by_kind.get((kind.group, kind.version, kind.kind))
        if full is not None:  # the others are tools/legacy_shapes.py's
            name = kind.group or "core" if kind.storage is None else f"{kind.group}.{kind.version}"
            groups.setdefault(name, {})[kind.kind] = full
    for group, kinds in SUBRESOURCE_KINDS.items():
        groups[group] |= kinds
    groups["meta"] = {name.rsplit(".", 1)[1]: "io.k8s.apimachinery.pkg.apis." + name for name in META_KINDS}
    documents: dict[str, dict[str, Any]] = {}
    for group, kinds in groups.items():
        types: dict[str, Any] = {}
        for full in kinds.values():
            collect(full, definitions, numbers, types)
        documents[group] = {"kinds": {kind: short(full) for kind, full in sorted(kinds.items())}, "types": types}
    documents |= legacy_documents(documents)
    for group, document in documents.items():
        text = json.dumps(document, separators=(",", ":"), sort_keys=True)
        (OUTPUT / f"{group}.json").write_text(text + "\n")
        print(f"{group}: {len(document['types'])} types, {len(text)} bytes")
    return 0


def read_definitions(wheel: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        if wheel is None:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PACKAGE]
            subprocess.run(command, check=True)
            wheel = str(next(Path(folder).glob("*.whl")))
        with zipfile.ZipFile(wheel) as archive:
            document = json.loads(archive.read(DEFINITIONS))
    found: dict[str, Any] = document.get("$defs") or document["definitions"]
    return found


def short(full: str) -> str:
    for prefix in PREFIXES:
        if full.startswith(prefix):
            return full.removeprefix(prefix)
    return full


def collect(full: str, definitions: dict[str, Any], numbers: dict[str, Any], types: dict[str, Any]) -> None:
    name = short(full)
    if name in types:
        return
    definition = definitions[full]
    entry: dict[str, Any] = {"fields": {}}
    types[name] = entry
    if definition.get("required"):
        entry["required"] = definition["required"]
    if definition.get("x-kubernetes-map-type") == "atomic":
        entry["atomic"] = True
    for field, schema in definition.get("properties", {}).items():
        type_name = OVERRIDES.get((name, field)) or type_of(schema, definitions, numbers, types)
        entry["fields"][field] = [type_name, options_of(schema)]
        if (name, field) in KEY_DEFAULTS:
            entry["fields"][field][1]["default"] = KEY_DEFAULTS[name, field]
    for field, number in (numbers.get(name) or {}).items():
        if field not in entry["fields"]:
            raise SystemExit(f"protobuf_numbers.yaml: {name} has no field {field}")
        entry["fields"][field][1]["number"] = number
    entry["fields"] = {field: [t] if not o else [t, o] for field, (t, o) in sorted(entry["fields"].items())}


def type_of(schema: dict[str, Any], definitions: dict[str, Any], numbers: dict[str, Any], types: dict[str, Any]) -> str:
    reference = schema.get("$ref")
    if reference is None and len(schema.get("allOf", [])) == 1:
        reference = schema["allOf"][0].get("$ref")
    if reference is not None:
        full = reference.rsplit("/", 1)[1]
        if full in SCALARS:
            return SCALARS[full]
        if "properties" not in definitions[full]:
            return "any"
        collect(full, definitions, numbers, types)
        return f"ref:{short(full)}"
    kinds = schema.get("type")
    kind = next((k for k in kinds if k != "null"), None) if isinstance(kinds, list) else kinds
    if kind == "array":
        return f"list:{type_of(schema['items'], definitions, numbers, types)}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"map:{type_of(values, definitions, numbers, types)}" if isinstance(values, dict) else "any"
    if kind == "integer":
        return str(schema.get("format", "int64"))
    if kind == "string":
        return {"byte": "bytes", "date-time": "time"}.get(schema.get("format", ""), "string")
    return {"boolean": "boolean", "number": "number"}.get(str(kind), "any")


def options_of(schema: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    strategies = str(schema.get("x-kubernetes-patch-strategy", "")).split(",")
    if "merge" in strategies:
        options["merge"] = schema.get("x-kubernetes-patch-merge-key", "")
    if "retainKeys" in strategies:
        options["retain"] = True
    if schema.get("x-kubernetes-list-type"):
        options["listType"] = schema["x-kubernetes-list-type"]
    if schema.get("x-kubernetes-list-map-keys"):
        options["listKeys"] = schema["x-kubernetes-list-map-keys"]
    if schema.get("x-kubernetes-map-type"):
        options["mapType"] = schema["x-kubernetes-map-type"]
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
