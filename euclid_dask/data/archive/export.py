"""What is told to the archive in its own XML: where files are, and which are to be copied where.

The words are those of the public schemas of 2014, which have no zones: a location is told as one
zone reaches it.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.model import File
from euclid_dask.data.names import check_name, quoted
from euclid_dask.data.resolve import Location

_DSS: Final = "http://euclid.esa.org/schema/sys/dss"
_ORC: Final = "http://euclid.esa.org/schema/sys/orc"
_METHODS: Final = {"adler32": "Adler32", "md5": "MD5", "sha256": "SHA-256"}
_PROTOCOLS: Final = {"dav": "http", "davs": "https", "dss": "https", "ftps": "ftp"}
_KNOWN: Final = frozenset({"http", "https", "ftp", "sftp", "file"})
_PORTS: Final = {"http": 80, "https": 443, "ftp": 21, "sftp": 22}


def locations_xml(files: Iterable[tuple[File, Sequence[Location]]], sdc: str) -> bytes:
    """Return where files are, as `DataContainerStorage` of the archive.

    Args:
        files: Each with the places at which one zone reaches it, the best first.
        sdc: The science data centre, as `SDC-CH`.

    Raises:
        InputError: A place has a scheme that the archive's schema does not know, as `s3`.
    """
    ET.register_namespace("dss", _DSS)
    root = ET.Element(f"{{{_DSS}}}DataContainerStorages")
    for file, places in files:
        container = ET.SubElement(root, "DataContainerStorage")
        _add(container, "Filename", check_name(file.name))
        for one in file.checksums:
            if one.algorithm in _METHODS:
                checksum = _add(container, "CheckSum", one.value)
                checksum.set("method", _METHODS[one.algorithm])
        for place in places:
            _add_location(container, place, sdc)
    return _written(root)


class DistributionOrder(Value, frozen=True, kw_only=True):
    """A wish that the archive copies files to a science data centre (DDO)."""

    order_id: str
    """A new id; those of its copy jobs are made of it."""
    target_sdc: str
    """Where to, as `SDC-CH`."""
    names: tuple[str, ...]
    """The files."""
    purpose: str = "TEST"
    parent_type: str = "TEST"
    """What asks for it."""
    parent_id: str = "1"


def distribution_xml(order: DistributionOrder) -> bytes:
    """Return a distribution order in the archive's XML.

    Raises:
        InputError: There is no file, or one cannot be.
    """
    if not order.names:
        raise InputError("a distribution order without files asks for nothing")
    ET.register_namespace("orc", _ORC)
    root = ET.Element(f"{{{_ORC}}}DDO")
    _add(root, "Id", order.order_id)
    _add(root, "ParentType", order.parent_type)
    _add(root, "ParentID", order.parent_id)
    _add(root, "TargetSDC", order.target_sdc)
    _add(root, "Purpose", order.purpose)
    _add(root, "ProcessingState", "NEW")
    for number, name in enumerate(dict.fromkeys(order.names), 1):
        job = ET.SubElement(root, "FileCopyJobRef")
        _add(job, "Id", f"{order.order_id}-FCJR-{number}")
        _add(job, "FileCopyJobStatus", "NEW")
        _add(job, "DataFileName", check_name(name))
    return _written(root)


def _add_location(container: ET.Element, place: Location, sdc: str) -> None:
    url = urlsplit(place.url)
    protocol = _PROTOCOLS.get(url.scheme, url.scheme)
    if protocol not in _KNOWN:
        raise InputError(f"{place.url}: the archive's schema knows no {url.scheme}://")
    location = ET.SubElement(container, "Location")
    path, address = place.path, place.url
    if url.scheme == "dss":  # which knows names only
        path = path.rpartition("/")[2]
        address = f"{place.access.root.replace('dss', 'https', 1)}/{quoted(path)}"
    _add(location, "Path", path)
    _add(location, "URL", address)
    node = ET.SubElement(location, "StorageNode")
    _add(node, "Protocol", protocol)
    _add(node, "Domain", url.hostname or "")
    if port := url.port or _PORTS.get(protocol):
        _add(node, "Port", str(port))
    _add(node, "BasePath", unquote(urlsplit(place.access.root).path) or "/")
    _add(node, "Sdc", sdc)
    _add(location, "FileStatus", "COMMITTED")


def _add(parent: ET.Element, name: str, text: str) -> ET.Element:
    element = ET.SubElement(parent, name)
    element.text = text
    return element


def _written(root: ET.Element) -> bytes:
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"
