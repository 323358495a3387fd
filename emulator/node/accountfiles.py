"""The files of a pod's ServiceAccount, where client libraries look for them. Pure.

Source: plugin/pkg/admission/serviceaccount (DefaultAPITokenMountPath), the projected volume kube-api-access.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607  # what the volume of every pod asks for


def account_files(token: str, ca: str, namespace: str) -> dict[str, str]:
    """Text by path."""
    return {f"{FOLDER}/token": token, f"{FOLDER}/ca.crt": ca, f"{FOLDER}/namespace": namespace}


def wants_account_files(pod: Mapping[str, Any]) -> bool:
    """Whether the pod gets them; it may say no. They stand beside its volumes without being among them."""
    return (pod.get("spec") or {}).get("automountServiceAccountToken") is not False


def token_request(pod: Mapping[str, Any] | None) -> dict[str, Any]:
    """The TokenRequest for a pod's token, bound to it; None: a token of its own."""
    spec: dict[str, Any] = {"expirationSeconds": TOKEN_SECONDS}
    if pod is not None:
        metadata = pod["metadata"]
        reference = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        spec["boundObjectRef"] = reference
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
