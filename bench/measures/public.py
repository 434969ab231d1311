"""Small GETs of a public host: gateway with TLS and tunnel beside nginx with TLS, and direct mode beside the tunnel."""

import json
import statistics

from bench import nginx
from bench.load import Small, wrk
from bench.measures.plan import Plan, median_ratio
from bench.processes import fetch
from bench.report import LESS, MORE, Budget, Result
from bench.topology import STATIC, Target, Topology

CONNECTIONS = (1, 32, 256)
RPS = Budget(MORE, 0.5, 0.8)
TUNNELLED, DIRECT = "tunnel.bench.example.com", "direct.bench.example.com"
PATH = (
    "client ═TLS═ public gateway ═TLS tunnel, 2 lanes═ agent ─ Service; ng1: client ═TLS═ nginx ─ backend;"
    " direct: client ═TLS═ public gateway ─ load balancer"
)
P50 = Budget(LESS, 2.5, 1.5)


def public_gateway(topology: Topology, plan: Plan) -> list[Result]:
    """Public hosts: req/s and p50 through gateway and tunnel, × nginx; direct mode × tunnel."""
    targets = {**_start(topology), "ng1": (topology.ng1(tls=True), ())}
    measured: dict[tuple[str, int], list[Small]] = {}
    for target, more in targets.values():
        wrk(target, nginx.SMALL, connections=8, seconds=1, more=more)
    for _ in range(plan.rounds):
        for connections in CONNECTIONS:
            for name, (target, more) in targets.items():
                run = wrk(
                    target, nginx.SMALL, connections=connections, seconds=plan.seconds, more=more
                )
                measured.setdefault((name, connections), []).append(run)
        topology.processes.trim_logs()
    results = [_beside_nginx(measured, connections, plan) for connections in CONNECTIONS]
    return [*results, _beside_tunnel(measured, plan)]


def _start(topology: Topology) -> dict[str, tuple[Target, tuple[str, ...]]]:
    """A control plane with the public gateway, an agent, and a route of each mode."""
    https, options = topology.public_options()
    plane = topology.start_control(tls=True, label="control-public", options=options)
    port = topology.service_port
    nginx.add_service(topology.processes, "apps", "web", port)
    more = ("--services-allow", f"apps/web:{port}")
    topology.start_agent(plane, STATIC, program=("bench.loopback_agent",), more=more)
    token = topology.agent_token(plane, STATIC)
    for host, mode in ((TUNNELLED, {}), (DIRECT, {"routing_mode": "direct", "public_endpoint": f"127.0.0.1:{port}"})):  # fmt: skip
        body = {
            "hostname": host, "cluster_uuid": "", "namespace": "apps", "service_name": "web", "service_port": port,
            "ingress_name": "bench", "path": "/", "path_type": "Prefix", "tls": True, **mode,
        }  # fmt: skip
        url = f"https://127.0.0.1:{plane.port}/api/v1/gateway/routes/register"
        status, answer = fetch(
            url, token=token, data=json.dumps(body).encode(), context=topology.client_context()
        )
        if status != 200:
            raise RuntimeError(f"{host} could not be registered ({status}): {answer[:300]!r}")
    target = Target("public", https, tls=True)
    return {
        "tunnel": (target, (f"Host: {TUNNELLED}",)),
        "direct": (target, (f"Host: {DIRECT}",)),
    }


def _beside_nginx(
    measured: dict[tuple[str, int], list[Small]], connections: int, plan: Plan
) -> Result:
    ours, ng1 = measured["tunnel", connections], measured["ng1", connections]
    rps = median_ratio([run.rps for run in ours], [run.rps for run in ng1])
    p50 = median_ratio([run.p50 for run in ours], [run.p50 for run in ng1])
    detail: dict[str, object] = {
        "req/s": statistics.median(run.rps for run in ours),
        "ng1": statistics.median(run.rps for run in ng1),
        "p50 µs": statistics.median(run.p50 for run in ours),
        "ng1 p50": statistics.median(run.p50 for run in ng1),
        "p99 µs": statistics.median(run.p99 for run in ours),
        "ng1 p99": statistics.median(run.p99 for run in ng1),
    }
    if connections == 1:
        detail["req/s x ng1"] = rps
        name = "public GET, TLS and tunnel, 1 connection: p50 × ng1"
        return Result("public", name, PATH, p50, "×", P50, plan.rounds, detail)
    name = f"public GET, TLS and tunnel, {connections} connections: req/s × ng1"
    return Result("public", name, PATH, rps, "×", RPS, plan.rounds, detail)


def _beside_tunnel(measured: dict[tuple[str, int], list[Small]], plan: Plan) -> Result:
    direct, tunnel = measured["direct", 32], measured["tunnel", 32]
    ratio = median_ratio([run.rps for run in direct], [run.rps for run in tunnel])
    detail: dict[str, object] = {
        "direct req/s": statistics.median(run.rps for run in direct),
        "tunnel req/s": statistics.median(run.rps for run in tunnel),
    }
    name = "public GET, 32 connections: direct mode × tunnel"
    return Result("public", name, PATH, ratio, "×", None, plan.rounds, detail)
