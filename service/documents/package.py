"""Packages: documents that are ZIP archives of parts (Office Open XML, OpenDocument, EPUB).

Parts with text are documents of their own. All other parts keep their content, order, date and compression.
"""

import io
import zipfile
import zlib
from collections.abc import Callable, Sequence

from service.batching import budget
from service.documents.document import Document
from service.errors import InvalidInput, PayloadTooLarge

MAX_PARTS = 5_000
"""Maximum parts of a package."""
MAX_UNPACKED_BYTES = 100_000_000
"""Maximum size of all parts together, unpacked."""
COMPOUND_FILE = bytes.fromhex("d0cf11e0a1b11ae1")
"""First bytes of files of older formats, and of encrypted files."""
DIRECTORY_ENTRY = b"PK\x01\x02"

PartReader = Callable[[bytes], Document]


def read_package(content: bytes, reader_of: Callable[[str], PartReader | None]) -> Document:
    """The document of the parts for which `reader_of` has a reader, in the order of the archive.

    Raises InvalidInput for a damaged or encrypted archive, or one without such a part, and PayloadTooLarge over a
    limit.
    """
    archive = open_archive(content)
    parts: list[tuple[str, Document]] = []
    for info in archive.infolist():
        budget.check()
        reader = reader_of(info.filename)
        if reader is not None:
            parts.append((info.filename, reader(read_part(archive, info))))
    if not parts:
        raise InvalidInput("the document has no part with text: it is damaged or of another format")

    def write(translations: Sequence[str]) -> bytes:
        replaced, start = {}, 0
        for name, document in parts:
            end = start + len(document.segments)
            replaced[name] = document.write(translations[start:end])
            start = end
        return _pack(archive, replaced)

    return Document([segment for _, document in parts for segment in document.segments], write)


def open_archive(content: bytes) -> zipfile.ZipFile:
    """Open a ZIP archive in memory. Raises InvalidInput or PayloadTooLarge."""
    # An archive in an archive that is stored without compression has entries too, so the bound is not exact.
    if content.count(DIRECTORY_ENTRY) > 2 * MAX_PARTS:
        raise PayloadTooLarge(f"the document has more than {MAX_PARTS} parts")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        if content.startswith(COMPOUND_FILE):
            raise InvalidInput("the document is encrypted, or of an older format (doc, xls, ppt)") from None
        raise InvalidInput("the file is not a valid document: it is no ZIP archive") from None
    infos = archive.infolist()
    if len(infos) > MAX_PARTS:
        raise PayloadTooLarge(f"the document has {len(infos)} parts; the limit is {MAX_PARTS}")
    size = sum(info.file_size for info in infos)
    if size > MAX_UNPACKED_BYTES:
        raise PayloadTooLarge(f"the document has {size} bytes unpacked; the limit is {MAX_UNPACKED_BYTES}")
    if len({info.filename for info in infos}) < len(infos):
        raise InvalidInput("the document has two parts of the same name")
    return archive


def read_part(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The content of a part, at most its declared size. Raises InvalidInput."""
    if info.flag_bits & 1:
        raise InvalidInput("the document is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidInput("the document has a part with an unknown compression")
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError):
        raise InvalidInput("the document is damaged: a part cannot be unpacked") from None


def _pack(archive: zipfile.ZipFile, replaced: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        target.comment = archive.comment
        for info in archive.infolist():
            budget.check()
            copy = zipfile.ZipInfo(info.filename, info.date_time)
            copy.compress_type, copy.external_attr, copy.create_system = (
                info.compress_type,
                info.external_attr,
                info.create_system,
            )
            content = replaced.get(info.filename)
            target.writestr(copy, read_part(archive, info) if content is None else content)
    return packed.getvalue()
