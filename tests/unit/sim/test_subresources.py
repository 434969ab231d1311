from tests.unit.sim.conftest import World, pod

PODS = "/api/v1/namespaces/default/pods"


async def test_a_binding_places_a_pod_once(world: World) -> None:
    world.put(pod("p", schedulerName="nobody"))
    target = {"target": {"kind": "Node", "name": "sim-worker-1"}}
    bound = await world("POST", f"{PODS}/p/binding", target)
    assert (bound.status, bound.body["status"]) == (201, "Success")
    placed = world.get("", "pods", "default", "p")
    assert placed is not None
    assert placed["spec"]["nodeName"] == "sim-worker-1"
    assert (await world("POST", f"{PODS}/p/binding", target)).status == 409
    assert (await world("POST", f"{PODS}/none/binding", target)).status == 404


async def test_an_eviction_deletes_the_pod(world: World) -> None:
    world.put(pod("p", schedulerName="nobody"))
    evicted = await world("POST", f"{PODS}/p/eviction", {"kind": "Eviction"})
    assert evicted.status == 201
    assert world.get("", "pods", "default", "p") is None


async def test_finalizing_a_namespace_sets_its_finalizers(world: World) -> None:
    world.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    body = {"kind": "Namespace", "apiVersion": "v1", "spec": {"finalizers": ["x/y"]}}
    answer = await world("PUT", "/api/v1/namespaces/n/finalize", body)
    assert answer.status == 200
    assert answer.body["spec"]["finalizers"] == ["x/y"]


async def test_a_token_request_gives_a_token_that_works(world: World) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    issued = await world("POST", path, {"spec": {}})
    token = issued.body["status"]["token"]
    who = await world("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)
    assert who.body["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
