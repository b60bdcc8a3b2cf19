"""Metrics as the modules of FILES declare them: names, types, labels and help texts."""

import ast
from functools import lru_cache
from typing import NamedTuple

from docs.reference import source
from docs.reference.tables import UNDESCRIBED, Cells

FILES = ("runtime/metrics.py", "web/metrics.py", "workers/state_metrics.py")
TYPES = {
    "Counter": "counter",
    "Histogram": "histogram",
    "Gauge": "gauge",
    "GaugeMetricFamily": "gauge",
    "_gauge": "gauge",
}
"""Types of metrics, by the function that makes one."""

PREFIX = "spendgate_"


class Metric(NamedTuple):
    """A metric's type, its labels, and its help text."""

    kind: str
    labels: tuple[str, ...]
    help_text: str


@lru_cache(maxsize=1)
def metrics() -> dict[str, Metric]:
    """Every metric, by the name under which Prometheus stores it."""
    nodes = (node for name in FILES for node in ast.walk(ast.parse((source.REPOSITORY / name).read_text())))
    found: dict[str, Metric] = {}
    for function, call in filter(None, map(source.called, nodes)):
        texts = [text for argument in call.args[:2] for text in source.constants(argument)]
        if function in TYPES and len(texts) == 2 and texts[0].startswith(PREFIX):
            kind = TYPES[function]
            found[f"{texts[0]}_total" if kind == "counter" else texts[0]] = Metric(kind, _labels(call), texts[1])
    return found


def _labels(call: ast.Call) -> tuple[str, ...]:
    values = [*call.args[2:3], *(keyword.value for keyword in call.keywords if keyword.arg == "labels")]
    elements = [one for value in values for one in (value.elts if isinstance(value, ast.List) else [value])]
    return tuple(text for element in elements for text in source.constants(element))


def cells(name: str, written: Cells) -> Cells:
    """The cells of a metric's row: type, labels, help text, and a person's note on when to look at it.

    The note is kept from `written`, the row's present cells, which are empty for a new row.
    """
    metric = metrics()[name]
    note = written[-1] if written else UNDESCRIBED
    return [metric.kind, ", ".join(metric.labels), metric.help_text, note]
