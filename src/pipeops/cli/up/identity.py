"""Identity: whom the agent impersonates for the person at the keyboard, and whether it may."""

from dataclasses import dataclass

from pipeops.cli.failures import CliError, ExitCode
from pipeops.kube.client import AccessQuestion, KubeClient
from pipeops.kube.errors import Forbidden, KubeError, NotFound

SIM_GROUPS = ("pipeops:admins",)
"""Groups of the person in the simulated cluster: the ones that the shipped roles know."""

# Every authenticated request is in it anyway; impersonating it would need one more rule.
_IMPLIED = frozenset({"system:authenticated"})
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Identity:
    """A Kubernetes user and its groups."""

    user: str
    groups: tuple[str, ...]

    @property
    def is_system(self) -> bool:
        """Whether an agent refuses it unless told otherwise."""
        return any(name.startswith("system:") for name in (self.user, *self.groups))


async def find_identity(client: KubeClient) -> Identity:
    """Ask the cluster whom it takes the kubeconfig's user for.

    Raises:
        CliError: It does not tell; the message says what to do.
    """
    try:
        info = await client.who_am_i()
    except Forbidden as error:
        raise CliError(
            "the cluster does not let you ask who you are (SelfSubjectReview is forbidden)",
            hint="grant this rule, or name a user with --as and --as-group",
            code=ExitCode.REFUSED,
            detail=_rule("authentication.k8s.io", "selfsubjectreviews", "create"),
        ) from error
    except NotFound as error:
        raise CliError(
            "the cluster cannot tell who you are: SelfSubjectReview needs Kubernetes 1.26 or newer",
            hint="name the user to act as with --as and --as-group",
        ) from error
    except KubeError as error:
        raise CliError(f"the cluster did not say who you are: {error}") from error
    implied = set(_IMPLIED)
    if info.username.startswith(_SERVICE_ACCOUNT):
        # The API server adds these by itself when a ServiceAccount is impersonated.
        namespace = info.username.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
        implied |= {"system:serviceaccounts", f"system:serviceaccounts:{namespace}"}
    return Identity(info.username, tuple(name for name in info.groups if name not in implied))


async def check_impersonation(client: KubeClient, identity: Identity) -> None:
    """Check that the agent's credential may impersonate the identity.

    Raises:
        CliError: It may not; the detail is the missing RBAC rules.
    """
    missing: list[str] = []
    for question in _questions(identity):
        try:
            allowed = await client.may(question)
        except KubeError as error:
            raise CliError(
                f"the cluster did not say whether you may impersonate: {error}"
            ) from error
        if not allowed:
            missing += _rule("", question.resource, "impersonate", question.name)
    if missing:
        raise CliError(
            f"your credential may not impersonate {identity.user!r} and its groups, "
            "which the agent must do for every request",
            hint="grant these rules in a ClusterRole, or name another user with --as and --as-group",
            code=ExitCode.REFUSED,
            detail=tuple(missing),
        )


def _questions(identity: Identity) -> list[AccessQuestion]:
    if identity.user.startswith(_SERVICE_ACCOUNT):
        namespace, _, name = identity.user.removeprefix(_SERVICE_ACCOUNT).partition(":")
        first = AccessQuestion(
            verb="impersonate", resource="serviceaccounts", namespace=namespace, name=name
        )
    else:
        first = AccessQuestion(verb="impersonate", resource="users", name=identity.user)
    groups = [
        AccessQuestion(verb="impersonate", resource="groups", name=name) for name in identity.groups
    ]
    return [first, *groups]


def _rule(group: str, resource: str, verb: str, name: str = "") -> tuple[str, ...]:
    names = f'resourceNames: ["{name}"], ' if name else ""
    rule = f'apiGroups: ["{group}"], resources: ["{resource}"], {names}verbs: ["{verb}"]'
    return (f"- {{{rule}}}",)
