"""BentoML with adaptive batching. `bentoml serve` imports this module. Requests must hold a list of texts."""

from typing import Any

import bentoml

from bench.rivals.network import ROWS, network


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Bento:
    def __init__(self) -> None:
        self.network = network()

    @bentoml.api(batchable=True, max_batch_size=ROWS, route="/classify")
    def classify(self, text: list[str]) -> list[dict[str, Any]]:
        return self.network(text)
