"""Asks a service with a client that was generated from its document; run by `.ci/generated-client`."""

import sys
import time
from pathlib import Path
from typing import Any

import generated_client  # type: ignore[import-not-found]
import httpx
from generated_client.api.classify import classify  # type: ignore[import-not-found]
from generated_client.api.inference_protocol import infer_version, model_ready  # type: ignore[import-not-found]
from generated_client.api.translate import detect_language, languages, translate  # type: ignore[import-not-found]
from generated_client.models import (  # type: ignore[import-not-found]
    ClassifyClassifyRequest,
    DetectLanguageJsonDetectRequest,
    InferVersionInferRequest,
    Problem,
    TranslateJsonTranslateRequest,
)


def main(address: str) -> None:
    client = generated_client.Client(base_url=address)
    for _ in range(600):  # a minute
        try:
            if {model_ready.sync_detailed(name, client=client).status_code for name in ("sms-spam", "en-fr")} == {200}:
                break
        except httpx.TransportError:
            pass
        time.sleep(0.1)

    operations = list(Path(generated_client.__file__).parent.glob("api/*/[a-z]*.py"))
    document: Any = httpx.get(f"{address}/openapi.json").json()
    assert len(operations) == sum(len(methods) for methods in document["paths"].values()), "an operation is left out"

    answer = classify.sync(client=client, body=ClassifyClassifyRequest(text="FREE entry! Text WIN", model="sms-spam"))
    [prediction] = answer.predictions
    assert prediction.label == "spam" and sum(prediction.attention[0].weights[0]) > 0.99

    request = TranslateJsonTranslateRequest(q="Good morning, Tom.", source="auto", target="fr")
    answer = translate.sync(client=client, body=request)
    assert answer.translated_text.startswith("Bonjour") and answer.detected_language.language == "en"
    assert {language.code for language in languages.sync(client=client)} >= {"en"}
    assert detect_language.sync(client=client, body=DetectLanguageJsonDetectRequest(q="Bonjour !"))[0].language == "fr"

    problem = translate.sync(client=client, body=TranslateJsonTranslateRequest(q="a", source="en", target="zz"))
    assert isinstance(problem, Problem) and problem.error == "zz is not supported"

    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["FREE entry!"]}
    body = InferVersionInferRequest.from_dict({"inputs": [tensor]})
    answer = infer_version.sync_detailed("sms-spam", 1, client=client, body=body)
    assert b'"label"' in answer.content
    print(f"{len(operations)} operations generated; the service answers them")


if __name__ == "__main__":
    main(sys.argv[1])
