"""`config show`: what is in effect and why; `config check FILE`: is this file right?"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from pipeops.agent.commands.arguments import Parser, parse, settings_parser
from pipeops.agent.settings import AgentSettings, load_settings
from pipeops.runtime.redaction import redact_text
from pipeops.runtime.secrets import Secret
from pipeops.runtime.settings import Loaded, Origin, SettingsError, keys_of


def show(argv: Sequence[str]) -> int:
    """`config show`: 0, or 2 if the settings cannot be used."""
    parser = settings_parser("config show", "Prints the settings in effect and where each is from.")
    parser.add_argument(
        "-o", "--output", choices=("text", "json", "yaml"), default="text", help="form"
    )
    parser.add_argument("--all", action="store_true", help="defaults too, in text")
    flags, config, own = parse(parser, argv, "output", "all")
    try:
        loaded = load_settings(flags, config=config, needs_token=False)
    except SettingsError as error:
        return refuse(error)
    if own["output"] == "text":
        print("\n".join(_lines(loaded, every=bool(own["all"]))))
    elif own["output"] == "json":
        print(msgspec.json.format(msgspec.json.encode(_document(loaded)), indent=2).decode())
    else:
        print(msgspec.yaml.encode(_document(loaded)).decode(), end="")
    return 0


def check(argv: Sequence[str]) -> int:
    """`config check FILE`: 0 if the file is right, with warnings; 2 if not."""
    parser = Parser(
        prog="pipeops-agent config check",
        description="Reads a settings file alone: no flags, no environment.",
    )
    parser.add_argument("file", metavar="FILE")
    path = parser.parse_args(argv).file
    try:
        loaded = load_settings({}, environment={}, config=path, needs_token=False)
    except SettingsError as error:
        return refuse(error)
    for line in loaded.warnings:
        print(f"warning: {line}")
    print(f"{path}: {len(loaded.origins)} settings, {len(loaded.warnings)} warnings")
    return 0


def refuse(error: SettingsError) -> int:
    """Tell every problem on standard error; returns 2."""
    lines = [f"pipeops-agent: {len(error.problems)} setting(s) cannot be used:"]
    lines += [f"  - {problem}" for problem in error.problems]
    with suppress(OSError):
        print("\n".join(lines), file=sys.stderr)
    return 2


def effective(loaded: Loaded[AgentSettings]) -> dict[str, dict[str, Any]]:
    """Return value and source of every setting by its key; secrets are `***`, set or empty."""
    keys = keys_of(AgentSettings)
    result = {}
    for attribute, key in keys.items():
        value = getattr(loaded.settings, attribute)
        entry: dict[str, Any] = {
            "value": _shown(value),
            "source": _source(loaded.origins, attribute),
        }
        if key.inert and attribute in loaded.origins:
            entry["without_effect"] = key.inert
        result[key.name] = entry
    return result


def _document(loaded: Loaded[AgentSettings]) -> dict[str, Any]:
    return {"file": loaded.file, "settings": effective(loaded), "warnings": loaded.warnings}


def _source(origins: Mapping[str, Origin], attribute: str) -> str:
    origin = origins.get(attribute)
    if origin is None:
        return "default"
    return f"{origin.rank.name.lower()} {origin.place}".strip()


def _shown(value: object) -> Any:
    if isinstance(value, Secret):
        return str(value) if value else ""
    if isinstance(value, str):
        return redact_text(value)
    return msgspec.to_builtins(value)


def _lines(loaded: Loaded[AgentSettings], *, every: bool) -> Iterator[str]:
    entries = effective(loaded)
    shown = {
        name: entry for name, entry in entries.items() if every or entry["source"] != "default"
    }
    width = max((len(name) for name in shown), default=0)
    yield f"settings file: {loaded.file or 'none'}"
    for name, entry in shown.items():
        value = entry["value"]
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        note = f"; no effect: {entry['without_effect']}" if "without_effect" in entry else ""
        yield f"{name:<{width}}  {text or '(empty)'}   [{entry['source']}{note}]"
    if not every:
        yield f"and {len(entries) - len(shown)} defaults (--all)"
    yield from (f"warning: {line}" for line in loaded.warnings)
