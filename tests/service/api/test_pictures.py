"""Pictures of a model card are listed and served; other files are not."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.bundle.manifest import CARD
from tests.fakes import PICTURE, PNG, serving, write_classifier
from tests.service.bundle.irregular import IRREGULAR, make_irregular


def test_a_listed_picture_is_served(client: TestClient) -> None:
    [picture] = client.get("/models/toy").json()["pictures"]
    assert picture == {"caption": "Learning curves", "path": f"/models/toy/pictures/{PICTURE}?version=1"}
    answer = client.get(picture["path"])
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_real_cards_have_their_pictures(real_client: TestClient) -> None:
    for model in real_client.get("/models").json()["models"]:
        pictures = real_client.get(f"/models/{model['name']}").json()["pictures"]
        assert len(pictures) >= 3
        for picture in pictures:
            assert picture["caption"]
            assert real_client.get(picture["path"]).content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "file",
    ["bundle.json", "README.md", "other.png", "%2e%2e%2fsecret.png", "..%2F..%2Fsecret.png", "..\\secret.png", "%00"],
)
def test_other_files_are_not_served(client: TestClient, file: str) -> None:
    answer = client.get(f"/models/toy/pictures/{file}")
    assert answer.status_code == 404
    assert answer.json()["error_type"] == "not_found"


def test_other_models_and_versions(client: TestClient) -> None:
    for path, error_type in [
        (f"/models/nobody/pictures/{PICTURE}", "model_not_found"),
        (f"/models/toy/pictures/{PICTURE}?version=2", "model_not_found"),
        (f"/models/toy/pictures/{PICTURE}?version=0", "invalid_input"),
    ]:
        assert client.get(path).json()["error_type"] == error_type


def test_a_card_cannot_link_outside_its_bundle(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "models")
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNG)
    (folder / "link.png").symlink_to(secret)
    (folder / "folder.png").mkdir()
    names = [
        "../../../secret.png",
        str(secret),
        "link.png",
        "folder.png",
        "absent.png",
        ".png",
        "bundle.json",
        "golden.json#.png",
    ]
    (folder / CARD).write_text("\n".join(f"![a]({name})" for name in [*names, PICTURE]), encoding="utf-8")
    with serving(tmp_path / "models") as client:
        assert [p["path"] for p in client.get("/models/toy").json()["pictures"]] == [
            f"/models/toy/pictures/{PICTURE}?version=1"
        ]
        for name in ("link.png", "folder.png", "absent.png", ".png"):
            assert client.get(f"/models/toy/pictures/{name}").status_code == 404


@pytest.mark.parametrize("card", [None, b"![a](learning.png) \xff"])
def test_a_bundle_without_a_readable_card_has_no_pictures(tmp_path: Path, card: bytes | None) -> None:
    path = write_classifier(tmp_path) / CARD
    path.unlink()
    if card is not None:
        path.write_bytes(card)
    with serving(tmp_path) as client:
        assert client.get("/models/toy").json()["pictures"] == []


@pytest.mark.parametrize("name", [CARD, PICTURE])
@pytest.mark.parametrize("kind", IRREGULAR)
def test_files_that_are_replaced_after_the_load(tmp_path: Path, name: str, kind: str) -> None:
    """A pipe or a device must not block the route, and a link must not lead out of the bundle."""
    folder = write_classifier(tmp_path)
    with serving(tmp_path) as client:
        assert len(client.get("/models/toy").json()["pictures"]) == 1
        make_irregular(folder, name, kind)
        assert client.get("/models/toy").json()["pictures"] == []
        assert client.get(f"/models/toy/pictures/{PICTURE}").status_code == 404


def test_a_bundle_with_a_pipe_as_its_card_is_refused(tmp_path: Path) -> None:
    make_irregular(write_classifier(tmp_path), CARD, "pipe")
    write_classifier(tmp_path, "other")
    with serving(tmp_path) as client:
        answer = client.get("/models/toy").json()
        assert not answer["ready"] and "README.md is no file" in answer["problem"]
        assert answer["pictures"] == []
