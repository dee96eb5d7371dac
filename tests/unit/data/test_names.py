"""Names that files can have, paths in storages, and how URLs spell them."""

import posixpath
import string
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from euclid_dask.core.errors import InputError
from euclid_dask.data.names import check_name, name_problem, quoted, relative

BAD_NAMES = {
    "": "is empty",
    "/etc/passwd": "has '/': it is a path, not a name",
    "../x": "has '/': it is a path, not a name",
    "data/../x": "has '/': it is a path, not a name",
    "data//etc/passwd": "has '/': it is a path, not a name",
    "a/b": "has '/': it is a path, not a name",
    ".": "begins with '.', as hidden files and folders do",
    "..": "begins with '.', as hidden files and folders do",
    ".hidden": "begins with '.', as hidden files and folders do",
    ".eufas-storage": "begins with '.', as hidden files and folders do",
    ".x.part-1-1": "begins with '.', as hidden files and folders do",
    "x.part-1-1": "is that of a part of a file under way",
    "x.part-7-a": "is that of a part of a file under way",
    "-rf": "begins with '-', as options do",
    "+x": "begins with '+'",
    "a\0b": "has a NUL character",
    "a\nb": "has a line break",
    "a\rb": "has a line break",
    "a.fits\n": "has a line break",
    "a\tb": "has a tab",
    "a b": "has a blank",
    " a": "begins with a blank",
    "a\x7fb": "has U+007F (no character)",
    "a;b": "has ';'",
    "$(id)": "begins with '$'",
    "a$(id)": "has '$'",
    "a`id`": "has '`'",
    "a'b": "has '''",
    'a"b': "has '\"'",
    "a|b": "has '|'",
    "a&b": "has '&'",
    "a*b": "has '*'",
    "x?y=1": "has '?'",
    "a#b": "has '#'",
    "a\\b": "has '\\'",
    "C:\\x": "has '\\'",
    "\\\\host\\share": "begins with '\\'",
    "file:///etc/passwd": "has '/': it is a URL, not a name",
    "http://host/x": "has '/': it is a URL, not a name",
    "https://u:p@h": "has '/': it is a URL, not a name",
    "x" * 201: "is longer than 200 bytes",
    "é" * 101: "is longer than 200 bytes",
    "caf\u00e9": "has U+00E9 (LATIN SMALL LETTER E WITH ACUTE)",
    "cafe\u0301": "has U+0301 (COMBINING ACUTE ACCENT)",
    "a\u202estif": "has U+202E (RIGHT-TO-LEFT OVERRIDE)",
    "\uff21.fits": "begins with U+FF21 (FULLWIDTH LATIN CAPITAL LETTER A)",
    "\ufeffa": "begins with U+FEFF (ZERO WIDTH NO-BREAK SPACE)",
    "a\udc80": "has U+DC80 (no character)",
    "NUL": "stands for no file",
    "none": "stands for no file",
    "None": "stands for no file",
    "null": "stands for no file",
    "%2e%2e%2f": "begins with '%'",
    "x%2fy": "has '%'",
    "a\u2044b": "has U+2044 (FRACTION SLASH)",
    "a\u0660": "has U+0660 (ARABIC-INDIC DIGIT ZERO)",
}

GOOD_NAMES = [
    "EUC_VIS_RAW_W-91100-2_20200707T151811Z.fits",
    "EUC_SHE_CTE_AUX_20190101T12:00:00.0Z_01.00.fits.gz",
    "raw_20140207.fits",
    "x",
    "_x",
    "7",
    "x.part",
    "x.part-1-1.fits",
    "nonet",
    "x" * 200,
    "DpdVisRawFrame__a:b+c=d,e@f.xml",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_bad_name_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(InputError) as refusal:
        check_name(name)
    assert refusal.value.message.endswith(BAD_NAMES[name])
    assert refusal.value.message.isascii()
    assert refusal.value.message.isprintable()


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_name_of_euclid_is_taken_as_it_is(name: str) -> None:
    assert check_name(name) == name


def test_the_message_of_a_long_name_is_short() -> None:
    with pytest.raises(InputError) as refusal:
        check_name("x" * 1_000_000)
    assert len(refusal.value.message) < 200


BAD_PATHS = {
    "": "is empty",
    "/a": "is absolute",
    "//host/a": "is absolute",
    "..": "has the step '..'",
    "a/../../b": "has the step '..'",
    "a/./b": "has the step '.'",
    "a//b": "has an empty step ('//', or '/' at its end)",
    "a/": "has an empty step ('//', or '/' at its end)",
    "a/ ..": "has the step ' ..', with a blank at an end",
    "a\0b": "has a NUL character",
    "a/b\n": "has a line break",
    "a\\..\\b": "has '\\'",
    "a/%2e%2e/b": "has '%2e', which some servers take for another letter",
    "a/%2Fb": "has '%2F', which some servers take for another letter",
    "a/\u202eb": "has U+202E (RIGHT-TO-LEFT OVERRIDE)",
    "a/\u2028b": "has U+2028 (LINE SEPARATOR)",
    "a/\udcffb": "has U+DCFF (no character)",
    "a/" + "x" * 256: "has a step that is longer than 255 bytes",
    "/".join(["x" * 200] * 20): "is longer than 4000 bytes",
}


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_a_path_that_may_lead_elsewhere_is_refused_with_its_reason(path: str) -> None:
    with pytest.raises(InputError) as refusal:
        relative(path)
    assert refusal.value.message.endswith(BAD_PATHS[path])


@pytest.mark.parametrize("path", ["a", "a/b c/d.fits", "caf\u00e9/x", ".euclid-dask/a", "a/100%"])
def test_paths_of_others_are_taken_as_they_are(path: str) -> None:
    assert relative(path) == path


LETTERS = st.one_of(
    st.sampled_from([*"/.\\%:?#@ \n\0-", "..", "//", "%2e", "%2F", "\u2044", "\u202e", "\uff0e"]),
    st.sampled_from(string.ascii_letters + string.digits),
    st.characters(codec=None),
)
TEXTS = st.lists(LETTERS, max_size=12).map("".join)


@given(TEXTS)
@example("a/..")
def test_no_path_that_is_taken_leaves_the_root(path: str) -> None:
    try:
        relative(path)
    except InputError:
        return
    joined = posixpath.normpath(posixpath.join("/root", path))
    assert joined == f"/root/{path}"


@given(TEXTS)
def test_a_quoted_path_is_one_path_of_a_url_and_no_more(path: str) -> None:
    try:
        text = quoted(path)
    except InputError:
        return
    url = urlsplit(f"sftp://host/root/{text}")
    assert (url.query, url.fragment, url.netloc) == ("", "", "host")
    assert unquote(url.path) == f"/root/{path}"
    once = posixpath.normpath(unquote(url.path))
    assert once.startswith("/root/")
    assert posixpath.normpath(unquote(once)).startswith("/root/")  # a server that unquotes twice


@given(TEXTS)
def test_a_name_is_a_path_of_one_step_that_no_shell_or_url_reads_otherwise(name: str) -> None:
    if name_problem(name):
        return
    assert relative(name) == name
    assert "/" not in name
    assert name.isascii()
    assert not set(name) & set(" \t\n;&|<>$`\"'\\*?#%!(){}[]~^")
    assert name[0] not in "-."


@given(st.binary(max_size=30))
def test_any_bytes_are_taken_or_refused(content: bytes) -> None:
    name = content.decode("utf-8", "surrogateescape")
    try:
        check_name(name)
        relative(name)
    except InputError as refusal:
        told = str(refusal)
    else:
        told = name
    assert told.isascii()
