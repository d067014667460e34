"""Write the bill of materials of an image: ``image_bom.py NAME VERSION TIME OUTPUT < listing``.

The listing is what :data:`LISTING`, a program for the Python within the image, prints there: the packages that are
installed, Python's and Debian's. ``image_bom.py --program`` prints that program. The same listing gives the same file
(CycloneDX 1.6, JSON), which is validated before it is written.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

__all__ = ["LISTING", "bill_of_materials"]

LISTING: Final = """
import json, pathlib, platform
from importlib import metadata
# The license as SPDX writes it; what packages said before there was a field for that is free text of any length.
packages = [{"name": item.name, "version": item.version, "license": item.metadata.get("License-Expression") or "",
             "home": item.metadata.get("Home-page") or ""} for item in metadata.distributions()]
system = platform.freedesktop_os_release()
print(json.dumps({
    "python": packages, "interpreter": platform.python_version(),
    "status": pathlib.Path("/var/lib/dpkg/status").read_text(),
    "system": {"id": system["ID"], "version": system.get("VERSION_ID", "")}}))
"""
#: Of the serial numbers: a document's own is made from what it says.
_NAMESPACE: Final = uuid.UUID("6d5c1f0e-0e1b-5c57-9c8e-5d3d3b0b7a52")


def bill_of_materials(name: str, version: str, created: str, listing: dict[str, Any]) -> str:
    """The document.

    Parameters
    ----------
    name, version
        Of the image.
    created
        Time that the document states, RFC 3339; the image's own, so that it is reproducible.
    listing
        See :data:`LISTING`.

    Raises
    ------
    ValueError
        When the listing holds no packages, or the document does not fit CycloneDX's schema.
    """
    components = [*_python(listing), *_debian(listing)]
    if not listing["python"]:
        raise ValueError("the listing names no packages; was it made by `image_bom.py --program` within the image?")
    bom = Bom(components=components)
    bom.metadata.component = Component(type=ComponentType.CONTAINER, name=name, version=version, bom_ref="image")
    bom.metadata.timestamp = datetime.fromisoformat(created)
    # Everything is the image's own; which package needs which is not said.
    bom.register_dependency(bom.metadata.component, components)
    told = "\n".join(sorted(component.purl.to_string() for component in components if component.purl))
    bom.serial_number = uuid.uuid5(_NAMESPACE, f"{name} {version} {created}\n{told}")
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise ValueError(f"the bill of materials of {name} does not fit CycloneDX 1.6: {wrong}")
    return text + "\n"


def _python(listing: dict[str, Any]) -> Iterator[Component]:
    yield Component(
        name="cpython",
        version=listing["interpreter"],
        type=ComponentType.PLATFORM,
        bom_ref="cpython",
        purl=PackageURL("generic", name="cpython", version=listing["interpreter"]),
    )
    for item in sorted(listing["python"], key=lambda item: (item["name"].lower(), item["version"])):
        url = PackageURL("pypi", name=item["name"], version=item["version"])
        yield Component(
            name=item["name"],
            version=item["version"],
            purl=url,
            bom_ref=url.to_string(),
            licenses=_licenses(item["license"]),
            external_references=[ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(item["home"]))]
            if item["home"].startswith("http")
            else [],
        )


def _licenses(expression: str) -> list[License]:
    return [LicenseFactory().make_from_string(expression)] if expression else []


def _debian(listing: dict[str, Any]) -> Iterator[Component]:
    system = listing["system"]
    paragraphs = (_fields(text) for text in listing["status"].split("\n\n") if text.strip())
    for fields in sorted(paragraphs, key=lambda fields: fields["Package"]):
        if not fields.get("Status", "").endswith(" installed"):
            continue
        url = PackageURL(
            "deb",
            namespace=system["id"],
            name=fields["Package"],
            version=fields["Version"],
            qualifiers={"arch": fields["Architecture"], "distro": f"{system['id']}-{system['version']}"},
        )
        yield Component(name=fields["Package"], version=fields["Version"], purl=url, bom_ref=url.to_string())


def _fields(paragraph: str) -> dict[str, str]:
    lines = (line.partition(": ") for line in paragraph.splitlines() if not line.startswith(" "))
    return {name: value for name, _, value in lines}


def main(arguments: Sequence[str]) -> int:
    """Run the command; see the module."""
    if list(arguments) == ["--program"]:
        sys.stdout.write(LISTING)
        return 0
    if len(arguments) != 4:
        sys.stderr.write("usage: image_bom.py NAME VERSION TIME OUTPUT < listing, or image_bom.py --program\n")
        return 2
    name, version, created, output = arguments
    try:
        text = bill_of_materials(name, version, created, json.load(sys.stdin))
    except ValueError as error:
        sys.stderr.write(f"image_bom: {error}\n")
        return 1
    Path(output).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
