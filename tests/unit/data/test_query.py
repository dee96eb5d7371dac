from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.errors import InputError
from euclid_dask.data.query import All, Any, Condition, Not, Operator, Query, parse_query, paths


def equal(path: str, text: str, number: float | None = None) -> Condition:
    return Condition(path=path, operator=Operator.EQUAL, text=text, number=number)


VALID = Not(part=equal("Header.ManualValidationStatus", "INVALID"))
RELEASE = equal("Header.DataSetRelease", "SC8_MAIN_V0")
HEAD = (
    'Header.ManualValidationStatus.ManualValidationStatus!="INVALID"'
    "&&Header.DataSetRelease=SC8_MAIN_V0"
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (HEAD, (VALID, RELEASE)),
        (
            f"{HEAD}&&Data.TileIndex==90346",
            (VALID, RELEASE, equal("Data.TileIndex", "90346", 90346)),
        ),
        (
            f"{HEAD}&&Data.ObservationId==10351",
            (VALID, RELEASE, equal("Data.ObservationId", "10351", 10351)),
        ),
        (
            f"{HEAD}&&Data.ObservationSequence.ObservationId==10351",
            (VALID, RELEASE, equal("Data.ObservationSequence.ObservationId", "10351", 10351)),
        ),
    ],
)
def test_the_texts_of_the_archives_clients_are_read(text: str, parts: tuple) -> None:
    assert parse_query(text, "DpdX") == Query(type="DpdX", where=All(parts=parts))


def test_a_text_names_its_type_or_not() -> None:
    assert parse_query("DpdVisRawFrame") == Query(type="DpdVisRawFrame")
    assert parse_query(" DpdVisRawFrame where Data.X == 1", "Other") == Query(
        type="DpdVisRawFrame", where=equal("Data.X", "1", 1)
    )
    assert parse_query("", "Other") == Query(type="Other")
    with pytest.raises(InputError, match="empty"):
        parse_query(" ")


def test_and_binds_more_than_or_and_not_most() -> None:
    query = parse_query("not Data.A == 1 and Data.B == 2 or (Data.C == 3 || !(Data.D == 4))")
    assert query.where == Any(
        parts=(
            All(parts=(Not(part=equal("Data.A", "1", 1)), equal("Data.B", "2", 2))),
            Any(parts=(equal("Data.C", "3", 3), Not(part=equal("Data.D", "4", 4)))),
        )
    )
    assert paths(query.where) == {"Data.A", "Data.B", "Data.C", "Data.D"}


@pytest.mark.parametrize(
    ("text", "operator", "value", "number"),
    [
        ("Data.X = a.b-c:d", Operator.EQUAL, "a.b-c:d", None),
        ("Data.X = '1 & (2'", Operator.EQUAL, "1 & (2", None),
        ('Data.X == "1"', Operator.EQUAL, "1", None),
        ("Data.X == ''", Operator.EQUAL, "", None),
        ("Data.X <= -1.5e3", Operator.LESS_EQUAL, "-1.5e3", -1500.0),
        ("Data.X > nan", Operator.GREATER, "nan", None),
        ("Data.X == inf", Operator.EQUAL, "inf", None),
        ("Data.X LIKE *x*", Operator.LIKE, "*x*", None),
        ("Data.X >= dt(2020,7,7, 15,18,11)", Operator.GREATER_EQUAL, "2020-07-07T15:18:11", None),
        ("Data.X < 2020-07-07T15:18:11.3Z", Operator.LESS, "2020-07-07T15:18:11.3Z", None),
    ],
)
def test_a_value_is_a_text_and_perhaps_a_number(
    text: str, operator: Operator, value: str, number: float | None
) -> None:
    expected = Condition(path="Data.X", operator=operator, text=value, number=number)
    assert parse_query(text).where == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Data.X", "one of == != .* at its end"),
        ("Data.X ==", "a value, .* at its end"),
        ("Data.X == 1 Data.Y == 2", "'and' or 'or' at 'Data.Y == 2'"),
        ("Data.X == 1 &&", "a path, .* at its end"),
        ("(Data.X == 1", r"'\)' at its end"),
        ("DpdX where", "a path"),
        ("DpdX where X == 1", "a path, .* at 'X == 1'"),
        ("Data.X == dt(2020,13,1,0,0,0)", "is no date"),
        ("Data.X == dt()", "is no date"),
        ("spatial_query=INTERSECT(CIRCLE(1,2,3))", "places on the sky"),
        ("(" * 60 + "Data.X == 1" + ")" * 60, "nested more than"),
        ("Data.X == " + "x" * 20_000, "more than 10000 characters"),
        ("Data.X == 1; DROP TABLE files", "'and' or 'or' at "),
    ],
)
def test_what_is_no_query_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_query(text)


@given(st.text(alphabet="Data.X=!<>&|()'\" 1*notandlikewhere\n\\é", max_size=60))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    with suppress(InputError):
        assert isinstance(parse_query(text, "DpdX"), Query)
