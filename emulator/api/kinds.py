"""The one table of served kinds: group, version, plural, scope, verbs, short names.

Everything that depends on what is served (discovery, routes, stores, informers) reads this table.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
NO_COLLECTION_DELETE = ("create", "delete", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """`name` as in the URL; kind, group and version of what is exchanged there, "" meaning the parent's."""

    name: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    kind: str = ""
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One served kind in one version."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    singular_name: str = ""
    storage: Kind | None = None
    """The kind its objects are stored as, where this is only another shape of them; None: as itself."""

    resource: str = field(init=False, repr=False, compare=False)
    """`services` or `endpointslices.discovery.k8s.io`: how errors and the store name what is stored."""

    def __post_init__(self) -> None:
        kind = self.storage or self
        object.__setattr__(self, "resource", f"{kind.plural}.{kind.group}" if kind.group else kind.plural)

    def __hash__(self) -> int:
        return hash((self.group, self.version, self.kind))

    @property
    def stored(self) -> Kind:
        return self.storage or self

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.singular_name or self.kind.lower()

    def subresource(self, name: str) -> Subresource | None:
        return next((sub for sub in self.subresources if sub.name == name), None)


STATUS = Subresource("status")
CONNECT_VERBS, PROXY_VERBS = ("create", "get"), ("create", "delete", "get", "patch", "update")
SCALE = Subresource("scale", kind="Scale", group="autoscaling", version="v1")

NAMESPACE = Kind(
    "",
    "v1",
    "Namespace",
    "namespaces",
    False,
    ("ns",),
    verbs=NO_COLLECTION_DELETE,
    subresources=(Subresource("finalize", ("update",)), STATUS),
)
NODE = Kind(
    "",
    "v1",
    "Node",
    "nodes",
    False,
    ("no",),
    subresources=(Subresource("proxy", PROXY_VERBS, "NodeProxyOptions"), STATUS),
)
EVICTION = Subresource("eviction", ("create",), "Eviction", "policy", "v1")
POD = Kind(
    "",
    "v1",
    "Pod",
    "pods",
    True,
    ("po",),
    ("all",),
    subresources=(
        Subresource("attach", CONNECT_VERBS, "PodAttachOptions"),
        Subresource("binding", ("create",), "Binding"),
        Subresource("ephemeralcontainers"),
        EVICTION,
        Subresource("exec", CONNECT_VERBS, "PodExecOptions"),
        Subresource("log", ("get",)),
        Subresource("portforward", CONNECT_VERBS, "PodPortForwardOptions"),
        Subresource("proxy", PROXY_VERBS, "PodProxyOptions"),
        Subresource("resize"),
        STATUS,
    ),
)
SERVICE = Kind(
    "",
    "v1",
    "Service",
    "services",
    True,
    ("svc",),
    ("all",),
    subresources=(Subresource("proxy", PROXY_VERBS, "ServiceProxyOptions"), STATUS),
)
ENDPOINTS = Kind("", "v1", "Endpoints", "endpoints", True, ("ep",))
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", True, ("cm",))
SECRET = Kind("", "v1", "Secret", "secrets")
TOKEN = Subresource("token", ("create",), "TokenRequest", "authentication.k8s.io", "v1")
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts", True, ("sa",), subresources=(TOKEN,))
EVENT = Kind("", "v1", "Event", "events", True, ("ev",))
REPLICATION_CONTROLLER = Kind(
    "", "v1", "ReplicationController", "replicationcontrollers", True, ("rc",), ("all",), subresources=(SCALE, STATUS)
)
POD_TEMPLATE = Kind("", "v1", "PodTemplate", "podtemplates")
LIMIT_RANGE = Kind("", "v1", "LimitRange", "limitranges", True, ("limits",))
RESOURCE_QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas", True, ("quota",), subresources=(STATUS,))
PERSISTENT_VOLUME = Kind("", "v1", "PersistentVolume", "persistentvolumes", False, ("pv",), subresources=(STATUS,))
PERSISTENT_VOLUME_CLAIM = Kind(
    "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True, ("pvc",), subresources=(STATUS,)
)

APPS = "apps"
DEPLOYMENT = Kind(APPS, "v1", "Deployment", "deployments", True, ("deploy",), ("all",), subresources=(SCALE, STATUS))
REPLICA_SET = Kind(APPS, "v1", "ReplicaSet", "replicasets", True, ("rs",), ("all",), subresources=(SCALE, STATUS))
STATEFUL_SET = Kind(APPS, "v1", "StatefulSet", "statefulsets", True, ("sts",), ("all",), subresources=(SCALE, STATUS))
DAEMON_SET = Kind(APPS, "v1", "DaemonSet", "daemonsets", True, ("ds",), ("all",), subresources=(STATUS,))
CONTROLLER_REVISION = Kind(APPS, "v1", "ControllerRevision", "controllerrevisions")

HORIZONTAL_POD_AUTOSCALER = Kind(
    "autoscaling",
    "v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    True,
    ("hpa",),
    ("all",),
    subresources=(STATUS,),
)
JOB = Kind("batch", "v1", "Job", "jobs", True, (), ("all",), subresources=(STATUS,))
CRON_JOB = Kind("batch", "v1", "CronJob", "cronjobs", True, ("cj",), ("all",), subresources=(STATUS,))

NETWORKING = "networking.k8s.io"
INGRESS = Kind(NETWORKING, "v1", "Ingress", "ingresses", True, ("ing",), subresources=(STATUS,))
INGRESS_CLASS = Kind(NETWORKING, "v1", "IngressClass", "ingressclasses", False)
NETWORK_POLICY = Kind(NETWORKING, "v1", "NetworkPolicy", "networkpolicies", True, ("netpol",))
SERVICE_CIDR = Kind(NETWORKING, "v1", "ServiceCIDR", "servicecidrs", False, subresources=(STATUS,))
IP_ADDRESS = Kind(NETWORKING, "v1", "IPAddress", "ipaddresses", False, ("ip",))

POD_DISRUPTION_BUDGET = Kind(
    "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", True, ("pdb",), subresources=(STATUS,)
)

RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLE = Kind(RBAC, "v1", "ClusterRole", "clusterroles", False)
CLUSTER_ROLE_BINDING = Kind(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", False)
ROLE = Kind(RBAC, "v1", "Role", "roles")
ROLE_BINDING = Kind(RBAC, "v1", "RoleBinding", "rolebindings")

STORAGE_CLASS = Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", False, ("sc",))
PRIORITY_CLASS = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", False, ("pc",))
CUSTOM_RESOURCE_DEFINITION = Kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    False,
    ("crd", "crds"),
    ("api-extensions",),
    subresources=(STATUS,),
)
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")

KINDS: tuple[Kind, ...] = (
    CONFIG_MAP,
    ENDPOINTS,
    EVENT,
    LIMIT_RANGE,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    PERSISTENT_VOLUME,
    POD,
    POD_TEMPLATE,
    REPLICATION_CONTROLLER,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE_ACCOUNT,
    SERVICE,
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    REPLICA_SET,
    STATEFUL_SET,
    HORIZONTAL_POD_AUTOSCALER,
    CRON_JOB,
    JOB,
    INGRESS_CLASS,
    INGRESS,
    IP_ADDRESS,
    NETWORK_POLICY,
    SERVICE_CIDR,
    POD_DISRUPTION_BUDGET,
    CLUSTER_ROLE_BINDING,
    CLUSTER_ROLE,
    ROLE_BINDING,
    ROLE,
    STORAGE_CLASS,
    PRIORITY_CLASS,
    LEASE,
    CUSTOM_RESOURCE_DEFINITION,
    ENDPOINT_SLICE,
)
"""Every stored kind, in discovery's order: what parts list and watch."""

EXTENSIONS = "extensions"
EVENT_V1 = Kind("events.k8s.io", "v1", "Event", "events", True, ("ev",), storage=EVENT)
INGRESS_V1BETA1 = Kind(NETWORKING, "v1beta1", "Ingress", "ingresses", subresources=(STATUS,), storage=INGRESS)
EXTENSIONS_INGRESS = Kind(EXTENSIONS, "v1beta1", "Ingress", "ingresses", subresources=(STATUS,), storage=INGRESS)
DEPLOYMENT_V1BETA1 = Kind(
    EXTENSIONS, "v1beta1", "Deployment", "deployments", subresources=(SCALE, STATUS), storage=DEPLOYMENT
)
DAEMON_SET_V1BETA1 = Kind(EXTENSIONS, "v1beta1", "DaemonSet", "daemonsets", subresources=(STATUS,), storage=DAEMON_SET)

AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
ONLY_CREATE = ("create",)
SELF_SUBJECT_REVIEW = Kind(AUTHENTICATION, "v1", "SelfSubjectReview", "selfsubjectreviews", False, verbs=ONLY_CREATE)
TOKEN_REVIEW = Kind(AUTHENTICATION, "v1", "TokenReview", "tokenreviews", False, verbs=ONLY_CREATE)
LOCAL_SUBJECT_ACCESS_REVIEW = Kind(
    AUTHORIZATION, "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=ONLY_CREATE
)
SELF_SUBJECT_ACCESS_REVIEW = Kind(
    AUTHORIZATION, "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", False, verbs=ONLY_CREATE
)
SELF_SUBJECT_RULES_REVIEW = Kind(
    AUTHORIZATION, "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", False, verbs=ONLY_CREATE
)
SUBJECT_ACCESS_REVIEW = Kind(
    AUTHORIZATION, "v1", "SubjectAccessReview", "subjectaccessreviews", False, verbs=ONLY_CREATE
)
REVIEWS: tuple[Kind, ...] = (
    SELF_SUBJECT_REVIEW,
    TOKEN_REVIEW,
    LOCAL_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_RULES_REVIEW,
    SUBJECT_ACCESS_REVIEW,
)
"""Questions put as objects: answered at once and never stored."""

BINDING = Kind("", "v1", "Binding", "bindings", verbs=ONLY_CREATE)
"""Puts a pod on a node: done at once and never stored."""

COMPONENT_STATUS = Kind("", "v1", "ComponentStatus", "componentstatuses", False, ("cs",), verbs=("get", "list"))
"""How the control plane is: made up at each request and never stored."""

EVICTION_KIND = Kind("policy", "v1", "Eviction", "evictions")
"""What is exchanged at pods/eviction; no resource of its own."""

TOKEN_REQUEST = Kind(AUTHENTICATION, "v1", "TokenRequest", "tokenrequests")
"""What is exchanged at serviceaccounts/token; no resource of its own."""

SCALE_KIND = Kind("autoscaling", "v1", "Scale", "scales")
"""What is exchanged at /scale; no resource of its own."""

AUTOSCALER_V1 = Kind(
    "autoscaling",
    "v1",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    True,
    ("hpa",),
    ("all",),
    subresources=(STATUS,),
    storage=HORIZONTAL_POD_AUTOSCALER,
)

SHAPES: tuple[Kind, ...] = (
    AUTOSCALER_V1,
    EVENT_V1,
    INGRESS_V1BETA1,
    DAEMON_SET_V1BETA1,
    DEPLOYMENT_V1BETA1,
    EXTENSIONS_INGRESS,
)
"""Other shapes of stored kinds. Those of old have no short names and no categories, and the last places in discovery,
so that clients take the modern version unless they name the old one."""

SERVED: tuple[Kind, ...] = (*KINDS, BINDING, COMPONENT_STATUS, *REVIEWS, *SHAPES)
"""Every kind the API serves, in discovery's order."""

_BY_PLURAL = {(kind.group, kind.version, kind.plural): kind for kind in SERVED}
_BY_NAME = {(kind.api_version, kind.kind): kind for kind in SERVED}


def kind_by_plural(group: str, version: str, plural: str) -> Kind | None:
    """The kind served at /apis/group/version/plural (/api/version/plural for group "")."""
    return _BY_PLURAL.get((group, version, plural))


def kind_by_name(api_version: str, kind: str) -> Kind | None:
    """The kind of a manifest with this apiVersion and kind."""
    return _BY_NAME.get((api_version, kind))


def kind_by_word(word: str) -> Kind | None:
    """The kind a user means by `svc`, `service`, `Services` or `endpointslices.discovery.k8s.io`."""
    lowered = word.lower()
    for kind in KINDS:
        if lowered in (kind.plural, kind.singular, kind.kind.lower(), kind.resource, *kind.short_names):
            return kind
    return None
