"""Layered settings: flag over environment over file over default, all problems told at once.

A settings class is a `msgspec.Struct` whose fields carry a `Key`; adding a setting is one line:

    port: Annotated[int, Key("agent.port", integer(0, 65535), "local port", env=("PIPEOPS_PORT",))] = 8080
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

import msgspec

from pipeops.errors import PipeOpsError
from pipeops.runtime.redaction import redact_text
from pipeops.runtime.setting_values import Duration, Parse, boolean, mapping, text

S = TypeVar("S", bound=msgspec.Struct)

#: Kubernetes injects such variables for every Service of a namespace.
_SERVICE_LINK: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT.*|PORT(_\d+_(TCP|UDP).*)?)\Z")
_CLOSE: Final = 0.85
_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its name in files, how to parse it, what it is for, where else it comes from."""

    name: str
    parse: Parse
    help: str
    flag: str = ""
    #: Variables by rank; the automatic one (`AGENT_PORT` for `agent.port`) follows them.
    env: tuple[str, ...] = ()
    #: Never shown, neither its value nor a wrong one.
    secret: bool = False
    #: A misspelling of it must stop the program instead of being ignored.
    security: bool = False
    #: The value in words for `--help`; empty for booleans.
    placeholder: str = "TEXT"
    #: Other names in files.
    aliases: tuple[str, ...] = ()
    #: Why it has no effect, if so; whoever sets it is told once.
    inert: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        """All environment variables that set it, best first."""
        automatic = self.name.upper().replace(".", "_")
        return self.env if automatic in self.env else (*self.env, automatic)


class Rank(IntEnum):
    """Where a value came from; the higher rank wins."""

    DEFAULT = 0
    FILE = 1
    ENVIRONMENT = 2
    FLAG = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """The place a value was written in."""

    rank: Rank
    place: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the settings."""

    key: str
    place: str
    text: str

    def __str__(self) -> str:
        return (
            f"{self.key} ({self.place}): {self.text}" if self.place else f"{self.key}: {self.text}"
        )


class SettingsError(PipeOpsError):
    """The settings cannot be used; `problems` has every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        """Take at least one problem."""
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(slots=True)
class Loaded(Generic[S]):
    """Settings, where each came from, and what the reader should be warned about."""

    settings: S
    origins: dict[str, Origin]
    warnings: list[str]
    #: The settings file that was read; empty if none.
    file: str = ""


Check = Callable[[dict[str, Any], Mapping[str, Origin]], Iterator[Problem]]


@dataclass(frozen=True, slots=True)
class File:
    """A parsed settings file."""

    path: str
    content: Any


@dataclass(slots=True)
class _Layers:
    """Everything found so far."""

    found: dict[str, tuple[object, Origin]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def take(self, attribute: str, key: Key, raw: object, origin: Origin) -> None:
        """Parse `raw` and keep it; later layers overwrite earlier ones."""
        try:
            self.found[attribute] = (key.parse(raw), origin)
        except ValueError as error:
            shown = "" if key.secret else f", not {redact_text(repr(raw), 80)}"
            self.problems.append(Problem(key.name, origin.place, f"expected {error}{shown}"))
            return
        if isinstance(key.parse, Duration) and (remark := key.parse.remark(raw)):
            self.warnings.append(f"{key.name} ({origin.place}): {remark}")


def keys_of(kind: type[msgspec.Struct]) -> dict[str, Key]:
    """Return the `Key` of each field of a settings class, by attribute name, in order."""
    result = {}
    for attribute, annotation in kind.__annotations__.items():
        for extra in getattr(annotation, "__metadata__", ()):
            if isinstance(extra, Key):
                result[attribute] = extra
    return result


def load(  # noqa: PLR0913 -- the layers, and what a program says about its keys
    kind: type[S],
    *,
    flags: Mapping[str, str],
    environment: Mapping[str, str],
    file: File | None,
    inert: Mapping[str, str] | None = None,
    inert_variables: Mapping[str, str] | None = None,
    check: Check | None = None,
    excused: Callable[[str, Mapping[str, Any]], bool] = lambda _, __: False,
    problems: Iterable[Problem] = (),
) -> Loaded[S]:
    """Build `kind` from all layers.

    Args:
        kind: the settings class.
        flags: given flags by attribute name.
        environment: the process's variables; empty ones count as unset.
        file: the settings file, if there is one.
        inert: prefixes of keys that are accepted without effect, each with the reason.
        inert_variables: variables that are accepted without effect, each with the reason.
        check: yields problems that concern several settings; gets values and origins by attribute
            name, of those that could be parsed.
        excused: says of a key's name, given the values, that a wrong value of it is only warned about.
        problems: what was wrong before, to be told with the rest.

    Raises:
        SettingsError: with all problems of all layers.
    """
    keys = keys_of(kind)
    layers = _Layers(problems=list(problems))
    if file is not None:
        _from_file(layers, keys, file, inert or {})
    _from_environment(layers, keys, environment)
    _without_effect(layers, keys, environment, inert_variables or {})
    for attribute, raw in flags.items():
        key = keys[attribute]
        if not raw.strip() and key.parse is not boolean:
            layers.problems.append(Problem(key.name, key.flag, "it is empty"))
        else:
            layers.take(attribute, key, raw, Origin(Rank.FLAG, key.flag))
    values = {attribute: value for attribute, (value, _) in layers.found.items()}
    origins = {attribute: origin for attribute, (_, origin) in layers.found.items()}
    if check is not None:
        layers.problems.extend(check(values, origins))
    mild = [problem for problem in layers.problems if excused(problem.key, values)]
    if len(mild) < len(layers.problems):
        raise SettingsError(layers.problems)
    layers.warnings += [f"{problem}; it is ignored" for problem in mild]
    _inert_ones(layers, keys, values, defaults_of(kind))
    return Loaded(kind(**values), origins, layers.warnings)


def _inert_ones(
    layers: _Layers, keys: dict[str, Key], values: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    """Say in one line which settings somebody changed to no effect."""
    given = sorted(
        keys[attribute].name
        for attribute, value in values.items()
        if keys[attribute].inert and value != defaults[attribute]
    )
    if given:
        layers.warnings.append(f"accepted without effect: {', '.join(given)}")


def _without_effect(
    layers: _Layers,
    keys: dict[str, Key],
    environment: Mapping[str, str],
    inert: Mapping[str, str],
) -> None:
    read = {name for key in keys.values() for name in key.variables}
    given = sorted(name for name in inert if environment.get(name, "").strip() and name not in read)
    if given:
        layers.warnings.append(f"variables without effect: {', '.join(given)}")


def _from_environment(
    layers: _Layers, keys: dict[str, Key], environment: Mapping[str, str]
) -> None:
    known = {name for key in keys.values() for name in key.variables}
    for attribute, key in keys.items():
        given = [
            (name, environment[name]) for name in key.variables if environment.get(name, "").strip()
        ]
        automatic = key.variables[-1]
        if (
            given
            and given[-1][0] == automatic
            and _SERVICE_LINK.search(automatic)
            and "://" in given[-1][1]
        ):
            layers.warnings.append(
                f"{automatic} looks like a Kubernetes service link and is ignored;"
                " set enableServiceLinks: false"
            )
            given.pop()
        if not given:
            continue
        name, raw = given[0]
        layers.take(attribute, key, raw, Origin(Rank.ENVIRONMENT, name))
        if any(other != raw for _, other in given[1:]):
            others = ", ".join(other for other, _ in given[1:])
            layers.warnings.append(f"{name} wins over {others}, which say otherwise")
    _misspelt_variables(layers, keys, environment, known)


def _misspelt_variables(
    layers: _Layers, keys: dict[str, Key], environment: Mapping[str, str], known: set[str]
) -> None:
    guarded = [name for key in keys.values() if key.security for name in key.variables]
    for name in environment:
        if name in known or not name.startswith("PIPEOPS_") or _SERVICE_LINK.search(name):
            continue
        near = difflib.get_close_matches(name, guarded, 1, _CLOSE)
        if near:
            layers.problems.append(
                Problem(name, "environment", f"there is no such setting; did you mean {near[0]}?")
            )


def _from_file(layers: _Layers, keys: dict[str, Key], file: File, inert: Mapping[str, str]) -> None:
    if file.content is None:
        return
    if not isinstance(file.content, Mapping):
        layers.problems.append(Problem("(whole file)", file.path, "expected a mapping of settings"))
        return
    by_name = {
        name: attribute for attribute, key in keys.items() for name in (*key.aliases, key.name)
    }
    whole = {key.name for key in keys.values() if key.parse is mapping}
    for name, raw in _flatten(file.content, "", whole, 0):
        attribute = by_name.get(name)
        if attribute is not None:
            if raw is not None:
                layers.take(attribute, keys[attribute], raw, Origin(Rank.FILE, file.path))
            continue
        reason = next((why for prefix, why in inert.items() if f"{name}.".startswith(prefix)), None)
        if reason is None:
            _unknown(layers, keys, name, file.path)
        elif (
            line := f"{name.partition('.')[0]}.* in {file.path}: {reason}"
        ) not in layers.warnings:
            layers.warnings.append(line)


def _unknown(layers: _Layers, keys: dict[str, Key], name: str, path: str) -> None:
    names = [key.name for key in keys.values()]
    near = difflib.get_close_matches(name, names, 1, _CLOSE)
    hint = f"; did you mean {near[0]}?" if near else ""
    sections = {key.name.rpartition(".")[0] for key in keys.values() if key.security}
    guarded = any(key.security and key.name in near for key in keys.values())
    if guarded or (name.rpartition(".")[0] in sections and "tls" in name):
        layers.problems.append(Problem(name, path, f"there is no such security setting{hint}"))
    else:
        layers.warnings.append(f"unknown setting {name} in {path} is ignored{hint}")


def _flatten(
    content: Mapping[Any, Any], prefix: str, whole: set[str], depth: int
) -> Iterator[tuple[str, Any]]:
    """Yield dotted lower-case names with their values; mappings in `whole` stay as they are."""
    for key, value in content.items():
        name = f"{prefix}{str(key).lower()}"
        if isinstance(value, Mapping) and name not in whole and depth < _MAX_DEPTH:
            yield from _flatten(value, f"{name}.", whole, depth + 1)
        else:
            yield name, value


def defaults_of(kind: type[msgspec.Struct]) -> dict[str, object]:
    """Return each field's default by attribute name."""
    return {
        field.name: field.default
        if field.default_factory is msgspec.NODEFAULT
        else field.default_factory()
        for field in msgspec.structs.fields(kind)
    }


def describe_default(value: object) -> str:
    """Return a default as `--help` shows it, empty if there is nothing to show."""
    if value is None or value == "" or value is False or value in ({}, ()):
        return ""
    if value is True:
        return "true"
    if isinstance(value, float):
        return f"{value:g}s"  # every fraction among settings is a duration
    if isinstance(value, Mapping):
        return ",".join(f"{name}={item}" for name, item in value.items())
    return text(value) if isinstance(value, int) else str(value)
