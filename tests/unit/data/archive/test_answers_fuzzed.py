"""Answers and texts of any bytes: what is said to be wrong is one of our errors, nothing else."""

import contextlib
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from euclid_dask.core.errors import EuclidDaskError, InputError
from euclid_dask.data.archive.conditions import conditions, url_conditions
from euclid_dask.data.archive.documents import split_documents
from euclid_dask.data.archive.ingestion import parse_response
from euclid_dask.data.archive.metadata import parse_job, parse_table
from euclid_dask.data.archive.ppo import parse_order
from euclid_dask.data.archive.session import refuse_odd
from euclid_dask.data.storages.exchange import Answer
from euclid_dask.data.xmlstream import XmlError

URL = "https://eas.example/REST?secret=1"
WORDS = st.sampled_from(
    ["<a>", "</a>", "<a/>", "\n", '"', ",", "x", "&&", "&", "Header.X", "==", "like ", "'", "{",
     "}", "'url'", ":", "[", "(", "<?xml version='1.0'?>", "<!DOCTYPE a>", "<!--", "-->", "]]>",
     "<Id>1</Id>", "<ProcessingStatus>NEW</ProcessingStatus>", "<PortName>p</PortName>", "\0",
     "<methodResponse>", "<params><param><value>", "é", "\ud7ff", "<int>9</int>", "-" * 50]
)  # fmt: skip
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.one_of(st.lists(WORDS, max_size=12).map("".join), st.text(CHARACTERS, max_size=40))
BODIES = st.one_of(TEXTS.map(str.encode), st.binary(max_size=60))


@settings(max_examples=300, deadline=None)
@given(BODIES)
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    answer = Answer(status=200, headers={}, body=body)
    for read in (
        lambda: refuse_odd(answer, URL),
        lambda: parse_table(answer, 1, URL),
        lambda: parse_job(answer, URL),
        lambda: parse_response(body, URL),
    ):
        try:
            read()
        except EuclidDaskError as error:
            assert "secret" not in str(error)  # noqa: PT017  most answers raise, but not all
    with contextlib.suppress(XmlError):
        list(split_documents(body))


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_any_text_of_a_query_is_sent_as_it_is_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        sent = url_conditions(text)
        assert sent.isascii()
        assert "#" not in sent
        assert " " not in sent
        assert [unquote(one) for one in sent.split("&&") if one] == conditions(text)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_any_order_is_read_or_refused(text: str) -> None:
    try:
        root = ET.fromstring(f"<PPO>{text}</PPO>")
    except ET.ParseError:
        return
    with contextlib.suppress(InputError):
        parse_order(root)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["<a/>", "<a x='>'>é</a>", "<b><c/>\n\n</b>",
                                 "<?xml version='1.0'?>\n<a>&amp;</a>"])))  # fmt: skip
def test_documents_come_as_they_were_sent(documents: list[str]) -> None:
    body = "\n\n".join(documents).encode()

    assert [one.decode() for one in split_documents(body)] == documents
