"""Limits on the texts of one request that do not depend on the model."""

from service.errors import BatchTooLarge, InvalidInput, TextTooLong
from service.settings import Settings


def check_texts(value: str | list[str], settings: Settings) -> list[str]:
    """Return the texts of a request as a list. Raises InvalidInput, BatchTooLarge or TextTooLong."""
    texts = [value] if isinstance(value, str) else value
    if not texts:
        raise InvalidInput("the list of texts is empty")
    if len(texts) > settings.max_texts:
        raise BatchTooLarge(f"{len(texts)} texts in one request; the limit is {settings.max_texts}")
    for index, text in enumerate(texts):
        if len(text) > settings.max_characters:
            raise TextTooLong(f"text {index} has {len(text)} characters; the limit is {settings.max_characters}")
    return texts
