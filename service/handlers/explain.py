"""Explain an answer of a model: the score of a label, a translation, or the continuation of a text."""

from service.bundle.manifest import GenerationManifest, TranslationManifest
from service.handlers.explain_labels import ExplanationAnswer, explain_label
from service.handlers.explain_outputs import OutputAnswer, explain_completion, explain_translation
from service.handlers.explain_schemas import ExplainRequest
from service.handlers.texts import check_texts
from service.registry.registry import Registry
from service.settings import Settings


async def explain(request: ExplainRequest, registry: Registry, settings: Settings) -> ExplanationAnswer | OutputAnswer:
    """Explain the answer of a model to a text, by default that of the default classifier.

    Raises InvalidInput, ModelNotFound, ModelNotReady, Overloaded, InferenceTimeout or InferenceFailed.
    """
    check_texts([request.text, request.output or ""], settings)
    name, version = request.model, request.version
    manifest = None if name is None else registry.entry(name, version).manifest
    if isinstance(manifest, TranslationManifest):
        return await explain_translation(request, registry.translator(None, None, name, version), settings)
    if isinstance(manifest, GenerationManifest):
        return await explain_completion(request, registry.generator(name, version), settings)
    return await explain_label(request, registry.classifier(name, version), settings)
