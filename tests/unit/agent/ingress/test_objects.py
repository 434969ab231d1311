"""Objects as the API server sends them: what is not there, and what is null."""

import msgspec

from pipeops.agent.ingress.objects import Ingress, LoadBalanced, Service

SERVICE = b"""{"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "7",
 "labels": {"app.kubernetes.io/name": "traefik", "k8s-app": "x", "other": "y"}, "managedFields": [{"f": {}}]},
 "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "ports": [
  {"name": "web", "port": 80, "targetPort": "http", "nodePort": 30000, "protocol": "TCP"}]},
 "status": {"loadBalancer": {"ingress": [{"hostname": "lb.test"}, {"ip": "1.1.1.1", "ipMode": "VIP"}]}}}"""


def test_a_service() -> None:
    service = msgspec.json.decode(SERVICE, type=Service)
    assert [(port.name, port.port) for port in service.ports] == [("web", 80)]
    assert service.metadata.labels is not None
    assert (service.metadata.labels.name, service.metadata.labels.app) == ("traefik", "x")
    assert service.status is not None
    assert [each.ip or each.hostname for each in service.status.addresses] == ["lb.test", "1.1.1.1"]


def test_what_is_missing_is_empty() -> None:
    bookmark = msgspec.json.decode(b'{"metadata": {"resourceVersion": "9"}}', type=Service)
    assert bookmark.ports == []
    assert LoadBalanced().addresses == []
    empty = msgspec.json.decode(b'{"metadata": {}, "spec": {"rules": null}}', type=Ingress)
    assert empty.spec.rules is None
