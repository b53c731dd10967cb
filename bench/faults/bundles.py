"""Copies of two bundles, and changed versions of them."""

import json
import shutil
from pathlib import Path

from bench.clients import MODELS
from service.bundle.files import digest
from service.bundle.manifest import MANIFEST


def copies(folder: Path) -> Path:
    """Copy sms-spam and en-fr into a folder."""
    for name in ("sms-spam", "en-fr"):
        shutil.copytree(MODELS / name, folder / name)
    return folder


def new_version(models: Path, version: int) -> None:
    """Add a copy of sms-spam/1 under another version number."""
    staged = models / f".staged-{version}"
    shutil.copytree(models / "sms-spam" / "1", staged)
    change(staged, version=version)
    staged.rename(models / "sms-spam" / str(version))


def change(bundle: Path, **fields: object) -> None:
    """Replace fields of a manifest and update its checksum."""
    content = {**json.loads((bundle / MANIFEST).read_bytes()), **fields}
    content["sha256"] = digest(content)
    (bundle / MANIFEST).write_text(json.dumps(content), encoding="utf-8")
