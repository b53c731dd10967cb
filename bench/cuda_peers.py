"""Rates of CTranslate2 and torch on a device, with the weights of the bundles. Without the package: none."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

PerSecond = Callable[[Callable[[], int]], float]
CONVERTED = "ctranslate2"
"""Folder, beside models/, of a converted translator (`bench.cuda_pack` writes it)."""


def ctranslate2_rates(
    device: str, bundle: Path, texts: list[str], batches: Iterable[int], beams: Iterable[int], per_second: PerSecond
) -> dict[str, Any]:
    """Target tokens per second of CTranslate2: float16 with CUDA, float32 and int8 with a CPU."""
    try:
        import ctranslate2
    except ModuleNotFoundError:
        return {"ctranslate2": "not installed"}
    folder = bundle.parents[2] / CONVERTED
    if not folder.is_dir():
        from bench.ctranslate2_converter import convert

        convert(bundle, folder := Path("/tmp") / CONVERTED)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    sources = [encoding.tokens for encoding in tokenizer.encode_batch(texts)]
    found = {}
    for precision in ["float16"] if device == "cuda" else ["float32", "int8"]:
        translator = ctranslate2.Translator(str(folder), device=device, compute_type=precision)
        found[f"ctranslate2 {precision}"] = {
            f"tokens/s, batch {batch}, beam {beam}": per_second(
                partial(_translate, translator, (sources * batch)[:batch], beam)
            )
            for batch in batches
            for beam in beams
        }
    return found


def _translate(translator: Any, sources: list[list[str]], beam: int) -> int:
    """Translate tokens, with attention, as the service does. Returns the number of target tokens."""
    results = translator.translate_batch(sources, beam_size=beam, disable_unk=True, return_attention=True)
    return sum(len(result.hypotheses[0]) for result in results)


def torch_rates(
    device: str, bundle: Path, texts: list[str], batches: Iterable[int], per_second: PerSecond
) -> dict[str, Any]:
    """Texts per second of a classifier with torch: its network, padded batches, scores and attention on the host."""
    try:
        import torch

        from service.bundle.files import read_manifest
        from service.bundle.manifest import ClassificationManifest
        from training.batching import pad
        from training.recipe import ClassificationRecipe, load_recipe
        from training.start import copy_weights
        from training.tasks import build_classifier
        from training.tokenization import PAD, special_id
    except ModuleNotFoundError as error:
        return {"torch": f"{error.name} is not installed"}
    recipe = load_recipe(bundle.parent.name)
    assert isinstance(recipe, ClassificationRecipe)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokenizer.enable_truncation(recipe.limits.max_tokens)
    pad_id = special_id(tokenizer, PAD)
    labels = len(read_manifest(bundle, ClassificationManifest).labels)
    network = build_classifier(recipe, tokenizer.get_vocab_size(), labels, pad_id).eval()
    copy_weights(network, bundle)
    found = {}
    for precision in ["float32", "float16"] if device == "cuda" else ["float32"]:
        network = network.to(device, torch.float16 if precision == "float16" else torch.float32)

        @torch.inference_mode()
        def classified(chosen: list[str], network: Any = network) -> int:
            ids = [encoding.ids for encoding in tokenizer.encode_batch(chosen)]
            logits, weights = network(pad(ids, pad_id).to(device), torch.tensor([len(one) for one in ids]))
            weights.float().cpu().numpy()
            return len(logits.float().softmax(-1).tolist())

        found[f"torch {precision}"] = {
            f"texts/s, batch {batch}": per_second(partial(classified, (texts * batch)[:batch])) for batch in batches
        }
    return found
