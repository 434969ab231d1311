"""The set of controllers that a simulated cluster runs."""

from collections.abc import Callable

from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.controllers.collector import Collector
from pipeops.sim.controllers.context import Context
from pipeops.sim.controllers.definitions import DefinitionController
from pipeops.sim.controllers.deployments import DeploymentController
from pipeops.sim.controllers.endpoints import EndpointsController
from pipeops.sim.controllers.jobs import JobController
from pipeops.sim.controllers.kubelet import START_SECONDS, Kubelets
from pipeops.sim.controllers.loop import Controllers
from pipeops.sim.controllers.namespaces import NamespaceController
from pipeops.sim.controllers.replicas import REPLICATION_CONTROLLERS, ReplicaSetController
from pipeops.sim.controllers.scheduler import Scheduler
from pipeops.sim.controllers.sets import DaemonSetController, StatefulSetController


def all_controllers(
    cluster: SimulatedCluster,
    on_error: Callable[[Exception], None],
    *,
    authority: str = "",
    start_seconds: float = START_SECONDS,
) -> Controllers:
    """Every controller over one cluster, with what is stored already in its queue.

    `authority` is the PEM text of kube-root-ca.crt; `on_error` hears of unexpected exceptions.
    """
    context = Context(
        cluster.store, cluster.registry, cluster.clock, cluster.writer, cluster.deleter
    )
    return Controllers(
        context,
        {
            "namespaces": NamespaceController(context, authority),
            "definitions": DefinitionController(context),
            "deployments": DeploymentController(context),
            "replicasets": ReplicaSetController(context),
            "replicationcontrollers": ReplicaSetController(context, REPLICATION_CONTROLLERS),
            "statefulsets": StatefulSetController(context),
            "daemonsets": DaemonSetController(context),
            "jobs": JobController(context),
            "scheduler": Scheduler(context),
            "kubelets": Kubelets(context, start_seconds=start_seconds),
            "endpoints": EndpointsController(context),
            "collector": Collector(context),
        },
        on_error,
    )
