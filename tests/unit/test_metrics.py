"""What is counted within this process, and what is told of it."""

import prometheus_client
import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from app import metrics
from tests.scrapes import Scrape


def told(**known):
    return Scrape(
        metrics.exposition(**{"version": "1", "active_conversations": 3} | known).decode()
    )


def test_an_answer_that_ended_is_counted_with_its_times_and_its_rate():
    before = told()
    metrics.run_ended("complete", None, milliseconds=3000, first_token_ms=1000, tokens=80)
    after = told()

    def grown(name, **labels):
        return pytest.approx(after.value(name, **labels) - before.value(name, **labels))

    assert grown("runs_ended_total", status="complete", error_class="none") == 1
    assert grown("run_seconds_sum") == 3
    assert grown("first_token_seconds_sum") == 1
    assert grown("answer_tokens_per_second_sum") == 40
    assert grown("answer_tokens_per_second_bucket", le="50.0") == 1
    assert grown("answer_tokens_per_second_bucket", le="30.0") == 0


def test_what_was_not_measured_is_counted_as_ended_alone():
    before = told()
    metrics.run_ended("interrupted", "crashed")
    metrics.run_ended("failed", "timeout", milliseconds=500)
    metrics.run_ended("complete", None, milliseconds=7, first_token_ms=7, tokens=1)
    after = told()
    for name, number in (
        ("runs_ended_total", 3),
        ("run_seconds_count", 2),
        ("first_token_seconds_count", 1),
        ("answer_tokens_per_second_count", 0),
    ):
        assert after.value(name) - before.value(name) == number, name


def test_words_of_a_hosts_own_responder_do_not_become_labels():
    metrics.run_ended("failed", "nobody@example.com")
    metrics.run_ended("failed", "timeout")
    classes = {it.labels["error_class"] for it in told().families["parley_runs_ended"].samples}
    assert {"other", "timeout"} <= classes
    assert "nobody@example.com" not in classes


def test_what_is_known_at_the_moment_stands_beside_it_and_what_is_not_is_left_out():
    assert told().value("active_conversations") == 3
    assert told(version="1.2").value("build_info", version="1.2") == 1
    assert not told(active_conversations=None).has("active_conversations")


def test_the_default_registry_is_the_hosts():
    assert b"parley_" not in prometheus_client.generate_latest()
    assert not [it.name for it in told().samples if not it.name.startswith("parley_")]
    assert not [it.name for it in told().samples if it.name.endswith("_created")]


def test_a_folder_that_a_host_counts_in_tells_ours_alone(tmp_path, monkeypatch):
    for pid in (1, 2):
        kept = MmapedDict(str(tmp_path / f"counter_{pid}.db"))
        for name in ("host_orders", "parley_runs_reaped"):
            kept.write_value(mmap_key(name, f"{name}_total", [], [], "Help."), 2.0, 0.0)
        kept.close()
    (tmp_path / "counter_3.db").touch()  # of a worker that starts
    monkeypatch.setenv(metrics.FOLDER, str(tmp_path))
    assert told().value("runs_reaped_total") == 4
    assert not [name for name in told().families if name.startswith("host")]
