import pytest

from service.errors import BatchTooLarge, InvalidInput, TextTooLong
from service.handlers.texts import check_texts
from service.settings import Settings


def test_a_text_becomes_a_list(settings: Settings) -> None:
    assert check_texts("wind", settings) == ["wind"]
    assert check_texts(["wind"] * 3, settings) == ["wind"] * 3
    assert check_texts("w" * 101, settings) == ["w" * 101]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([], InvalidInput, "the list of texts is empty"),
        (["wind"] * 4, BatchTooLarge, "4 texts in one request; the limit is 3"),
        (["wind", "w" * 102], TextTooLong, "text 1 has 102 characters; the limit is 101"),
    ],
)
def test_limits(settings: Settings, value: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_texts(value, settings)
