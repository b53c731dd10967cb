"""The requests of docs/recipes.md, in the form in which each client sends them."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.fakes import doubled, serving


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(models, glossaries=tmp_path_factory.mktemp("glossaries")) as client:
        yield client


def translated_file(client: TestClient, name: str, content: str) -> str:
    """As `curl -F file=@name -F source=en -F target=xx`."""
    answer = client.post(
        "/translate_file", files={"file": (name, content.encode())}, data={"source": "en", "target": "xx"}
    )
    assert answer.status_code == 200, answer.text
    return client.get(answer.json()["translatedFileUrl"]).content.decode()


def test_weblate_with_libretranslate(client: TestClient) -> None:
    """Its machinery reads the languages, and then sends forms (to 4.x) or JSON with a list (5.x)."""
    assert [each["code"] for each in client.get("/languages").json()] == ["en", "xx"]
    body = {"api_key": "", "q": "No rain", "source": "en", "target": "xx"}
    assert client.post("/translate", data=body).json()["translatedText"] == doubled("No rain")
    answer = client.post("/translate", json={**body, "q": ["No rain", "A warm day."]}).json()
    assert answer["translatedText"] == [doubled("No rain"), doubled("A warm day.")]


def test_weblate_with_deepl(client: TestClient) -> None:
    """Its machinery sends placeholders as `<x id="..."></x>`, and stores the terms of a project as a glossary."""
    headers = {"Authorization": "DeepL-Auth-Key any"}
    sides = {}
    for side in ("source", "target"):
        found = client.get("/v2/languages", params={"type": side}, headers=headers)
        sides[side] = {each["language"] for each in found.json()}
    assert "EN" in sides["source"] and "XX" in sides["target"]
    pairs = client.get("/v2/glossary-language-pairs", headers=headers).json()["supported_languages"]
    assert ("en", "xx") in {(each["source_lang"].lower(), each["target_lang"].lower()) for each in pairs}
    made = client.post(
        "/v2/glossaries",
        json={
            **{"name": "weblate:1:en:xx:7", "source_lang": "EN", "target_lang": "XX"},
            **{"entries": "rain\tpluie", "entries_format": "tsv"},
        },
        headers=headers,
    )
    assert made.status_code == 201, made.text
    listed = client.get("/v2/glossaries", headers=headers).json()["glossaries"]
    assert [each["name"] for each in listed] == ["weblate:1:en:xx:7"]
    answer = client.post(
        "/v2/translate",
        json={
            "text": ['No rain <x id="8"></x> and wind', "A day", 'No <x id="3"></x>wind<x id="9"></x> day'],
            **{"source_lang": "EN", "target_lang": "XX"},
            **{"formality": "default", "tag_handling": "xml", "ignore_tags": ["x"]},
            "glossary_id": made.json()["glossary_id"],
        },
        headers=headers,
    )
    assert answer.status_code == 200, answer.text
    first, second, third = (each["text"] for each in answer.json()["translations"])
    assert first.count('<x id="8"></x>') == 1 and "pluie" in first
    assert second == doubled("A day")
    assert third == 'NNoo <x id="3"></x>wwiinndd<x id="9"></x> ddaayy'


DJANGO = r"""# SOME DESCRIPTIVE TITLE.
#, fuzzy
msgid ""
msgstr ""
"Project-Id-Version: PACKAGE VERSION\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Content-Transfer-Encoding: 8bit\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\n"

#: shop/views.py:12
#, python-format
msgid "No rain, %(name)s"
msgstr ""

#: shop/templates/index.html:3
#, python-format
msgid "%(count)s day"
msgid_plural "%(count)s days"
msgstr[0] ""
msgstr[1] ""

#: shop/models.py:7
msgid "wind"
msgstr "vent"
"""


def test_messages_of_django(client: TestClient, tmp_path: Path) -> None:
    """Only empty entries are filled, so that a second call after `makemessages` keeps what people have changed."""
    found = translated_file(client, "django.po", DJANGO)
    assert f'msgstr "{doubled("No rain,")} %(name)s"' in found
    assert 'msgstr[0] "%(count)s ddaayy"\nmsgstr[1] "%(count)s ddaayyss"\n' in found
    assert 'msgid "wind"\nmsgstr "vent"\n' in found
    assert translated_file(client, "django.po", found) == found
    if shutil.which("msgfmt"):  # `compilemessages` runs it
        (tmp_path / "django.po").write_text(found)
        options = ["--check-format", "-o", str(tmp_path / "django.mo"), str(tmp_path / "django.po")]
        subprocess.run(["msgfmt", *options], check=True)


def test_a_page_of_a_static_site(client: TestClient) -> None:
    header = '---\ntitle: "No rain"\ndate: 2026-01-02\n---\n\n'
    page = header + '## A day\n\n{{< figure src="day.png" >}}\n\nNo [wind](/wind/).\n'
    found = translated_file(client, "index.md", page)
    expected = page.replace('"No rain"', f'"{doubled("No rain")}"').replace("A day", doubled("A day"))
    assert found == expected.replace("No [wind](/wind/).", "NNoo [wwiinndd](/wind/)..")


def test_subtitles(client: TestClient) -> None:
    subtitles = "1\n00:00:01,000 --> 00:00:02,500\nNo rain and\nno wind.\n\n2\n00:00:03,000 --> 00:00:04,000\nA day.\n"
    found = translated_file(client, "film.en.srt", subtitles)
    blocks = [block.split("\n", 2) for block in found.strip().split("\n\n")]
    assert [block[1] for block in blocks] == ["00:00:01,000 --> 00:00:02,500", "00:00:03,000 --> 00:00:04,000"]
    assert blocks[0][2].replace("\n", " ") == doubled("No rain and no wind.")
    assert blocks[1][2] == doubled("A day.")


BROWSER = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Origin": "null",
    "Sec-Fetch-Mode": "navigate",
}


def test_the_form_of_a_browser(client: TestClient) -> None:
    """A browser sends line breaks as CR LF, and spaces as plus signs."""
    body = b"q=No+rain%0D%0Ano+wind&source=en&target=xx&format=text&alternatives="
    headers = {**BROWSER, "Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/translate", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["translatedText"] == f"{doubled('No rain')}\r\n{doubled('no wind')}"


def test_the_file_form_of_a_browser(client: TestClient) -> None:
    boundary = "----WebKitFormBoundaryabc"
    fields = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("source", "en"), ("target", "xx"))
    )
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain'
    body = f"{fields}{file}\r\n\r\nNo rain\r\n--{boundary}--\r\n".encode()
    headers = {**BROWSER, "Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = client.post("/translate_file", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert client.get(answer.json()["translatedFileUrl"]).text == doubled("No rain")
