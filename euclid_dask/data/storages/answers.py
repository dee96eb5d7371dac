"""XML that servers answer with: small, and never with a DOCTYPE."""

from xml.etree import ElementTree as ET

from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import StorageError
from euclid_dask.data.storages.exchange import Answer, plain


def tree_of(answer: Answer, url: str) -> ET.Element:
    """Return the root element of an answer.

    Raises:
        StorageError: CONTENT when it is no XML, or declares entities.
    """
    parser = ET.XMLParser(target=_Builder())  # noqa: S314 - _Builder refuses what is dangerous
    try:
        parser.feed(answer.body)
        root: ET.Element = parser.close()
    except (ET.ParseError, ValueError) as error:
        raise StorageError(
            ErrorClass.CONTENT, f"{plain(url)}: the answer is not understood: {error}"
        ) from error
    return root


class _Builder(ET.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it has a DOCTYPE")
