"""The limits on one request that do not depend on the model."""

from service.errors import BatchTooLarge, InvalidInput, TextTooLong
from service.settings import Settings


def check_texts(field: str, value: str | list[str], settings: Settings) -> list[str]:
    """The texts of a request as a list. Raises InvalidInput, BatchTooLarge or TextTooLong."""
    texts = [value] if isinstance(value, str) else value
    if not texts:
        raise InvalidInput(f"{field}: the list is empty")
    if len(texts) > settings.max_texts:
        raise BatchTooLarge(f"{field}: {len(texts)} texts in one request, at most {settings.max_texts} are taken")
    for index, text in enumerate(texts):
        if len(text) > settings.max_characters:
            raise TextTooLong(
                f"text {index} has {len(text)} characters, at most {settings.max_characters} are taken at once"
            )
    return texts
