"""Variables as typed values: what can't be read is a fault by name, and never a crash."""

import pytest

from app.environ import Environ
from app.errors import SettingsError


def read(kind, value, *arguments, **limits):
    """What a method makes of a value, or the reason why not."""
    variables = Environ({} if value is None else {"NAME": value})
    found = getattr(variables, kind)("NAME", *arguments, **limits)
    try:
        variables.check()
    except SettingsError as error:
        (reason,) = error.faults["NAME"]
        return reason
    return found


def test_faults_of_all_variables_come_together_in_order_and_by_name():
    variables = Environ({"B": "x", "A": "y"})
    variables.count("B", 1)
    variables.flag("A", default=True)
    variables.fault("A", "is odd, too.")
    variables.required("C")
    with pytest.raises(SettingsError) as raised:
        variables.check()
    assert str(raised.value).splitlines()[1:] == [
        "  A: must be true or false. is odd, too.",
        "  B: must be a number.",
        "  C: is missing.",
    ]


def test_nothing_noted_is_no_fault():
    Environ({}).check()


def test_an_empty_variable_is_an_unset_one():
    for value in (None, ""):
        assert read("text", value) is None
        assert read("required", value) == "is missing."
        assert read("count", value, 7) == 7
        assert read("seconds", value, 1.5) == 1.5
        assert read("flag", value, default=True) is True
        assert read("flag", value, default=False) is False
        assert read("choice", value, "a", "b") == "a"
        assert read("words", value) == ()
        assert read("quota", value) is None
        assert read("rate", value, "5/min") == "5/minute"


def test_a_whole_number_keeps_its_limits():
    assert [read("count", text, 1) for text in ("1", "007", str(2**31))] == [1, 7, 2**31]
    assert read("count", "0", 1, least=0) == 0
    for text in ("0", "-1", str(2**31 + 1), "9" * 4000):
        assert read("count", text, 1) == "must be between 1 and 2147483648.", text[:20]
    for text in ("x", "1.0", "1e3", "0x10", "true", "NaN", "1,000", "1 000", "9" * 5000, "\0", "½"):
        assert read("count", text, 1) == "must be a number.", text[:20]


def test_seconds_are_a_fraction_of_one_up_to_an_hour():
    assert [read("seconds", text, 1.0) for text in ("0.05", "1", "3600", "1e1")] == [
        0.05, 1.0, 3600.0, 10.0,
    ]  # fmt: skip
    for text in ("0", "-1", "0.04", "3601", "inf", "-inf", "nan", "1e400"):
        assert read("seconds", text, 1.0) == "must be between 0.05 and 3600.", text
    for text in ("x", "1s", "1:00", "1,5"):
        assert read("seconds", text, 1.0) == "must be a number.", text


def test_a_quota_is_a_whole_number_or_none():
    assert [read("quota", text) for text in ("none", "NONE", "0", "50")] == [None, None, 0, 50]
    for text in ("-1", "1.5", "many", "unlimited", "inf"):
        assert read("quota", text).startswith("must be"), text


def test_a_rate_has_one_spelling():
    for text, rate in {
        "600/min": "600/minute",
        "600/MINUTE": "600/minute",
        "1 / s": "1/second",
        "1/sec": "1/second",
        "1/second": "1/second",
        "20/h": "20/hour",
        "20/hour": "20/hour",
        "5/d": "5/day",
        "999999999/day": "999999999/day",
        "none": None,
        "None": None,
    }.items():
        assert read("rate", text, "1/min") == rate


def test_a_rate_that_could_be_read_otherwise_is_refused():
    for text in (
        "600", "/min", "0/min", "00/min", "-1/min", "+1/min", "1.5/min", "1/minutes", "1/m", "1/mi",
        "1/month", "1/year", "1/week", "1 per minute", "1/min;5/hour", "1/min,5/hour", "1/5 min",
        "1//min", "1/min/", "1e3/min", "1_000/min", "9999999999/min", "unlimited", "off", "0", "*",
        "1\u0660/min", "\uff11/min", "1/min\n2/min", "nonee", "1/\u017fec",
    ):  # fmt: skip
        assert "must read like 600/min" in str(read("rate", text, "1/min")), text


def test_a_flag_is_one_of_eight_words():
    for text in ("1", "true", "Yes", "ON"):
        assert read("flag", text, default=False) is True
    for text in ("0", "FALSE", "no", "Off"):
        assert read("flag", text, default=True) is False
    for text in ("2", "y", "truee", "perhaps", "none", "-1", " "):
        assert read("flag", text, default=True) == "must be true or false.", text


def test_a_choice_is_a_word_to_the_letter():
    assert read("choice", "b", "a", "b", "c") == "b"
    for text in ("B", " b", "d", "a,b"):
        assert read("choice", text, "a", "b", "c") == "must be one of a, b, c."


def test_words_stand_between_commas():
    assert read("words", " a, b c ,,d,") == ("a", "b c", "d")
    assert read("words", " , ,") == ()


def test_a_file_goes_before_the_variable_and_loses_the_space_around(tmp_path):
    secret = tmp_path / "secret"
    for content, found in ((" from the file\n", "from the file"), ("", None), ("\n", None)):
        secret.write_text(content)
        variables = Environ({"NAME_FILE": str(secret), "NAME": "from the variable"})
        assert variables.text("NAME") == found
        variables.check()


def test_a_file_that_can_not_be_read_is_a_fault_that_does_not_show_what_is_in_it(tmp_path):
    (tmp_path / "foul").write_bytes(b"very secret \xff")
    for path in (tmp_path / "absent", tmp_path, tmp_path / "foul"):
        variables = Environ({"NAME_FILE": str(path)})
        variables.text("NAME")
        with pytest.raises(SettingsError) as raised:
            variables.check()
        assert set(raised.value.faults) == {"NAME_FILE"}
        assert "secret" not in str(raised.value)
