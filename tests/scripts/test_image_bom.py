"""A bill of materials names what is installed, is reproducible, and refuses a listing that says nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from scripts.image_bom import LISTING, bill_of_materials, main

CREATED = "2026-01-31T12:00:00Z"
STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: GNU C Library
 Version: not this one

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def _listing(**changes: Any) -> dict[str, Any]:
    return {
        "python": [
            {"name": "Zope.Interface", "version": "7.0", "license": "ZPL-2.1", "home": ""},
            {"name": "numpy", "version": "2.4.6", "license": "BSD-3-Clause AND MIT", "home": "https://numpy.org"},
            {"name": "bare", "version": "1", "license": "", "home": "UNKNOWN"},
        ],
        "interpreter": "3.11.2",
        "status": STATUS,
        "system": {"id": "debian", "version": "12"},
        **changes,
    }


def test_it_names_each_package_by_its_address() -> None:
    document = json.loads(bill_of_materials("fraud-scoring", "1.0", CREATED, _listing()))
    assert {component["purl"] for component in document["components"]} == {
        "pkg:generic/cpython@3.11.2",
        "pkg:pypi/zope.interface@7.0",
        "pkg:pypi/numpy@2.4.6",
        "pkg:pypi/bare@1",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12",
    }
    assert document["metadata"]["component"]["name"] == "fraud-scoring"
    assert document["metadata"]["timestamp"].startswith("2026-01-31T12:00:00")


def test_licenses_are_told_as_spdx_writes_them() -> None:
    document = json.loads(bill_of_materials("fraud-scoring", "1.0", CREATED, _listing()))
    licenses = {component["name"]: component.get("licenses") for component in document["components"]}
    assert licenses["Zope.Interface"] == [{"license": {"id": "ZPL-2.1"}}]
    assert licenses["numpy"] == [{"expression": "BSD-3-Clause AND MIT"}]
    assert licenses["bare"] is None


def test_the_same_packages_give_the_same_bytes() -> None:
    first = bill_of_materials("fraud-scoring", "1.0", CREATED, _listing())
    turned = _listing(python=_listing()["python"][::-1])
    assert bill_of_materials("fraud-scoring", "1.0", CREATED, turned) == first
    others = _listing(interpreter="3.11.9")
    other = json.loads(bill_of_materials("fraud-scoring", "1.0", CREATED, others))
    assert other["serialNumber"] != json.loads(first)["serialNumber"]


def test_a_listing_without_packages_is_refused() -> None:
    with pytest.raises(ValueError, match="names no packages"):
        bill_of_materials("fraud-scoring", "1.0", CREATED, _listing(python=[]))


def test_the_listing_is_what_this_python_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = LISTING
    if not Path("/var/lib/dpkg/status").is_file():
        (tmp_path / "status").write_text(STATUS)
        program = LISTING.replace("/var/lib/dpkg/status", str(tmp_path / "status"))
    listed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (tmp_path / "listing").write_text(listed.stdout)
    with (tmp_path / "listing").open() as listing:
        monkeypatch.setattr("sys.stdin", listing)
        assert main(["fraud-scoring", "1.0", CREATED, str(tmp_path / "bom.json")]) == 0
    components = json.loads((tmp_path / "bom.json").read_text())["components"]
    assert f"pkg:pypi/numpy@{metadata.version('numpy')}" in {component.get("purl") for component in components}


@pytest.mark.parametrize("arguments", [[], ["fraud-scoring", "1.0", CREATED], ["--help"]])
def test_wrong_arguments_are_told_how_it_is_called(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_the_program_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--program"]) == 0
    assert capsys.readouterr().out == LISTING
