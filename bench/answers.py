"""The forms of an answer: bytes on the wire, and the least milliseconds from the request to its last byte.

`python -m bench.answers` serves en-fr and sms-spam on a free port and prints a table; the last line is JSON.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.listening import listening

SHORT = "Two dogs are playing in the snow."
LONG = " ".join(
    [
        "A man is riding a bicycle in the park while two young women are reading a book under an old tree.",
        "The children who were playing near the river yesterday have already gone home with their parents.",
        "I do not know where she bought that red dress, but it was very expensive and it does not suit her.",
        "If you want to catch the last train to the city, you will have to leave the house before six o'clock.",
        "My brother works in a small restaurant where he cooks fish and washes the dishes every evening.",
        "The old woman sat on a wooden bench in front of the church and watched the people on the street.",
        "We had to wait for three hours at the airport because there was too much snow on the ground.",
        "Nobody believed the boy when he said that he had seen a black horse running across the field.",
    ]
)
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "classify, a message": ("/classify", {"text": "FREE entry! Text WIN to 80086 now", "model": "sms-spam"}),
    "translate, 7 words": ("/translate", {"q": SHORT, "source": "en", "target": "fr", "beam_size": 1}),
    "translate, 150 words, full attention": (
        "/translate",
        {"q": LONG, "source": "en", "target": "fr", "beam_size": 1, "attention": "full"},
    ),
}
FORMS = {
    "JSON": {"Accept-Encoding": "identity"},
    "JSON, gzip": {"Accept-Encoding": "gzip"},
    "JSON, zstd": {"Accept-Encoding": "zstd"},
    "msgpack, float16": {"Accept": "application/msgpack", "Accept-Encoding": "identity"},
    "msgpack, float16, zstd": {"Accept": "application/msgpack", "Accept-Encoding": "zstd"},
    "msgpack, float32": {"Accept": "application/msgpack; dtype=float32", "Accept-Encoding": "identity"},
}
REPEATS = 30


def measure(client: httpx.Client, path: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, float]:
    """Bytes of the body as sent, and the least of the milliseconds: other work on the machine only adds to them."""
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        with client.stream("POST", path, json=body, headers=headers) as answer:
            size = sum(len(part) for part in answer.iter_raw())
        taken.append(time.perf_counter() - start)
        assert answer.status_code == 200
    return size, 1000 * min(taken)


def main() -> None:
    found: dict[str, dict[str, tuple[int, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("en-fr", "sms-spam"):
            (Path(folder) / name).symlink_to(Path("models", name).resolve())
        with listening(Path(folder)) as address, httpx.Client(base_url=address, timeout=60) as client:
            for question, (path, body) in QUESTIONS.items():
                measure(client, path, body, {})
                found[question] = {form: measure(client, path, body, headers) for form, headers in FORMS.items()}
    for question, forms in found.items():
        print(f"\n| {question} | bytes | ms |\n|---|---|---|")
        for form, (size, ms) in forms.items():
            print(f"| {form} | {size:,} | {ms:.1f} |")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
