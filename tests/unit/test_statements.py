from functools import partial

from app.statements import IN_ORDER, Statement

SQL = "SELECT %(b)s::int, %(a)s, %(b)s::int %% 2;"


def test_a_parameter_is_one_value_however_often_it_is_named():
    text = Statement("sum", SQL).prepared((), is_owned=False, is_kept=True)
    prepare, *_settings, execute = text.split("; ")
    assert prepare.endswith(" AS SELECT $1::int, $2, $1::int %% 2")
    assert execute.endswith(" (%(b)s, %(a)s)")


def test_a_name_means_one_text():
    names = [Statement("sum", text).name for text in (SQL, SQL, SQL.replace("2", "3"))]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("parley_sum_")


def test_what_is_known_is_not_prepared_again():
    lock = "SELECT FROM users WHERE email = %(owner)s FOR UPDATE"
    statement = Statement("sum", SQL, before=[lock])
    first, second = Statement("sum", lock).name, statement.name
    known = partial(statement.prepared, is_owned=True, is_kept=True)
    assert known({first}).startswith(f"PREPARE {second} AS ")
    setting, *_others, locking, running = known({first, second}).split("; ")
    assert setting == "SET LOCAL app.user_email = %(app_user_email)s"
    assert locking == f"EXECUTE {first} (%(owner)s)"
    assert running.startswith(f"EXECUTE {second} (")


def test_without_preparing_the_same_commands_follow_each_other():
    plain = Statement("sum", SQL, before=["SELECT 1"], settings=IN_ORDER).plain(is_owned=False)
    *settings, before, sql = plain.split("; ")
    assert settings == ["SET LOCAL enable_seqscan = off", "SET LOCAL enable_bitmapscan = off"]
    assert (before, sql) == ("SELECT 1", SQL.rstrip(";"))


def test_a_plan_is_kept_for_all_values_or_made_for_each():
    statement = Statement("one", "SELECT 1 FROM messages m JOIN conversations c ON true")
    assert statement.tables == {"messages", "conversations"}
    texts = [statement.prepared((), is_owned=True, is_kept=is_kept) for is_kept in (True, False)]
    assert ["force_generic_plan" in text for text in texts] == [True, False]
    assert ["force_custom_plan" in text for text in texts] == [False, True]
