"""kubectl's tables: the columns of each kind, and one object's cells.

The server makes them, so that every client prints the same. All columns are always filled; those of priority 1
show with `-o wide`. Nothing here looks at another object than the one it prints.
Source: pkg/printers/internalversion/printers.go, k8s.io/apimachinery pkg/util/duration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from emulator.api import kinds
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.apiserver import (
    columns_apps,
    columns_batch,
    columns_core,
    columns_networking,
    columns_pod,
    columns_rbac,
    columns_service,
    columns_storage,
)
from emulator.apiserver.cells import AGE, NAME, Column, age, human_duration
from emulator.registry.conversion.shapes import stored_shape

__all__ = ["Row", "columns", "human_duration", "row"]

Cells = Callable[[JsonObject, datetime], list[Any]]


class Row(NamedTuple):
    """The cells of one object, and the row's conditions (only finished Pods have one)."""

    cells: list[Any]
    conditions: list[JsonObject]


def columns(kind: Kind) -> list[JsonObject]:
    """The columnDefinitions of a kind's Table."""
    definitions, _ = _TABLES.get(kind.resource, _PLAIN)
    return [column.definition() for column in definitions]


def row(kind: Kind, object: JsonObject, *, at: datetime) -> Row:
    """One object's row, the same in every shape of its kind; `at` is the time that ages are counted to."""
    object = stored_shape(kind, object)
    _, cells = _TABLES.get(kind.resource, _PLAIN)
    conditions = columns_pod.conditions(object) if kind.resource == kinds.POD.resource else []
    return Row(cells(object, at), conditions)


def _plain_cells(object: JsonObject, at: datetime) -> list[Any]:
    return [object["metadata"].get("name", ""), age(object, at)]


_PLAIN: tuple[tuple[Column, ...], Cells] = ((NAME, AGE), _plain_cells)


def _created_cells(object: JsonObject, at: datetime) -> list[Any]:
    return [object["metadata"].get("name", ""), object["metadata"].get("creationTimestamp", "")]


_CREATED: tuple[tuple[Column, ...], Cells] = (
    (NAME, Column("Created At", "When it was created.", type="date")),
    _created_cells,
)
"""What upstream prints for kinds it has no columns for."""

_TABLES: Mapping[str, tuple[tuple[Column, ...], Cells]] = {
    kinds.SERVICE.resource: (columns_service.SERVICE, columns_service.service_cells),
    kinds.ENDPOINTS.resource: (columns_service.ENDPOINTS, columns_service.endpoints_cells),
    kinds.ENDPOINT_SLICE.resource: (columns_service.ENDPOINT_SLICE, columns_service.slice_cells),
    kinds.POD.resource: (columns_pod.POD, columns_pod.pod_cells),
    kinds.NODE.resource: (columns_core.NODE, columns_core.node_cells),
    kinds.NAMESPACE.resource: (columns_core.NAMESPACE, columns_core.namespace_cells),
    kinds.EVENT.resource: (columns_core.EVENT, columns_core.event_cells),
    kinds.COMPONENT_STATUS.resource: (columns_core.COMPONENT_STATUS, columns_core.component_status_cells),
    kinds.CONFIG_MAP.resource: (columns_core.CONFIG_MAP, columns_core.config_map_cells),
    kinds.SECRET.resource: (columns_core.SECRET, columns_core.secret_cells),
    kinds.INGRESS.resource: (columns_networking.INGRESS, columns_networking.ingress_cells),
    kinds.INGRESS_CLASS.resource: (columns_networking.INGRESS_CLASS, columns_networking.ingress_class_cells),
    kinds.NETWORK_POLICY.resource: (columns_networking.NETWORK_POLICY, columns_networking.network_policy_cells),
    kinds.SERVICE_CIDR.resource: (columns_networking.SERVICE_CIDR, columns_networking.service_cidr_cells),
    kinds.IP_ADDRESS.resource: (columns_networking.IP_ADDRESS, columns_networking.ip_address_cells),
    kinds.LEASE.resource: (columns_networking.LEASE, columns_networking.lease_cells),
    kinds.ROLE.resource: _CREATED,
    kinds.CLUSTER_ROLE.resource: _CREATED,
    kinds.LIMIT_RANGE.resource: _CREATED,
    kinds.CUSTOM_RESOURCE_DEFINITION.resource: _CREATED,
    kinds.PERSISTENT_VOLUME.resource: (columns_storage.PERSISTENT_VOLUME, columns_storage.persistent_volume_cells),
    kinds.PERSISTENT_VOLUME_CLAIM.resource: (
        columns_storage.PERSISTENT_VOLUME_CLAIM,
        columns_storage.persistent_volume_claim_cells,
    ),
    kinds.STORAGE_CLASS.resource: (columns_storage.STORAGE_CLASS, columns_storage.storage_class_cells),
    kinds.RESOURCE_QUOTA.resource: (columns_storage.RESOURCE_QUOTA, columns_storage.resource_quota_cells),
    kinds.PRIORITY_CLASS.resource: (columns_storage.PRIORITY_CLASS, columns_storage.priority_class_cells),
    kinds.POD_TEMPLATE.resource: (columns_storage.POD_TEMPLATE, columns_storage.pod_template_cells),
    kinds.ROLE_BINDING.resource: (columns_rbac.ROLE_BINDING, columns_rbac.role_binding_cells),
    kinds.CLUSTER_ROLE_BINDING.resource: (columns_rbac.ROLE_BINDING, columns_rbac.role_binding_cells),
    kinds.DEPLOYMENT.resource: (columns_apps.DEPLOYMENT, columns_apps.deployment_cells),
    kinds.REPLICA_SET.resource: (columns_apps.REPLICA_SET, columns_apps.replica_set_cells),
    kinds.REPLICATION_CONTROLLER.resource: (columns_apps.REPLICA_SET, columns_apps.controller_cells),
    kinds.STATEFUL_SET.resource: (columns_apps.STATEFUL_SET, columns_apps.stateful_set_cells),
    kinds.DAEMON_SET.resource: (columns_apps.DAEMON_SET, columns_apps.daemon_set_cells),
    kinds.CONTROLLER_REVISION.resource: (columns_apps.CONTROLLER_REVISION, columns_apps.revision_cells),
    kinds.POD_DISRUPTION_BUDGET.resource: (
        columns_apps.POD_DISRUPTION_BUDGET,
        columns_apps.disruption_budget_cells,
    ),
    kinds.SCALE_KIND.resource: (columns_apps.SCALE, columns_apps.scale_cells),
    kinds.JOB.resource: (columns_batch.JOB, columns_batch.job_cells),
    kinds.CRON_JOB.resource: (columns_batch.CRON_JOB, columns_batch.cron_job_cells),
    kinds.HORIZONTAL_POD_AUTOSCALER.resource: (columns_batch.AUTOSCALER, columns_batch.autoscaler_cells),
}
