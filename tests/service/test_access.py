import re
import time

import pytest

from service.access import Access, new_key, parse_keys, parse_rate, same_token
from service.errors import Forbidden, RateLimited, Unauthorized

KEY, LINE = new_key("alice")
OTHER, OTHER_LINE = new_key("bob")


def test_an_entry_holds_the_hash_of_a_key() -> None:
    assert KEY not in LINE
    assert list(parse_keys(LINE).values()) == ["alice"]
    assert len(KEY) >= 43 and new_key("alice")[0] != KEY


def test_entries() -> None:
    listed = f"# callers\n{LINE}  # until May\n\n  {OTHER_LINE}\n"
    assert sorted(parse_keys(listed).values()) == ["alice", "bob"]
    assert parse_keys("") == {}


@pytest.mark.parametrize(
    "line",
    ["alice", "alice:", f"alice:{KEY}", f":{'0' * 64}", f"alice:{'0' * 63}", "a b:c"],
    ids=["no digest", "empty digest", "a key", "no name", "short digest", "two words"],
)
def test_invalid_entries(line: str) -> None:
    with pytest.raises(ValueError, match="line 2: not of the form") as caught:
        parse_keys(f"{LINE}\n{line}")
    assert KEY not in str(caught.value)  # the entry may be a key


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nb"])
def test_invalid_names(name: str) -> None:
    with pytest.raises(ValueError):
        new_key(name)


def test_keys() -> None:
    access = Access(parse_keys(f"{LINE} {OTHER_LINE}"), None)
    access.admit(KEY, "")
    assert (access.name(KEY), access.name(OTHER)) == ("alice", "bob")
    for nothing in (None, ""):
        with pytest.raises(Unauthorized, match="an API key is needed"):
            access.admit(nothing, "")
    for wrong in (KEY[:-1], KEY + "x", KEY.swapcase(), "é", LINE.split(":")[1]):
        with pytest.raises(Forbidden, match="Invalid API key"):
            access.admit(wrong, "")


def test_without_keys_every_caller_is_admitted() -> None:
    access = Access({}, None)
    assert not access.keyed
    for _ in range(101):
        access.admit("whatever", "::1")


@pytest.mark.parametrize(
    ("keys", "first", "second"),
    [("", (None, "::1"), (None, "::2")), (f"{LINE} {OTHER_LINE}", (KEY, "::1"), (OTHER, "::1"))],
    ids=["by address", "by key"],
)
def test_rates(keys: str, first: tuple[str | None, str], second: tuple[str | None, str]) -> None:
    access = Access(parse_keys(keys), "3/minute")
    for _ in range(3):
        access.admit(*first)
    with pytest.raises(RateLimited, match=re.escape("at most 3 per 1 minute")) as caught:
        access.admit(*first)
    assert 50 <= caught.value.retry_after_s <= 61
    access.admit(*second)


def test_a_rate_ends() -> None:
    access = Access({}, "1/second")
    access.admit(None, "")
    with pytest.raises(RateLimited):
        access.admit(None, "")
    time.sleep(1.1)
    access.admit(None, "")


def test_a_wrong_key_does_not_count() -> None:
    access = Access(parse_keys(LINE), "1/minute")
    for _ in range(3):
        with pytest.raises(Forbidden):
            access.admit("wrong", "")
    access.admit(KEY, "")


def test_tokens() -> None:
    assert same_token("é", "é") and not same_token("a", "b") and not same_token("a", "")


@pytest.mark.parametrize(
    ("rate", "amount", "seconds"),
    [("60/minute", 60, 60), ("1 per second", 1, 1), ("10/2 hours", 10, 7200), ("5/year", 5, 31_104_000)],
)
def test_valid_rates(rate: str, amount: int, seconds: int) -> None:
    assert (parse_rate(rate).amount, parse_rate(rate).get_expiry()) == (amount, seconds)


def test_the_message_of_an_invalid_rate_is_short() -> None:
    with pytest.raises(ValueError, match="is not a rate such as 60/minute") as caught:
        parse_rate("often" * 1000)
    assert len(str(caught.value)) < 200
