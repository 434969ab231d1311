"""Content negotiation: which form of an object the client wants, and how bodies are decoded."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from pipeops.sim.errors import ApiError, bad_request, not_acceptable, unsupported_media_type
from pipeops.sim.objects import JsonObject
from pipeops.sim.schema.wire import MalformedError, decode_envelope

OFFERED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
PROTOBUF = "application/vnd.kubernetes.protobuf"
_JSON = frozenset({"application/json", "application/*", "*/*", ""})
_YAML = frozenset({"application/yaml", "text/yaml", "application/x-yaml"})


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is written. `convert` is empty, Table or PartialObjectMetadata(List)."""

    yaml: bool = False
    convert: str = ""
    version: str = "v1"
    group: str = ""

    @property
    def content_type(self) -> str:
        """The answer's Content-Type."""
        return "application/yaml" if self.yaml else "application/json"


@dataclass(frozen=True, slots=True)
class _Clause:
    media: str
    params: dict[str, str]


def _clauses(accept: str) -> list[_Clause]:
    found = []
    for part in accept.split(","):
        media, *raw = (piece.strip() for piece in part.split(";"))
        params = dict(piece.partition("=")[::2] for piece in raw)
        found.append(_Clause(media.lower(), params))
    return sorted(found, key=lambda c: -float(c.params.get("q", "1") or "1"))


def choose(accept: str, convertible: tuple[str, ...] = ()) -> Form:
    """The first clause of an Accept header that we can serve; 406 when there is none.

    `convertible` are the `as=` kinds that the endpoint can produce.
    """
    for clause in _clauses(accept):
        if clause.media not in _JSON | _YAML:
            continue
        wanted = clause.params.get("as", "")
        version = clause.params.get("v", "v1")
        if wanted and (wanted not in convertible or version not in {"v1", "v1beta1", "v2"}):
            continue
        return Form(clause.media in _YAML, wanted, version, clause.params.get("g", ""))
    raise not_acceptable(OFFERED)


class _PlainLoader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: times stay text."""


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """YAML as Go's library writes it."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    tag = "tag:yaml.org,2002:str"
    style = None
    if "\n" in value:
        style = "|"
    elif _reads_as(value) != tag:
        style = '"'
    return dumper.represent_scalar(tag, value, style=style)


def _reads_as(value: str) -> str:
    """The YAML tag that a plain scalar would be read as."""
    resolvers = yaml.SafeDumper.yaml_implicit_resolvers
    for tag, pattern in resolvers.get(value[:1], []):
        if pattern.match(value):
            return str(tag)
    return "tag:yaml.org,2002:str"


_Dumper.add_representer(str, _text)


def dump_yaml(value: Any) -> bytes:
    """YAML text of a JSON value, keys sorted as Go writes them."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=True, allow_unicode=True).encode()


def encode(value: JsonObject, form: Form) -> bytes:
    """The body of an answer. JSON ends with a newline, as Go's encoder ends it."""
    if form.yaml:
        return dump_yaml(value)
    return msgspec.json.encode(value) + b"\n"


def load_yaml(body: bytes) -> Any:
    """A YAML document (JSON is YAML too); 400 when it is neither."""
    try:
        return json.loads(body)
    except ValueError:
        pass
    try:
        return yaml.load(body, Loader=_PlainLoader)  # noqa: S506 - derives from SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error


def decode(body: bytes, content_type: str) -> JsonObject:
    """A request body as an object; 400 when malformed, 415 for a format we do not read."""
    media = content_type.partition(";")[0].strip().lower()
    if media in _JSON:
        try:
            value = json.loads(body)
        except ValueError as error:
            raise bad_json(error) from error
    elif media in _YAML:
        value = load_yaml(body)
    elif media == PROTOBUF:
        try:
            value = decode_envelope(body)
        except MalformedError as error:
            raise bad_request(f"error decoding Protobuf: {error}") from error
    else:
        raise unsupported_media_type(OFFERED)
    if not isinstance(value, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    return value


def bad_json(error: ValueError) -> ApiError:
    """400 for a body that is not JSON."""
    return bad_request(f"the object provided is unrecognized (must be valid JSON): {error}")
