"""Prometheus' text format 0.0.4: metric families, samples, escaping."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from pipeops.agent.observed.histogram import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str]
Value = float | int | Histogram


class Sample(msgspec.Struct, frozen=True):
    """One value with its labels."""

    value: Value
    labels: Labels = {}


class Metric(msgspec.Struct, frozen=True):
    """A metric family's name and meaning."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


def render(families: Iterable[tuple[Metric, Iterable[Sample]]]) -> bytes:
    """The text of a scrape."""
    lines: list[str] = []
    for metric, samples in families:
        lines.append(f"# HELP {metric.name} {_escape_help(metric.help)}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        for sample in samples:
            lines.extend(_lines(metric, sample))
    return ("\n".join(lines) + "\n").encode()


def _lines(metric: Metric, sample: Sample) -> Iterator[str]:
    value = sample.value
    if not isinstance(value, Histogram):
        yield f"{metric.name}{_labels(sample.labels)} {_number(value)}"
        return
    total = 0
    for bound, count in zip((*value.bounds, float("inf")), value.counts, strict=True):
        total += count
        labels = _labels({**sample.labels, "le": _number(float(bound))})
        yield f"{metric.name}_bucket{labels} {total}"
    labels = _labels(sample.labels)
    yield f"{metric.name}_sum{labels} {_number(value.sum)}"
    yield f"{metric.name}_count{labels} {total}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}"


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return repr(value) if value % 1 else str(int(value))


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
