from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.forms import MAX_FIELDS, as_fields, parse_multipart, parse_urlencoded
from service.errors import InvalidInput

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = st.sampled_from(["q", "source", "é", "a b"])


@given(st.lists(st.tuples(NAMES, TEXT), max_size=10))
def test_urlencoded(fields: list[tuple[str, str]]) -> None:
    assert parse_urlencoded(urlencode(fields).encode()) == fields


def test_long_values_are_decoded_in_parts() -> None:
    value = "é%+ a" * 20_000
    assert parse_urlencoded(urlencode([("q", value)]).encode()) == [("q", value)]
    assert parse_urlencoded(b"q=%&q=%4&q=%zz&q") == [("q", "%"), ("q", "%4"), ("q", "%zz")]


def multipart(parts: list[bytes], boundary: bytes = b"x") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


@given(st.lists(TEXT.filter(lambda text: "\r\n--x" not in text), max_size=5))
def test_multipart(values: list[str]) -> None:
    head = b'Content-Disposition: form-data; name="q"\r\nContent-Type: text/plain\r\n\r\n'
    body = multipart([head + value.encode() for value in values])
    assert parse_multipart(body, "multipart/form-data; boundary=x") == [("q", value) for value in values]


@pytest.mark.parametrize("content_type", ['multipart/form-data; boundary="a b"', "Multipart/Form-Data; BOUNDARY=x-1"])
def test_boundaries_and_names(content_type: str) -> None:
    boundary = b"a b" if "a b" in content_type else b"x-1"
    parts = [
        b"content-disposition: form-data; name=q\r\n\r\nWind",
        b'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nignored',
        b'Content-Disposition: form-data; filename="b"; name="file"\r\n\r\nignored',
    ]
    assert parse_multipart(multipart(parts, boundary), content_type) == [("q", "Wind")]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=x"),
        (b"--x--", "multipart/form-data"),
        (b"--x--", "multipart/form-data" + ";" * 60_000 + " boundary=x"),
        (multipart([b"\r\nWind"]), "multipart/form-data; boundary=x"),
        (multipart([b"Content-Disposition: form-data\r\n\r\nWind"]), "multipart/form-data; boundary=x"),
        (multipart([b'Content-Disposition: form-data; name="q"']), "multipart/form-data; boundary=x"),
        (multipart([b""] * (MAX_FIELDS + 1)), "multipart/form-data; boundary=x"),
    ],
)
def test_invalid_multipart(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidInput):
        parse_multipart(body, content_type)


def test_empty_and_repeated_fields() -> None:
    pairs = [("q", ""), ("q", "b"), ("alternatives", ""), ("format", "html"), ("q", "c")]
    assert as_fields(pairs, frozenset({"q"})) == {"q": ["", "b", "c"], "format": "html"}
