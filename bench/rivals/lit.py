"""LitServe, which batches the waiting requests without a delay."""

from typing import Any

import litserve

from bench.rivals.network import ROWS, network

Predictions = list[dict[str, Any]]


class API(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.network = network()

    def decode_request(self, request: dict[str, Any]) -> list[str]:
        text = request["text"]
        return [text] if isinstance(text, str) else text

    def batch(self, inputs: list[list[str]]) -> list[list[str]]:
        return inputs

    def predict(self, inputs: list[list[str]]) -> list[Predictions]:
        found = iter(self.network([text for texts in inputs for text in texts]))
        return [[next(found) for _ in texts] for texts in inputs]

    def unbatch(self, output: list[Predictions]) -> list[Predictions]:
        return output

    def encode_response(self, output: Predictions) -> dict[str, Any]:
        return {"predictions": output}


def server() -> litserve.LitServer:
    return litserve.LitServer(API(max_batch_size=ROWS, batch_timeout=0.0, api_path="/classify"), accelerator="cpu")
