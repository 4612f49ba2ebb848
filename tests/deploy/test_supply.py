"""The supply chain: what the image is made of is locked, listed, and may be shipped."""

import json
import re
import subprocess

from tests.deploy.licences import ALLOWED, LOCK, PAGE, ROOT, identifiers, licence, packages, page


def test_every_licence_may_be_shipped() -> None:
    """A package with another licence, or none that it tells, has to be looked at first."""
    told = {name: licence(name) for name in packages()}

    assert len(told) > 40
    assert {} == {n: one for n, one in told.items() if not identifiers(one) <= ALLOWED}


def test_the_page_of_licences_is_that_of_the_lock() -> None:
    """`python -m tests.deploy.licences` writes it."""
    assert page() == PAGE.read_text(encoding="utf-8")


def test_the_bill_of_materials_lists_every_package_with_its_hashes() -> None:
    """Of the image's lock: no more, no fewer, each with a version and at least one hash."""
    subprocess.run(["make", "-s", "sbom"], cwd=ROOT, check=True, capture_output=True, timeout=300)
    bill = json.loads((ROOT / "build" / "sbom.json").read_bytes())
    locked = dict(
        re.findall(r"^([\w.-]+)==([\w.!+-]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    )
    listed = {one["name"]: one["version"] for one in bill["components"]}
    hashes = [one["externalReferences"][0]["hashes"] for one in bill["components"]]

    assert "CycloneDX" == bill["bomFormat"]
    assert locked == listed
    assert all(hashes)
    assert "penjaga" == bill["metadata"]["component"]["name"]


def test_every_package_is_installed_by_its_hash() -> None:
    """In both locks: a name, a version, and hashes; and pip is told to insist on them."""
    for lock in (ROOT / "requirements.lock", LOCK):
        entries = re.split(r"^(?=[\w.-]+==)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)[
            1:
        ]

        assert len(entries) > 40
        assert all("--hash=sha256:" in entry for entry in entries)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert 2 == makefile.count("--require-hashes -r requirements.lock")
    assert makefile.count(" -r ") == makefile.count("--require-hashes -r ")
    assert "--require-hashes" in (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
