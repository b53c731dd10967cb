"""Fake bundles without torch, and the service over them.

The fake classifier has three labels. The fake language model generates tokens without a meaning. The fake translator
doubles every letter ("No way!" -> "NNoo wwaayy!!"): tests compute its answers, and its target offsets differ from its
source offsets.
"""

import base64
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from service.app import create_app
from service.batching import scheduler as scheduler_module
from service.bundle.files import digest, sha256_of, write_bundle
from service.bundle.manifest import CARD, FORMAT_VERSION, GOLDEN, MANIFEST, parse_manifest
from service.registry.registry import Registry
from service.runtime import Session
from service.settings import Settings
from tests.service import networks

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
LABELS = ["cold", "mild", "warm"]
TEXTS = ["The wind is cold.", "No way! A warm day, and no rain?", "wind and rain; rain and wind"]
CORPUS = [*TEXTS, "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0 1 2 3 4 5 6 7 8 9 . , ; : ! ? ' - é ü"] * 3
MAX_TOKENS = 23
PICTURE = "learning.png"
PNG = base64.b64decode(  # one white pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)


def source_tokenizer(ends: bool) -> Tokenizer:
    """Return a tokenizer as `training/` writes it; `ends`: with </s> at the end, as a source tokenizer."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    steps = [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    made.normalizer = normalizers.Sequence(steps)
    split = pre_tokenizers.Split(Regex(r"▁?[\p{P}\p{N}]"), behavior="isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme="always"), split])
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=networks.V, special_tokens=SPECIAL, show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    assert made.get_vocab_size() == networks.V
    if ends:
        end = ("</s>", networks.EOS)
        made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
    return made


def target_tokenizer() -> Tokenizer:
    """Return a tokenizer with the ids of the source tokenizer, whose tokens have every letter twice."""
    vocabulary = source_tokenizer(ends=False).get_vocab()
    twice = {t if t in SPECIAL else "".join(c if c == "▁" else 2 * c for c in t): i for t, i in vocabulary.items()}
    made = Tokenizer(models.WordLevel(twice, unk_token="<unk>"))
    made.add_special_tokens(SPECIAL)
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    return made


def doubled(text: str) -> str:
    """Return the translation by the fake translator of a text in its vocabulary."""
    return "".join(c if c.isspace() else 2 * c for c in text)


def write_classifier(models: Path, name: str = "toy", version: int = 1, **changes: Any) -> Path:
    """Write models/<name>/<version>; `changes` replace fields of its manifest."""
    tokenizer = source_tokenizer(ends=False)
    cases = []
    for text in TEXTS:
        probabilities, pooling, _ = networks.classify(tokenizer.encode(text).ids)
        scores = dict(zip(LABELS, probabilities.tolist(), strict=True))
        cases.append({"text": text, "answer": {"scores": scores, "attention": pooling.tolist()}})
    fields = {
        "task": "classification",
        "labels": LABELS,
        "tokenizers": {"text": "tokenizer.json"},
        "limits": {"max_tokens": MAX_TOKENS},
        "attention": [
            _attention("classify", "pooling", "pooling", summary=True),
            _attention("classify", "self_0", "self", layer=0, heads=networks.N),
        ],
    }
    files = {"tokenizer.json": tokenizer.to_str(), GOLDEN: json.dumps({"tolerance": 1e-4, "cases": cases})}
    return _write(models / name / str(version), ["classify"], files, {**fields, **changes})


def write_translator(models: Path, name: str = "en-xx", version: int = 1, **changes: Any) -> Path:
    """Write models/<name>/<version>; `changes` replace fields of its manifest."""
    source, target = source_tokenizer(ends=True), target_tokenizer()
    cases = []
    for text in TEXTS[::2]:  # texts of one sentence
        ids, score, attention = networks.translate(source.encode(text).ids)
        answer = {"translation": target.decode(ids), "score": score, "attention": attention.tolist()}
        cases.append({"text": text, "answer": answer})
    fields = {
        "task": "translation",
        "source": "en",
        "target": "xx",
        "tokenizers": {"source": "source_tokenizer.json", "target": "target_tokenizer.json"},
        "special_ids": {"bos": networks.BOS, "eos": networks.EOS, "never": [networks.PAD, networks.UNK, networks.BOS]},
        "limits": {"max_tokens": MAX_TOKENS, "max_target_tokens": 31, "max_beam_size": 7},
        "attention": [
            _attention("step", "cross_0", "cross", layer=0, heads=networks.N, summary=True),
            _attention("step", "cross_1", "cross", layer=1),
            _attention("encode", "encoder_self_0", "encoder_self", layer=0, heads=networks.N),
            _attention("step", "decoder_self_0", "decoder_self", layer=0, heads=networks.N),
        ],
    }
    files = {
        "source_tokenizer.json": source.to_str(),
        "target_tokenizer.json": target.to_str(),
        GOLDEN: json.dumps({"tolerance": 1e-4, "cases": cases}),
    }
    return _write(models / name / str(version), ["encode", "step"], files, {**fields, **changes})


def write_generator(models: Path, name: str = "writer", version: int = 1, **changes: Any) -> Path:
    """Write models/<name>/<version>; `changes` replace fields of its manifest."""
    tokenizer = source_tokenizer(ends=False)
    cases = []
    for text in TEXTS[::2]:
        prompt = tokenizer.encode(text).ids
        ids, log_prob, attention = networks.write(prompt, count := 11)
        written = tokenizer.decode([*prompt, *ids]).removeprefix(tokenizer.decode(prompt))
        answer = {"text": written, "log_prob": log_prob, "attention": attention.tolist()}
        cases.append({"text": text, "max_tokens": count, "answer": answer})
    fields = {
        "task": "generation",
        "tokenizers": {"text": "tokenizer.json"},
        "special_ids": {"bos": networks.BOS, "eos": networks.EOS, "never": [networks.PAD, networks.UNK, networks.BOS]},
        "limits": {"max_tokens": MAX_TOKENS, "max_target_tokens": 301},
        "attention": [_attention("step", "decoder_self_0", "decoder_self", layer=0, heads=networks.N, summary=True)],
    }
    files = {"tokenizer.json": tokenizer.to_str(), GOLDEN: json.dumps({"tolerance": 1e-4, "cases": cases})}
    return _write(models / name / str(version), ["write"], files, {**fields, **changes})


def _attention(
    graph: str, output: str, kind: str, layer: int | None = None, heads: int | None = None, summary: bool = False
) -> dict[str, Any]:
    return {"kind": kind, "layer": layer, "heads": heads, "graph": graph, "output": output, "summary": summary}


def _write(folder: Path, graphs_of: list[str], files: dict[str, str], fields: dict[str, Any]) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".staged-"))
    graphs = [networks.write_graph(staged, name) for name in graphs_of]
    for name, text in files.items():
        (staged / name).write_text(text, encoding="utf-8")
    common: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "name": folder.parent.name,
        "version": int(folder.name),
        "description": "A fake.",
        "architecture": {
            "network": {"classify": "classifier", "write": "decoder"}.get(graphs_of[0], "transformer"),
            "cell": None,
            "bidirectional": True,
            "attention": "dot",
            "parameters": 0,
        },
        "graphs": graphs,
        "weights": "float32",
        "training": {"recipe": {}, "recipe_sha256": "", "seed": 7, "minutes": 0, "hardware": "none"},
        "data": [{"name": "fake", "origin": "tests/fakes.py", "licence": "CC0"}],
        "opset": 17,
        "files": {path.name: sha256_of(path) for path in sorted(staged.iterdir())},
    }
    (staged / PICTURE).write_bytes(PNG)
    (staged / CARD).write_text(f"# A fake\n\n![Learning curves]({PICTURE})\n\nLearning curves\n", encoding="utf-8")
    write_bundle(folder, staged, parse_manifest({**common, **fields}))
    return folder


def rewrite(folder: Path, name: str, text: str) -> None:
    """Replace a file of a bundle and its checksum: the content is wrong, the checksum is right."""
    (folder / name).write_text(text, encoding="utf-8")
    change_manifest(folder, files={**read_json(folder / MANIFEST)["files"], name: sha256_of(folder / name)})


def change_manifest(folder: Path, **changes: Any) -> None:
    """Replace fields of a written manifest, with a valid checksum and without validation."""
    content = {**read_json(folder / MANIFEST), **changes}
    (folder / MANIFEST).write_text(json.dumps({**content, "sha256": digest(content)}), encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def serving(models: Path, wait: bool = True, **settings: Any) -> Iterator[TestClient]:
    """Serve a folder of bundles and yield a client; `wait`: after all bundles are loaded or refused."""
    app = create_app(Settings(models=models, device="cpu", threads=1, **settings))
    with TestClient(app, raise_server_exceptions=False) as client:
        until(lambda: not wait or all(e.problem != "still loading" for e in registry_of(client).entries()))
        yield client


def registry_of(client: TestClient) -> Registry:
    assert isinstance(client.app, FastAPI)
    registry: Registry = client.app.state.registry
    return registry


def before_networks(patch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Call `act` before each run of a network. It may raise, and it may wait: no batch runs on the event loop."""
    patch.setattr(scheduler_module, "INLINE_S", 0.0)

    def acting_before(run: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*args: Any) -> Any:
            act()
            return run(*args)

        return acting

    for name in ("run", "run_keeping"):
        patch.setattr(Session, name, acting_before(getattr(Session, name)))


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds. Raises AssertionError after about a minute."""
    for _ in range(60_000):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError("the condition did not hold in time")
