"""The rules that training and service share."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from service.bundle.conventions import STAND_INS, UNKNOWN_SYMBOL, max_target_length
from service.bundle.files import find_bundles, read_manifest
from service.bundle.manifest import TranslationManifest
from tests.conftest import REAL_MODELS

FOLDERS = [folder for versions in find_bundles(REAL_MODELS).values() for folder in versions.values()]
TRANSLATORS = [folder for folder in FOLDERS if isinstance(read_manifest(folder), TranslationManifest)]


def test_target_length() -> None:
    assert [max_target_length(length) for length in (1, 7, 128)] == [12, 24, 266]


@pytest.mark.parametrize("folder", TRANSLATORS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_committed_translators_follow_them(folder: Path) -> None:
    manifest = read_manifest(folder, TranslationManifest)
    assert manifest.limits.max_target_tokens == max_target_length(manifest.limits.max_tokens)
    tokenizer = Tokenizer.from_file(str(folder / manifest.tokenizers["source"]))
    assert [character for character in STAND_INS if tokenizer.token_to_id(character) is not None] == manifest.stand_ins
    if manifest.special_ids.unknown is not None and not manifest.stand_ins:
        assert manifest.special_ids.unknown in tokenizer.encode(UNKNOWN_SYMBOL).ids
