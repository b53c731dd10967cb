from pathlib import Path

import pytest

from service.errors import GlossaryNotFound, InvalidInput
from service.registry import glossaries as module
from service.registry.glossaries import Glossaries, parse_terms, read_tbx

TBX = b"""<?xml version="1.0"?>
<tbx type="TBX-Core" xml:lang="en"><text><body>
  <conceptEntry><langSec xml:lang="en-US"><termSec><term>dog</term></termSec>
    <termSec><term>hound</term></termSec></langSec>
    <langSec xml:lang="fr"><termSec><term>tou<hi>tou</hi></term></termSec></langSec></conceptEntry>
  <termEntry><langSet xml:lang="de"><tig><term>Katze</term></tig></langSet>
    <langSet xml:lang="fr"><tig><term>minette</term></tig></langSet></termEntry>
</body></text></tbx>"""


def test_terms_of_a_pair_and_of_every_pair(tmp_path: Path) -> None:
    store = Glossaries(tmp_path / "new")
    assert store.list() == []
    store.add("it", {"bug": "a", " big  bug ": "b"})
    store.add("it", {"bug": "bogue"}, ("en", "fr"))
    assert store.get("it").terms("en", "fr") == {"bug": "bogue", "big bug": "b"}
    assert store.get("it").terms("en", "de") == {"bug": "a", "big bug": "b"}
    assert store.compiled("it", "en", "fr").occurrences("Bugs")[0].target == "bogue"
    store.remove("it", ("en", "fr"))
    assert store.get("it").terms("en", "fr") == {"bug": "a", "big bug": "b"}
    store.remove("it")
    assert list((tmp_path / "new").iterdir()) == []
    for act in (store.get, store.remove):
        with pytest.raises(GlossaryNotFound, match="no glossary 'it'"):
            act("it")


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    store = Glossaries(tmp_path)
    (tmp_path / "a.tsv").write_text("dog\ttoutou\n", encoding="utf-8")
    (tmp_path / "b.en-fr.csv").write_text('\ufeff"cat","petite ""minette"""\n', encoding="utf-8")
    (tmp_path / "c.tbx").write_bytes(TBX)
    (tmp_path / "notes.txt").write_text("no glossary")
    assert [glossary.name for glossary in store.list()] == ["a", "b", "c"]
    assert store.get("b").terms("en", "fr") == {"cat": 'petite "minette"'}
    assert store.get("c").terms("en", "fr") == {"dog": "toutou"}
    (tmp_path / "a.tsv").write_text("dog\tchien-chien\n", encoding="utf-8")
    assert store.compiled("a", "en", "fr").occurrences("dog")[0].target == "chien-chien"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.tsv", b"dog\n", "line 1 is not a source and a target term"),
        ("a.tsv", b"dog\t \n", "a term of the glossary is empty"),
        ("a.tsv", b"\xff", "can't decode"),
        ("a.csv", b'"dog,x\n', "unexpected end of data"),
        ("a.tbx", b"<tbx>", "no element found"),
        ("a.tbx", b'<!DOCTYPE x [<!ENTITY a "b">]><tbx/>', "it declares an entity"),
        ("a.tsv", b"x" * 1_001, "larger than 1000 bytes"),
    ],
)
def test_a_refused_file_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, reason: str
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1_000)
    (tmp_path / "b.tsv").write_text("dog\ttoutou\n")
    (tmp_path / name).write_bytes(content)
    store = Glossaries(tmp_path)
    assert [glossary.name for glossary in store.list()] == ["b"]
    assert reason in store.refused[name]


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", ".a", "x" * 101])
def test_names_of_files_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a name"):
        Glossaries(tmp_path).add(name, {"a": "b"})


def test_a_glossary_has_terms_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no terms"):
        Glossaries(tmp_path).add("a", {})
    with pytest.raises(InvalidInput, match="no folder"):
        Glossaries(None).add("a", {"a": "b"})
    with pytest.raises(InvalidInput, match="not a pair"):
        Glossaries(tmp_path).add("a", {"a": "b"}, ("en", "../x"))


def test_quotes_are_characters_of_tab_separated_values() -> None:
    assert parse_terms('5" disk\tdisque 5"\n\n', "\t") == {'5" disk': 'disque 5"'}


def test_the_first_term_of_each_language_of_a_concept() -> None:
    assert read_tbx(TBX) == {
        ("en", "fr"): {"dog": "toutou"},
        ("fr", "en"): {"toutou": "dog"},
        ("de", "fr"): {"Katze": "minette"},
        ("fr", "de"): {"minette": "Katze"},
    }
