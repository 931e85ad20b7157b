"""What a run of the benchmarks says of itself."""

import pytest

from benchmarks import report
from benchmarks.figures import Figure, Part, Results
from benchmarks.targets import KNOWN, TARGETS, Target, judged, missed

ROWS = {
    "cached read over HTTP",
    "cold read of 15 and of 100 messages",
    "append, PostgreSQL part",
    "append with its cache steps",
    "append over HTTP",
    "first page of 20 of 200, and of 20,000",
    "beside libraries, durable",
    "bulk of 1,000 messages",
    "growth 10,000 → 1,000,000 messages",
    "Redis away",
}


def figure(name, *, ours=(2.0, 3.0, 4.0), theirs=(1.0, 1.0, 1.0)):
    return Figure(
        name=name, what=f"what {name} is", against="the least", unit="µs", ours=ours, theirs=theirs
    )


def results(*figures):
    part = Part(seconds=12.0, command="make bench NAMES=statements", figures=list(figures))
    return Results({"date": "2026-11-30", "cores": "2"}, {"statements": part})


def test_every_operation_has_a_target_with_one_limit():
    assert {target.operation for target in TARGETS} == ROWS
    for target in (*TARGETS, *KNOWN):
        assert (target.at_least is None) != (target.at_most is None), target


def test_no_figure_has_two_targets():
    named = [target.figure for target in TARGETS]
    assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        ({"at_most": 3.0}, "ok"),
        ({"at_most": 2.9}, "missed"),
        ({"at_least": 3.0}, "ok"),
        ({"at_least": 3.1}, "missed"),
    ],
)
def test_a_target_judges_the_median_ratio(limits, verdict):
    assert Target("an operation", "one", **limits).verdict(figure("one")) == verdict


def test_what_stands_beside_nothing_is_judged_by_its_own_value():
    alone = figure("one", ours=(1.0, 9.0, 2.0), theirs=())
    assert Target("an operation", "one", at_most=2).verdict(alone) == "ok"


def test_what_people_expect_is_judged_in_its_own_unit_whatever_stands_beside_it():
    assert Target("an operation", "one", at_most=3, is_absolute=True).verdict(figure("one")) == "ok"
    slow = figure("one", ours=(9.0,), theirs=(9.0,))
    assert Target("an operation", "one", at_most=3, is_absolute=True).verdict(slow) == "missed"
    assert all(target.is_absolute for target in KNOWN)


def test_a_page_names_each_figure_its_limit_and_how_to_run_it_again():
    first = TARGETS[0].figure
    text = report.page(results(figure(first)))
    assert f"what {first} is" in text
    assert TARGETS[0].limit in text
    assert "2.00…4.00" in text
    assert "make bench NAMES=statements" in text


def test_a_page_says_what_is_not_reached_and_what_was_not_measured():
    found = results(figure("append_cached.raw", ours=(9.0,), theirs=(1.0,)))
    (line,) = missed(found)
    assert line in report.page(found)
    assert f"Not measured in this run: {len(TARGETS) - 1} of {len(TARGETS)}." in report.page(found)


def test_results_come_back_as_they_were_kept(tmp_path):
    kept = results(figure("one"), figure("two", theirs=()))
    kept.save(tmp_path / "2026-11-30.json")
    found = Results.load(tmp_path / "2026-11-30.json")
    assert report.page(found) == report.page(kept)
    assert [verdict for *_, verdict in judged(found)] == ["not measured"] * len(TARGETS)


def test_only_what_stands_between_its_marks_is_renewed():
    text = "Prose.\n<!-- statements -->\nold\n<!-- /statements -->\nMore prose.\n"
    found = report.renewed(text, results(figure("one")))
    assert found.startswith("Prose.\n<!-- statements -->\n")
    assert found.endswith("<!-- /statements -->\nMore prose.\n")
    assert "what one is" in found
    assert "old" not in found
    assert report.renewed(found, results(figure("one"))) == found
