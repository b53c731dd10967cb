import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_lists_are_separated_by_white_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_ALLOWED_HOSTS", "a.example  *.b.example")
    monkeypatch.setenv("LIMELIGHT_CORS_ORIGINS", "*")
    settings = Settings()
    assert settings.allowed_hosts == ["a.example", "*.b.example"]
    assert settings.cors_origins == ["*"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("THREADS", "0"),
        ("THREADS", "1000000"),
        ("PROCESSES", "257"),
        ("PORT", "65536"),
        ("TIMEOUT_S", "inf"),
        ("TIMEOUT_S", "nan"),
        ("DRAIN_DELAY_S", "-1"),
        ("DRAIN_TIMEOUT_S", "1e9"),
        ("RATE_LIMIT", "often"),
        ("RATE_LIMIT", "100001/second"),
        ("MAX_ANSWER_WEIGHTS", "0"),
        ("ROOT_PATH", "nlp"),
        ("ROOT_PATH", "/nlp/"),
        ("ROOT_PATH", "/a b"),
    ],
)
def test_invalid_values(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LIMELIGHT_{name}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [(name.lower(),)]


@pytest.mark.parametrize("path", ["", "/nlp", "/a/b-1_2.3~4"])
def test_path_prefixes(path: str) -> None:
    assert Settings(root_path=path).root_path == path
