"""Nodes and pods as far as they are counted; everything else of an object is skipped while it is decoded."""

import msgspec


class Meta(msgspec.Struct, gc=False, rename="camel"):
    """Identity and version."""

    uid: str = ""
    resource_version: str = ""


class NodeMeta(msgspec.Struct, gc=False, rename="camel"):
    """Identity, version, and labels, which tell the distribution."""

    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None


class Amounts(msgspec.Struct, gc=False, frozen=True, rename={"ephemeral": "ephemeral-storage"}):
    """Quantities of a resource list that are counted."""

    cpu: str = ""
    memory: str = ""
    pods: str = ""
    ephemeral: str = ""


class Condition(msgspec.Struct, gc=False, frozen=True):
    """One condition of a node."""

    type: str = ""
    status: str = ""


class NodeInfo(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """`status.nodeInfo`."""

    kubelet_version: str = ""
    container_runtime_version: str = ""
    os_image: str = ""
    operating_system: str = ""
    architecture: str = ""


class NodeStatus(msgspec.Struct, gc=False, rename="camel"):
    """`status` of a node."""

    capacity: Amounts | None = None
    allocatable: Amounts | None = None
    conditions: list[Condition] | None = None
    node_info: NodeInfo | None = None


class NodeSpec(msgspec.Struct, gc=False):
    """`spec` of a node."""

    provider_id: str = msgspec.field(default="", name="providerID")
    unschedulable: bool = False


class Node(msgspec.Struct, gc=False):
    """A node."""

    metadata: NodeMeta = msgspec.field(default_factory=NodeMeta)
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class Requirements(msgspec.Struct, gc=False):
    """`resources` of a container or pod."""

    requests: Amounts | None = None


class Container(msgspec.Struct, gc=False, rename="camel"):
    """A container; an init container that restarts is a sidecar."""

    resources: Requirements | None = None
    restart_policy: str | None = None


class PodSpec(msgspec.Struct, gc=False, rename="camel"):
    """`spec` of a pod."""

    node_name: str = ""
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: Amounts | None = None
    resources: Requirements | None = None


class PodStatus(msgspec.Struct, gc=False):
    """`status` of a pod."""

    phase: str = ""


class Pod(msgspec.Struct, gc=False):
    """A pod."""

    metadata: Meta = msgspec.field(default_factory=Meta)
    spec: PodSpec | None = None
    status: PodStatus | None = None


class Usage(msgspec.Struct, gc=False):
    """What metrics-server measured on one node."""

    usage: Amounts = Amounts()


class UsageList(msgspec.Struct, gc=False):
    """`NodeMetricsList`; metrics-server knows no pages."""

    items: list[Usage] | None = None
