"""Running: brings the children up in order, registers, shows the way, watches, and stops in reverse."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from pipeops.cli.client import ApiClient
from pipeops.cli.connection import trust
from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.kubeconfigs import make_kubeconfig, read_ca, write_kubeconfig
from pipeops.cli.profile import Profile, read_token, save_config
from pipeops.cli.up.backend import Backend, choose_backend
from pipeops.cli.up.certificates import CertificateFiles, ensure_certificates
from pipeops.cli.up.children import Child
from pipeops.cli.up.first_request import FirstRequest, get_nodes
from pipeops.cli.up.home import Home
from pipeops.cli.up.identity import SIM_GROUPS, Identity, check_impersonation, find_identity
from pipeops.cli.up.ports import LOOPBACK, choose_port
from pipeops.cli.up.programs import SIM_READY, Programs
from pipeops.cli.up.progress import Progress
from pipeops.cli.up.registration import ensure_cluster, ensure_user_token, stored_token
from pipeops.cli.up.state import UpState, load_state, save_state
from pipeops.kube.client import KubeClient
from pipeops.kube.config import KubeAccess, load_kubeconfig
from pipeops.kube.errors import KubeError
from pipeops.runtime.clock import Clock
from pipeops.runtime.tasks import OnError, TaskScope

CONTROL_PORT = 8443
SIM_PORT = 16443
START_DEADLINE = 60.0
POLL = 0.1
PROBE_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What was asked for on the command line."""

    cluster: str
    port: int | None
    user: str | None
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Everything is up: what there is to know about it."""

    home: Home
    profile: Profile
    backend: Backend
    identity: Identity
    context: str
    first: FirstRequest
    children: tuple[Child, ...]

    def summary(self) -> dict[str, Any]:
        """Return it for programs; holds no secret."""
        return {
            "home": str(self.home.root),
            "server": self.profile.server,
            "ca_file": str(self.profile.ca_file),
            "token_file": str(self.home.user_token),
            "cluster": {
                "name": self.backend.name,
                "simulated": self.backend.simulated,
                "context": self.backend.context,
                "reason": self.backend.reason,
            },
            "kubeconfig": str(self.home.kubeconfig),
            "context": self.context,
            "user": self.identity.user,
            "groups": list(self.identity.groups),
            "first_request": {
                "command": self.first.command,
                "succeeded": self.first.succeeded,
                "output": self.first.output,
            },
            "pids": {child.name: child.pid for child in self.children},
        }


class Up:
    """One run of `pipeops up`.

    Args:
        home: Prepared and locked by the caller.
        options: From the command line.
        environ: Environment of the program.
        progress: Tells the person what happens.
        clock: For certificates.
    """

    def __init__(
        self,
        home: Home,
        options: UpOptions,
        environ: Mapping[str, str],
        progress: Progress,
        clock: Clock,
    ) -> None:
        self._home = home
        self._options = options
        self._environ = environ
        self._progress = progress
        self._clock = clock
        self._programs = Programs(home, environ)
        self._children: list[Child] = []

    @asynccontextmanager
    async def started(self) -> AsyncIterator[Running]:
        """Bring everything up; leaving the block stops it in reverse order.

        Raises:
            CliError: Something could not be brought up, or a child ended by itself while the block ran.
        """
        state = load_state(self._home.state)
        async with AsyncExitStack() as stack:
            port = choose_port(
                "the control plane",
                remembered=state.control_port,
                wanted=self._options.port,
                default=CONTROL_PORT,
            )
            state.control_port = port
            certificates = ensure_certificates(self._home.tls, self._clock.now())
            server = f"https://{LOOPBACK}:{port}"
            control = self._programs.control(port, certificates)
            await self._start(stack, control)
            # The slowest to start; what does not need it goes on meanwhile.
            backend, access = await self._choose_cluster(stack, state, port)
            await self._control_ready(control, server, certificates)
            identity = await self._identity(backend, access)
            profile = await self._register(state, server, certificates, backend, identity)
            await self._start_agent(stack, profile, certificates, state, backend, identity)
            save_state(self._home.state, state)
            context = self._write_kubeconfig(profile, backend)
            with self._progress.step("first request through the tunnel"):
                first = await get_nodes(
                    profile, backend.name, self._home.kubeconfig, self._kubectl_environment()
                )
            running = Running(
                home=self._home,
                profile=profile,
                backend=backend,
                identity=identity,
                context=context,
                first=first,
                children=tuple(self._children),
            )
            try:
                yield running
            finally:
                self._progress.close()
                self._progress.plain("stopping …")

    async def _start(self, stack: AsyncExitStack, child: Child) -> None:
        scope = TaskScope(child.name, on_error=OnError.CANCEL, report=_told_by_the_boundary)
        await stack.enter_async_context(scope)
        scope.spawn(child.run(), name="process")
        self._children.append(child)

    async def _control_ready(
        self, child: Child, server: str, certificates: CertificateFiles
    ) -> None:
        async def ready() -> bool:
            try:
                answer = await client.get(f"{server}/ready", timeout=2.0)
            except httpx.TransportError:
                return False
            return answer.status_code == 200

        with self._progress.step(f"control plane at {server}"):
            async with httpx.AsyncClient(verify=trust(certificates.ca), trust_env=False) as client:
                await _until(ready, child, "the control plane is not ready")

    async def _choose_cluster(
        self, stack: AsyncExitStack, state: UpState, control_port: int
    ) -> tuple[Backend, KubeAccess]:
        with self._progress.step("looking for a cluster"):
            backend = await choose_backend(
                self._options.cluster, state, self._environ, _probe, control_port
            )
        self._progress.note(f"cluster {backend.name!r}: {backend.reason}")
        if backend.document is None:
            state.kubeconfig = state.context = None
            await self._start_sim(stack, state)
            path = self._programs.sim_kubeconfig
        else:
            state.kubeconfig = ":".join(str(path) for path in backend.files)
            state.context = backend.context
            path = self._home.agent / f"{backend.name}.kubeconfig"
            write_kubeconfig(path, backend.document)
        try:
            return backend, load_kubeconfig(str(path), clock=self._clock)
        except KubeError as error:
            raise CliError(str(error)) from error

    async def _start_sim(self, stack: AsyncExitStack, state: UpState) -> None:
        port = choose_port(
            "the simulated cluster", remembered=state.sim_port, wanted=None, default=SIM_PORT
        )
        state.sim_port = port
        with self._progress.step(f"simulated cluster at https://{LOOPBACK}:{port}"):
            child = self._programs.sim(port)
            await self._start(stack, child)
            try:
                async with asyncio.timeout(START_DEADLINE):
                    await child.wait_for_output(lambda line: SIM_READY in line)
            except TimeoutError as error:
                raise child.failure("the simulated cluster is not ready") from error

    async def _identity(self, backend: Backend, access: KubeAccess) -> Identity:
        """Find whom to impersonate; with a real cluster, check that the agent may."""
        options = self._options
        client = KubeClient(access, clock=self._clock)
        if options.user is not None:
            identity = Identity(options.user, options.groups)
        else:
            identity = await find_identity(client)
            if backend.simulated:
                # As the shipped roles allow: an agent of an installation cannot take any group.
                identity = Identity(identity.user, SIM_GROUPS)
        if not backend.simulated:
            await check_impersonation(client, identity)
        groups = f" in {', '.join(identity.groups)}" if identity.groups else ""
        self._progress.note(f"you are {identity.user}{groups} there")
        return identity

    async def _register(
        self,
        state: UpState,
        server: str,
        certificates: CertificateFiles,
        backend: Backend,
        identity: Identity,
    ) -> Profile:
        def profile(token: Any) -> Profile:
            return Profile(server, token, certificates.ca, "pipeops up")

        def register() -> Profile:
            with ApiClient(profile(read_token(self._home.admin_token))) as admin:
                stored = stored_token(self._home.user_token)
                if stored is None:
                    token = ensure_user_token(admin, None, self._home, state, identity)
                else:
                    with ApiClient(profile(stored)) as known:
                        token = ensure_user_token(admin, known, self._home, state, identity)
                ensure_cluster(admin, self._home, state, backend.name)
            # Tokens exist now: their ids must not be lost should a later step fail.
            save_state(self._home.state, state)
            return profile(token)

        with self._progress.step("registering"):
            registered = await asyncio.to_thread(register)
        save_config(
            self._home.config,
            server=server,
            token_file=self._home.user_token,
            ca_file=certificates.ca,
        )
        return registered

    async def _start_agent(
        self,
        stack: AsyncExitStack,
        profile: Profile,
        certificates: CertificateFiles,
        state: UpState,
        backend: Backend,
        identity: Identity,
    ) -> None:
        kubeconfig = (
            self._programs.sim_agent_kubeconfig
            if backend.simulated
            else self._home.agent / f"{backend.name}.kubeconfig"
        )
        child = self._programs.agent(
            server=profile.server,
            cluster=backend.name,
            token_file=self._home.agent / f"{backend.name}.token",
            kubeconfig=kubeconfig,
            ca=certificates.ca,
            allow_system_identities=identity.is_system,
        )
        with self._progress.step("agent"), ApiClient(profile) as api:
            await self._start(stack, child)

            async def connected() -> bool:
                cluster = await asyncio.to_thread(api.cluster, backend.name)
                return bool(cluster["connection"]["connected"])

            await _until(connected, child, "the agent did not connect")

    def _write_kubeconfig(self, profile: Profile, backend: Backend) -> str:
        assert profile.token is not None  # noqa: S101 - made by the registration
        context = f"pipeops-{backend.name}"
        document = make_kubeconfig(
            server=profile.server,
            cluster=backend.name,
            token=profile.token,
            ca=read_ca(profile.ca_file),
            context=context,
        )
        write_kubeconfig(self._home.kubeconfig, document)
        return context

    def _kubectl_environment(self) -> dict[str, str]:
        local = "127.0.0.1,localhost"
        given = self._environ.get("NO_PROXY")
        return {**self._environ, "NO_PROXY": f"{given},{local}" if given else local}


async def _probe(access: KubeAccess) -> str:
    version = await KubeClient(access, timeout=PROBE_TIMEOUT).version()
    return f"Kubernetes {version.git_version}" if version.git_version else "unknown version"


async def _until(
    condition: Callable[[], Any], child: Child, complaint: str, deadline: float = START_DEADLINE
) -> None:
    try:
        async with asyncio.timeout(deadline):
            while not await condition():  # noqa: ASYNC110 - it becomes true in another process
                await asyncio.sleep(POLL)
    except TimeoutError as error:
        failure = child.failure(f"{complaint} after {deadline:.0f} s")
        failure.code = ExitCode.UNREACHABLE
        raise failure from error


def _told_by_the_boundary(_name: str, _error: Exception) -> None:
    """A child's end becomes the message of the program; a log record would say it twice."""
