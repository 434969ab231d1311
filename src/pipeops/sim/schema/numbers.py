"""The Protobuf field numbers of wire.txt."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources as package_files


@dataclass(frozen=True, slots=True)
class WireField:
    """A numbered field; `embedded` names a struct whose fields stand in the outer object."""

    name: str
    pointer: bool = False
    embedded: str = ""


@cache
def wire_structs() -> Mapping[str, Mapping[int, WireField]]:
    """Every struct's fields by number."""
    text = package_files.files("pipeops.sim.schema").joinpath("wire.txt").read_text()
    found: dict[str, dict[int, WireField]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        head, *words = line.split(" ")
        fields: dict[int, WireField] = {}
        for word in words:
            name, _, number = word.partition("=")
            if name.startswith("+"):
                fields[int(number)] = WireField("", embedded=name[1:])
            else:
                fields[int(number)] = WireField(name.rstrip("*"), name.endswith("*"))
        found[head] = fields
    return found


@cache
def pointer_fields(definition: str) -> frozenset[str]:
    """The JSON names of a struct's optional (pointer) fields, embedded structs included."""
    found: set[str] = set()
    for field in wire_structs().get(definition, {}).values():
        if field.embedded:
            found |= pointer_fields(field.embedded)
        elif field.pointer:
            found.add(field.name)
    return frozenset(found)
