"""The example alerting rules name metrics and labels that there are."""

import re
from pathlib import Path

import yaml
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pdp.telemetry.catalogue import INSTRUMENTS
from pdp.telemetry.provider import OpenTelemetry

RULES = Path(__file__).parents[3] / "docs" / "alerts.rules.yaml"
_NAME = re.compile(r"\bpdp_\w+")


def exported() -> dict[str, set[str]]:
    """Names of samples with their labels, as Prometheus gets them."""
    reader = PrometheusMetricReader()
    try:
        meters = MeterProvider([reader], shutdown_on_exit=False)
        told = OpenTelemetry(TracerProvider(shutdown_on_exit=False), meters, monotonic=lambda: 0, call_log=False)
        tell = {"counter": told.count, "histogram": told.measure, "level": told.level}
        for each in INSTRUMENTS:
            labels = dict.fromkeys(each.attributes, "x")
            if each.kind == "counter":
                told.count(each.name, labels)
            elif each.kind in tell:
                tell[each.kind](each.name, 1, labels)  # type: ignore[operator] # one of two alike
        text = generate_latest(REGISTRY).decode()
        return {s.name: set(s.labels) for f in text_string_to_metric_families(text) for s in f.samples}
    finally:
        meters.shutdown()


def test_rules_are_about_metrics_that_there_are() -> None:
    known = exported()
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) == 4
    for rule in rules:
        used = set(_NAME.findall(rule["expr"] + rule["annotations"]["summary"]))
        metrics = used & set(known)
        assert metrics
        assert used - metrics <= set().union(*(known[name] for name in metrics))
