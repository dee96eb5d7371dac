"""Products against schemas, which come from one folder only."""

import textwrap
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.data.schemas import Schemas

XSD = "xmlns:xs='http://www.w3.org/2001/XMLSchema'"


def schema(body: str, namespace: str = "urn:d") -> str:
    return (
        f"<xs:schema {XSD} targetNamespace='{namespace}' xmlns:d='{namespace}' "
        f"xmlns:b='urn:b'>{textwrap.dedent(body)}</xs:schema>"
    )


ROOT = """
    <xs:import namespace='urn:b' schemaLocation='bas/types.xsd'/>
    <xs:element name='D'><xs:complexType><xs:sequence>
      <xs:element name='Header'><xs:complexType><xs:sequence>
        <xs:element name='ProductId' type='b:id'/>
      </xs:sequence></xs:complexType></xs:element>
      <xs:element name='V' type='xs:int' minOccurs='0' maxOccurs='unbounded'/>
    </xs:sequence></xs:complexType></xs:element>
"""
TYPES = """
    <xs:simpleType name='id'><xs:restriction base='xs:string'>
      <xs:pattern value='[a-z]+'/>
    </xs:restriction></xs:simpleType>
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model" / "bas").mkdir(parents=True)
    (tmp_path / "model" / "d.xsd").write_text(schema(ROOT))
    (tmp_path / "model" / "bas" / "types.xsd").write_text(schema(TYPES, "urn:b"))
    return tmp_path / "model"


def product(folder: Path, data: str, product_id: str = "p") -> Path:
    path = folder.parent / "p.xml"
    path.write_text(
        "<d:D xmlns:d='urn:d' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'\n"
        "  xsi:schemaLocation='urn:d http://127.0.0.1:9/d.xsd'>\n"
        f"<Header><ProductId>{product_id}</ProductId></Header>\n{data}</d:D>"
    )
    return path


def test_a_product_that_is_as_its_schema_wants_has_no_problems(folder: Path) -> None:
    schemas = Schemas(folder)
    assert schemas.problems(product(folder, "<V>1</V>\n" * 50_000)) == ()


def test_what_is_not_as_the_schema_wants_is_told_with_its_line(folder: Path) -> None:
    schemas = Schemas(folder)
    first, *_ = schemas.problems(product(folder, "<V>1</V>\n<V>one</V>"))
    assert first.startswith("line 5: Element 'V'")
    assert "'one' is not a valid value of the atomic type 'xs:int'" in first
    first, *_ = schemas.problems(product(folder, "", "P7"))
    assert first.startswith("line 3: Element 'ProductId'")
    assert "[a-z]+" in first


def test_of_many_problems_the_first_hundred_are_told(folder: Path) -> None:
    assert len(Schemas(folder).problems(product(folder, "<V>one</V>\n" * 1000))) == 100


def test_a_schema_is_compiled_once(folder: Path) -> None:
    schemas = Schemas(folder)
    assert schemas.problems(product(folder, "")) == ()
    (folder / "d.xsd").unlink()
    (folder / "bas" / "types.xsd").unlink()
    assert schemas.problems(product(folder, "")) == ()


def test_a_product_without_a_schema_is_refused(folder: Path) -> None:
    path = folder.parent / "other.xml"
    path.write_text("<E><Header><ProductId>p</ProductId></Header></E>")
    with pytest.raises(InputError, match=r"has the element E of the namespace \(none\)"):
        Schemas(folder).problems(path)


def test_a_product_with_a_doctype_never_comes_to_the_schema(folder: Path) -> None:
    path = folder.parent / "other.xml"
    path.write_text("<!DOCTYPE D SYSTEM 'http://127.0.0.1:9/x'><d:D xmlns:d='urn:d'/>")
    with pytest.raises(InputError, match="has a DOCTYPE"):
        Schemas(folder).problems(path)


IMPORT = "<xs:import namespace='urn:b' schemaLocation='{}'/><xs:element name='D'/>"
LARGE = (
    "<xs:element name='D'><xs:complexType><xs:sequence><xs:element name='V' "
    "maxOccurs='1000000000'/></xs:sequence></xs:complexType></xs:element>"
)
BAD = {
    "http": (IMPORT.format("http://127.0.0.1:9/b.xsd"), "names the schema 'http://127.0.0.1:9/b"),
    "file": (IMPORT.format("file:///etc/b.xsd"), "which is not below"),
    "absolute": (IMPORT.format("/etc/b.xsd"), "which is not below"),
    "a host": (IMPORT.format("//host/b.xsd"), "which is not below"),
    "above": (IMPORT.format("../b.xsd"), "names the schema '../b.xsd', which is not below"),
    "missing": (IMPORT.format("b.xsd"), "names the schema 'b.xsd', which is not there"),
    "blow-up": (
        LARGE,
        "has maxOccurs=1000000000; more than 10,000 is refused",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_schema_that_leads_elsewhere_or_blows_up_is_refused(tmp_path: Path, kind: str) -> None:
    body, reason = BAD[kind]
    (tmp_path / "d.xsd").write_text(schema(body))
    with pytest.raises(SiteError) as refusal:
        Schemas(tmp_path)
    assert refusal.value.message.startswith(f"schema {tmp_path / 'd.xsd'} ")
    assert reason in refusal.value.message


def test_a_schema_with_a_doctype_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.xsd").write_text("<!DOCTYPE x [<!ENTITY a 'b'>]>" + schema("&a;"))
    with pytest.raises(SiteError, match="has a DOCTYPE"):
        Schemas(tmp_path)


def test_a_schema_that_is_none_is_told_when_it_is_needed(folder: Path) -> None:
    (folder / "d.xsd").write_text(schema("<xs:element name='D' type='d:nothing'/>"))
    schemas = Schemas(folder)
    with pytest.raises(SiteError, match=r"d\.xsd cannot be used: .*nothing"):
        schemas.problems(product(folder, ""))


def test_a_folder_without_schemas_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="there is no schema"):
        Schemas(tmp_path)
