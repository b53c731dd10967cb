"""Changes the version of a bundle, for example to bring an older one back as the highest."""

import shutil
import tempfile
from pathlib import Path

from service.bundle.bundle import verify
from service.bundle.files import VERSION, read_manifest, remove_bundle, write_bundle
from service.bundle.manifest import CARD
from service.errors import BundleNotFound


def renumber(models: Path, name: str, old: int, new: int, keep: bool = False) -> Path:
    """Write `<name>/<old>` as `<name>/<new>` and return its folder. The old version is removed unless `keep`.

    A service that reloads meanwhile sees complete bundles only. Raises ValueError, BundleError or OSError.
    """
    if not VERSION.fullmatch(str(new)):
        raise ValueError(f"{new} is no version: it must be a number from 1 to 999999999")
    source, target = models / name / str(old), models / name / str(new)
    if not source.is_dir():
        raise BundleNotFound(f"there is no {source}")
    if target.exists():
        raise ValueError(f"{target} exists already")
    manifest = read_manifest(source)
    verify(source, manifest)
    staged = Path(tempfile.mkdtemp(dir=target.parent, prefix=".renumber-"))
    try:
        shutil.copytree(source, staged, dirs_exist_ok=True)
        _rename_card(staged / CARD, manifest.name, manifest.version, new)
        write_bundle(target, staged, manifest.model_copy(update={"version": new}))
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    if not keep:
        remove_bundle(source)
    return target


def _rename_card(card: Path, name: str, old: int, new: int) -> None:
    """Replace the version in the title that `training/` writes."""
    if card.is_file():
        text = card.read_text(encoding="utf-8", errors="surrogateescape")
        title = f"# {name}, version {old}\n"
        if text.startswith(title):
            text = f"# {name}, version {new}\n" + text.removeprefix(title)
            card.write_text(text, encoding="utf-8", errors="surrogateescape")
