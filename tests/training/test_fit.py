"""Training: the precision that is chosen, and a translator that sees its epochs again."""

import pytest

from training import fit
from training.fit import chosen_precision


@pytest.mark.parametrize(("fast", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_takes_bfloat16_where_it_is_fast_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fast: bool, expected: str
) -> None:
    monkeypatch.setattr(fit, "bfloat16_is_fast", lambda: fast)
    assert chosen_precision("auto") == expected
    assert expected in capsys.readouterr().out
    assert chosen_precision("float32") == "float32"


def test_a_recipe_that_insists_is_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "bfloat16_is_fast", lambda: False)
    with pytest.warns(UserWarning, match="slow in bfloat16"):
        assert chosen_precision("bfloat16") == "bfloat16"
    monkeypatch.setattr(fit, "bfloat16_is_fast", lambda: True)
    assert chosen_precision("bfloat16") == "bfloat16"
