"""Programs: the command line of each child of `pipeops up`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeops.cli.up.certificates import CertificateFiles
from pipeops.cli.up.children import Child, child_environment, python_module
from pipeops.cli.up.home import Home
from pipeops.cli.up.ports import LOOPBACK

SIM_READY = "simulated cluster ready at"


@dataclass(frozen=True, slots=True)
class Programs:
    """Makes the children, none of them started.

    Attributes:
        home: Where their data and logs go.
        environ: Environment of `pipeops up`.
    """

    home: Home
    environ: Mapping[str, str]

    @property
    def sim_kubeconfig(self) -> Path:
        """Kubeconfig of the simulated cluster's administrator."""
        return self.home.sim / "admin.kubeconfig"

    @property
    def sim_agent_kubeconfig(self) -> Path:
        """Kubeconfig of the simulated cluster's ServiceAccount for agents."""
        return self.home.sim / "agent.kubeconfig"

    def control(self, port: int, certificates: CertificateFiles) -> Child:
        """Return the control plane."""
        command = python_module(
            "pipeops.control",
            *("--data-dir", str(self.home.control)),
            *("--listen", f"{LOOPBACK}:{port}"),
            *("--tls-cert", str(certificates.server)),
            *("--tls-key", str(certificates.server_key)),
            *("--log-format", "text"),
            # Everything here is one person's: there is nobody to take a host from.
            *("--route-hosts", "first-come"),
        )
        return self._child("control plane", "control.log", command, {})

    def sim(self, port: int) -> Child:
        """Return the simulated cluster."""
        command = python_module(
            "pipeops.sim",
            *("--listen", f"{LOOPBACK}:{port}"),
            *("--state-dir", str(self.home.sim)),
            *("--kubeconfig", str(self.sim_kubeconfig)),
            *("--agent-kubeconfig", str(self.sim_agent_kubeconfig)),
        )
        return self._child("simulated cluster", "sim.log", command, {})

    def agent(
        self,
        *,
        server: str,
        cluster: str,
        token_file: Path,
        kubeconfig: Path,
        ca: Path,
        allow_system_identities: bool,
    ) -> Child:
        """Return the agent; its token travels in a file."""
        options = ["--pipeops-url", server, "--token-file", str(token_file)]
        options += ["--cluster-name", cluster, "--kubeconfig", str(kubeconfig)]
        options += ["--ca-file", str(ca)]
        if allow_system_identities:
            options.append("--allow-system-identities")
        own = {
            "PIPEOPS_STATE_FILE": str(self.home.agent / f"{cluster}.state.yaml"),
            "PIPEOPS_PORT": "0",
        }
        return self._child("agent", "agent.log", python_module("pipeops.agent", *options), own)

    def _child(self, name: str, log: str, command: list[str], own: Mapping[str, str]) -> Child:
        environ = child_environment(self.environ) | dict(own)
        return Child(name, command, self.home.logs / log, environ)
