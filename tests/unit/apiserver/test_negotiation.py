"""Headers clients really send, and what they get."""

from __future__ import annotations

import pytest

from emulator.api.errors import UnsupportedMediaType
from emulator.apiserver.negotiation import (
    PLAIN,
    Form,
    NotAcceptable,
    aggregated_content_type,
    body_type,
    discovery_version,
    form_of,
    patch_type,
)

KUBECTL_GET = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("application/json, */*", PLAIN),
        ("application/vnd.kubernetes.protobuf,application/json", PLAIN),
        (KUBECTL_GET, Form(shape="Table")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Form(shape="Table", version="v1beta1")),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", PLAIN),
        ("application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadata", Form(shape="PartialObjectMetadata")),
        ("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json", PLAIN),
        ("application/yaml", Form(yaml=True)),
        ("application/json;q=0.5,application/yaml;q=0.9", Form(yaml=True)),
        ("application/yaml;q=0,application/json", PLAIN),
    ],
)
def test_the_best_form_both_sides_know(accept: str, form: Form) -> None:
    assert form_of(accept) == form


@pytest.mark.parametrize("accept", ["text/html", "application/vnd.kubernetes.protobuf", "application/json;as=Foo"])
def test_what_cannot_be_written_is_406(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        form_of(accept)
    assert caught.value.status()["code"] == 406


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (
            f"{aggregated_content_type('v2')},{aggregated_content_type('v2beta1')},application/json",
            "v2",
        ),
        ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", "v2beta1"),
        ("application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList,application/json", ""),
        ("application/json", ""),
        ("", ""),
    ],
)
def test_discovery_is_aggregated_only_when_asked(accept: str, version: str) -> None:
    assert discovery_version(accept) == version


def test_body_types() -> None:
    assert body_type("") == "application/json"
    assert body_type("Application/JSON; charset=utf-8") == "application/json"
    assert body_type("application/yaml") == "application/yaml"
    with pytest.raises(UnsupportedMediaType) as caught:
        body_type("text/plain")
    assert caught.value.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


def test_patch_types() -> None:
    assert patch_type("application/strategic-merge-patch+json; charset=utf-8") == "strategic"
    with pytest.raises(UnsupportedMediaType) as caught:
        patch_type("application/json")
    assert caught.value.message.endswith(
        "include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, "
        "application/apply-patch+yaml"
    )
