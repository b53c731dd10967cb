import codecs
from pathlib import Path

import pytest

from service.errors import InvalidInput, MemoryNotFound
from service.registry import memories as module
from service.registry import tmx
from service.registry.memories import Memories
from service.registry.tmx import read_tmx

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en" adminlang="en" segtype="sentence"><prop type="x">no text</prop></header><body>
  <tu tuid="1"><note>no text</note>
    <tuv xml:lang="en-US"><seg>Open <bpt i="1">&lt;b&gt;</bpt>{0}<ept i="1">&lt;/b&gt;</ept> &amp; <![CDATA[<x>]]></seg>
    </tuv>
    <tuv xml:lang="fr_FR"><seg>Ouvrir <ph>{0}</ph></seg></tuv>
    <tuv lang="DE"><seg>Öffnen</seg></tuv></tu>
  <tu><tuv xml:lang="en"><seg>alone</seg></tuv></tu>
  <tu><tuv xml:lang="en"><seg>empty</seg></tuv><tuv xml:lang="fr"><seg> </seg></tuv></tu>
</body></tmx>
"""


def unit(source: str, target: str) -> str:
    return f'<tu><tuv xml:lang="en"><seg>{source}</seg></tuv><tuv xml:lang="fr"><seg>{target}</seg></tuv></tu>'


def memory(*pairs: tuple[str, str]) -> bytes:
    return f'<tmx version="1.4"><body>{"".join(unit(*pair) for pair in pairs)}</body></tmx>'.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_units(encoding: str) -> None:
    expected = {"en": "Open <b>{0}</b> & <x>", "fr": "Ouvrir {0}", "de": "Öffnen"}
    assert read_tmx(TMX.encode(encoding)) == [expected]


def test_windows_line_breaks() -> None:
    assert read_tmx(memory(("a\r\nb", "c"))) == [{"en": "a\nb", "fr": "c"}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<tmx>", "not valid XML"),
        (b"<tbx/>", "not a TMX file"),
        (b'<!DOCTYPE tmx [<!ENTITY a "b">]><tmx/>', "entities"),
        (codecs.BOM_UTF8 + memory(("a", "b"), ("c", "d"), ("e", "f")), "more than 2 units"),
        (b"x" * 1_001, "larger than 1000 bytes"),
    ],
)
def test_a_refused_file_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1_000)
    monkeypatch.setattr(tmx, "MAX_UNITS", 2)
    (tmp_path / "a.tmx").write_bytes(content)
    (tmp_path / "b.tmx").write_bytes(memory(("dog", "toutou")))
    store = Memories(tmp_path)
    assert [each.name for each in store.list()] == ["b"]
    assert reason in store.refused["a.tmx"]
    (tmp_path / "a.tmx").write_bytes(memory(("cat", "minette")))
    assert [each.name for each in store.list()] == ["a", "b"]
    assert store.refused == {}


def test_files_are_read_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def observed(content: bytes) -> list[tmx.Unit]:
        read.append(content.decode())
        return read_tmx(content)

    monkeypatch.setattr(module, "read_tmx", observed)
    store = Memories(tmp_path / "new")
    assert store.list() == []
    assert store.add("ui", memory(("dog", "chien"), ("Dog", "toutou"))).sizes() == {("en", "fr"): 2, ("fr", "en"): 2}
    store.add("other", memory(("cat", "chat")))
    found = store.compiled("ui", "en", "fr")
    assert found is store.compiled("ui", "en", "fr")
    match = found.find("dog", 1)
    assert match is not None and match.target == "toutou"  # the last of the same sources
    before = len(read)
    (tmp_path / "new" / "ui.tmx").write_bytes(memory(("dog", "clebs!")))
    match = store.compiled("ui", "en", "fr").find("dog", 1)
    assert match is not None and match.target == "clebs!"
    assert len(read) == before + 1  # the other file has not changed
    store.remove("ui")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["other.tmx"]
    for act in (store.get, store.remove):
        with pytest.raises(MemoryNotFound, match="no memory 'ui'"):
            act("ui")


def test_refused_additions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Memories(tmp_path)
    with pytest.raises(InvalidInput, match="is not a name"):
        store.add("../x", memory(("a", "b")))
    with pytest.raises(InvalidInput, match="no unit"):
        store.add("a", b"<tmx/>")
    with pytest.raises(InvalidInput, match="no folder"):
        Memories(None).add("a", memory(("a", "b")))
    monkeypatch.setattr(module, "MAX_GLOSSARIES", 1)
    store.add("a", memory(("a", "b")))
    store.add("a", memory(("a", "c")))
    with pytest.raises(InvalidInput, match="there are 1 memories"):
        store.add("b", memory(("a", "b")))
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tmx"]
