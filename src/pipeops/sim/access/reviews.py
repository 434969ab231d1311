"""The review APIs: who am I, may I, may somebody, what may I, whose token is this."""

from collections.abc import Callable

from pipeops.sim.access.rbac import Attributes, Authorizer
from pipeops.sim.access.users import Authenticator, User
from pipeops.sim.errors import ApiError, bad_request, invalid
from pipeops.sim.objects import JsonObject, timestamp

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"


class Reviews:
    """Answers reviews; nothing of them is stored."""

    def __init__(self, authorizer: Authorizer, authenticator: Authenticator) -> None:
        self._authorizer = authorizer
        self._authenticator = authenticator
        self._answers: dict[tuple[str, str], Callable[[JsonObject, User], JsonObject]] = {
            (AUTHENTICATION, "tokenreviews"): self._token,
            (AUTHORIZATION, "selfsubjectaccessreviews"): self._own_access,
            (AUTHORIZATION, "subjectaccessreviews"): self._access,
            (AUTHORIZATION, "localsubjectaccessreviews"): self._access,
            (AUTHORIZATION, "selfsubjectrulesreviews"): self._own_rules,
        }

    def answer(
        self, group: str, plural: str, body: JsonObject, user: User, *, now: float
    ) -> JsonObject:
        """The review `body` with its status filled in.

        Raises:
            ApiError: 400 or 422 for a review that asks for nothing, 404 for an unknown review.
        """
        if (group, plural) == (AUTHENTICATION, "selfsubjectreviews"):
            return {
                "kind": "SelfSubjectReview",
                "apiVersion": f"{AUTHENTICATION}/v1",
                "metadata": {"creationTimestamp": timestamp(now)},
                "status": {"userInfo": user.to_json()},
            }
        answer = self._answers.get((group, plural))
        if answer is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource", {})
        reviewed = {**body, "metadata": {**(body.get("metadata") or {})}}
        reviewed["spec"] = spec = dict(body.get("spec") or {})
        reviewed["status"] = answer(spec, user)
        return reviewed

    def _token(self, spec: JsonObject, user: User) -> JsonObject:
        token = spec.get("token")
        if not token:
            raise bad_request("token is required for TokenReview in authentication")
        try:
            found = self._authenticator.user_of_token(token)
        except ApiError:
            return {"user": {}, "error": "invalid bearer token"}
        audiences = spec.get("audiences") or [self._authenticator.audience]
        return {"authenticated": True, "user": found.to_json(), "audiences": audiences}

    def _own_access(self, spec: JsonObject, user: User) -> JsonObject:
        _require_one_question(spec)
        return self._verdict(user, spec)

    def _access(self, spec: JsonObject, user: User) -> JsonObject:
        _require_one_question(spec)
        if not spec.get("user") and not spec.get("groups"):
            text = 'Invalid value: "": at least one of user or group must be specified'
            raise invalid(AUTHORIZATION, "", "", [("FieldValueInvalid", "spec.user", text)])
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        subject = User(
            spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra
        )
        return self._verdict(subject, spec)

    def _verdict(self, user: User, spec: JsonObject) -> JsonObject:
        reason = self._authorizer.allows(user, _attributes(spec))
        if reason is None:
            return {"allowed": False}
        return {"allowed": True, **({"reason": reason} if reason else {})}

    def _own_rules(self, spec: JsonObject, user: User) -> JsonObject:
        namespace = spec.get("namespace")
        if not namespace:
            raise bad_request("no namespace on request")
        resource_rules, path_rules = [], []
        for rule in self._authorizer.rules(user, namespace):
            if rule.get("nonResourceURLs"):
                kept = ("verbs", "nonResourceURLs")
                path_rules.append({key: rule[key] for key in kept if rule.get(key)})
            else:
                keys = ("verbs", "apiGroups", "resources", "resourceNames")
                resource_rules.append({key: rule[key] for key in keys if rule.get(key)})
        return {
            "resourceRules": resource_rules,
            "nonResourceRules": path_rules,
            "incomplete": False,
        }


def _require_one_question(spec: JsonObject) -> None:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if bool(resource) == bool(path) and (resource is None) == (path is None):
        problem = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        if resource is not None:
            problem = "cannot be specified in combination with resourceAttributes"
            where = "spec.nonResourceAttributes"
            text = f'Invalid value: "": {problem}'
            raise invalid(AUTHORIZATION, "", "", [("FieldValueInvalid", where, text)])
        text = f"Invalid value: null: {problem}"
        where = "spec.resourceAttributes"
        raise invalid(AUTHORIZATION, "", "", [("FieldValueInvalid", where, text)])


def _attributes(spec: JsonObject) -> Attributes:
    if path := spec.get("nonResourceAttributes"):
        return Attributes(path.get("verb", ""), path=path.get("path", ""))
    asked = spec.get("resourceAttributes") or {}
    return Attributes(
        asked.get("verb", ""),
        asked.get("group", ""),
        asked.get("resource", ""),
        asked.get("subresource", ""),
        asked.get("namespace", ""),
        asked.get("name", ""),
    )
