"""The alert rules: Prometheus takes them, they fire where they have to, and they ask for metrics that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

pytest.importorskip("opentelemetry.exporter.prometheus")

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from playback.telemetry.instruments import Instruments
from tests.needs import need_program

HERE: Final = Path(__file__).parent
RULES: Final = HERE.parents[1] / "docs" / "prometheus" / "playback.rules.yml"


def promtool(*arguments: str) -> str:
    need_program("promtool", "of Debian's package prometheus")
    done = subprocess.run(["promtool", *arguments], cwd=HERE, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules() -> None:
    assert re.search(r"SUCCESS: \d+ rules found", promtool("check", "rules", str(RULES)))


def test_each_alert_fires_on_a_bad_day_and_none_on_a_sound_one() -> None:
    promtool("test", "rules", "playback.rules.test.yml")


def test_every_alert_is_tested_and_documented() -> None:
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    assert len(alerts) >= 8
    tested = (HERE / "playback.rules.test.yml").read_text()
    page = (RULES.parents[1] / "production.md").read_text()
    assert [alert for alert in alerts if f'alertname="{alert}"' not in tested or f"`{alert}`" not in page] == []


def test_the_metrics_that_the_rules_ask_for_exist() -> None:
    registry, reader = CollectorRegistry(), PrometheusMetricReader()
    registry.register(reader._collector)
    instruments = Instruments.of(MeterProvider([reader]))
    for name in Instruments.__slots__:
        instrument = getattr(instruments, name)
        if hasattr(instrument, "record"):
            instrument.record(0.1)
        else:
            instrument.add(1, {"playback.reason": "full"} if name == "refused" else {})
    scraped = [
        sample
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    ]
    asked = set(re.findall(r"\bplayback_\w+", RULES.read_text())) - {"playback_reason"}
    assert len(asked) >= 12
    assert asked <= {sample.name for sample in scraped}
    assert {"full"} == {sample.labels["playback_reason"] for sample in scraped if "playback_reason" in sample.labels}
