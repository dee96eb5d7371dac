"""Scripts that are not, or not only, Python 3."""

import pytest

from euclid_dask.core.errors import PipelineError
from euclid_dask.dsl import load


@pytest.mark.parametrize(
    "tail",
    [
        "if __name__ == '__main__':\n    print 'graph', 3\n",
        'if __name__=="__main__" :\n\tprint "graph"\n\n# comment\n\tprint "more"\n',
        "if (__name__ == '__main__'):\n    print 'graph'\nelse:\n    seen = True\n",
        "if '__main__' == __name__:\n    print 'graph'\n",
        'if __name__ == \'__main__\':\n    print """\nusage: (\n"""\n    print \'more\'\n',
        "if __name__ == '__main__':\n    build(p, # :-(\na=3)\n    print 'graph'\n",
        "if __name__ == '__main__':\n    print 'it\\'s (', \\\n'graph'\n",
    ],
)
def test_a_tail_of_python_2_is_left_out(loaded, tail):
    pipeline = loaded("@pipeline('u')\ndef p(a):\n    return one(a=a)\n\n" + tail)
    assert pipeline.flow.body.nodes[0].where.endswith("script.py:9")
    assert "the block under if __name__ == '__main__' is no Python 3" in pipeline.notices[0]


def test_what_follows_the_tail_is_not_left_out(refused):
    line, error = refused("if __name__ == '__main__':\n    print '''\n(\n'''\nprint 'x'\n")
    assert (line, error.message.endswith("\n    print 'x'")) == (5, True)


def test_a_tail_of_python_3_does_not_run(loaded):
    pipeline = loaded("""
        @pipeline("u")
        def p(a):
            return one(a=a, b=None)
        if __name__ == "__main__":
            raise SystemExit(3)
    """)
    assert pipeline.notices == ()


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        ("print 'x'", "write print(...)"),
        ("exec 'x = 1'", "write exec(...)"),
        ("raise ValueError, 'x'", 'write raise SomeError("text")'),
        ("x = `3`", "write repr(...)"),
        ("x = 1 <> 2", "write !="),
        ("x = ur'text'", 'write r"..."'),
        ("x = 0755", "write 0o755"),
        ("x = 10L", "without L"),
        ("f = lambda (x, y): x", "unpack tuples"),
    ],
)
def test_other_python_2_is_refused_with_line_and_what_to_write(refused, statement, advice):
    line, error = refused(f"x = 1\n{statement}\n\nif __name__ == '__main__':\n    print x\n")
    assert line == 2
    assert error.message.startswith("this is Python 2, which is not run: ")
    assert error.message.endswith(f"\n    {statement}")
    assert advice in error.hint


def test_an_except_clause_of_python_2_is_refused(refused):
    line, error = refused("try:\n    pass\nexcept ValueError, error:\n    pass\n")
    assert (line, "write except SomeError as error:" in error.hint) == (3, True)


def test_other_syntax_errors_are_told_as_such(refused):
    line, error = refused("def p(:\n    pass\n")
    assert line == 1
    assert error.message.startswith("not valid Python: ")


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        ("import ConfigParser", "this is Python 2; in Python 3 it is 'configparser'"),
        ("name = unicode('x')", "this is Python 2; in Python 3 it is str"),
        ("for i in xrange(3): pass", "in Python 3 it is range"),
        ("{}.has_key(3)", "in Python 3 write key in dictionary"),
        ("outputs_of_it = 3\noutput_of_it + 1", "did you mean 'outputs_of_it'?"),
        ("unheard_of", "import or define 'unheard_of'"),
        ("import os\nos.pat", "did you mean 'path'?"),
        ("(3).unheard_of", "correct this line"),
        ("import sys\nprint >>sys.stderr, 'x'", "in Python 3 write print(..., file=...)"),
    ],
)
def test_names_that_are_not_there_are_told_with_a_hint(refused, statement, advice):
    line, error = refused(statement)
    assert line == statement.count("\n") + 1
    assert advice in error.hint


def test_bytes_that_are_no_text_are_refused(tmp_path):
    script = tmp_path / "script.py"
    script.write_bytes(b"# caf\xe9\n")
    with pytest.raises(PipelineError, match=r"script\.py:1: the file cannot be read as text"):
        load(script)
    script.write_bytes(b"x = '\0'\n")
    with pytest.raises(PipelineError, match=r"null bytes"):
        load(script)


def test_a_file_of_another_encoding_loads_if_it_says_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_bytes(
        b"# -*- coding: latin-1 -*-\n# caf\xe9\nfrom euclid_dask import pipeline\n"
        b"@pipeline('u')\ndef p(a):\n    return a\n"
    )
    assert load(script).name == "p"
