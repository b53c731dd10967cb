"""/translate over HTTP, compared with FastAPI around CTranslate2 on the weights of a bundle.

Captions of Multi30k's validation split, with attention in the answer, beam 1 and beam 4. Closed loop with 1 to 64
clients, and open loop at 70 % of the throughput of 32 clients. All servers run in turns; values are medians of several
rounds. Each table also shows BLEU on the same captions.

The rival runs in two modes: one request per call, and batching of the waiting requests. A first run selects compute
type, workers and threads of each mode. The ratio compares with the faster mode. `BENCH_RIVAL_BUNDLE` names a bundle
folder for the rival; by default it has the weights of the served bundle.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from sacrebleu.metrics import BLEU

from bench.clients import Service
from bench.ctranslate2_converter import convert
from bench.in_process import in_subprocess, translator_rate
from bench.load import Load
from bench.rivals import BUNDLE, MODE, MODEL, PRECISION, THREADS, TRANSLATORS, WORKERS
from bench.servers import OURS, Server, latest_bundle, rival
from service.runtime import available_cores
from training.corpora import SentencePair, sentence_pairs
from training.recipe import TranslationData

MODEL_NAME, SOURCE, TARGET = "en-fr", "en", "fr"
RIVAL_BUNDLE = "BENCH_RIVAL_BUNDLE"
BEAMS = (1, 4)
CLIENTS = (1, 8, 32, 64)
OPEN_LOOP_LOAD = 0.7
"""Arrival rate of the open loop, relative to the throughput of 32 closed-loop clients."""
CAPTIONS = 128
SECONDS = 3.0
"""Duration of a measurement."""
ROUNDS = 5
MODES = {"single": "FastAPI + CTranslate2", "batching": "FastAPI + CTranslate2, batching"}

Results = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """Compute type, workers, and threads per worker of CTranslate2."""

    precision: str
    workers: int
    threads: int

    def __str__(self) -> str:
        return f"{self.precision}, {self.workers} workers x {self.threads} threads"


def layouts() -> list[Layout]:
    """Return the candidates: one worker with all cores, and one worker per core."""
    cores = available_cores()
    pairs = sorted({(1, cores), (cores, 1)})
    return [Layout(precision, *pair) for precision in ("int8", "float32") for pair in pairs]


def captions() -> list[SentencePair]:
    data = TranslationData(corpora=["multi30k"], source=SOURCE, target=TARGET)
    return list(sentence_pairs("multi30k", "valid", data)[:CAPTIONS])


def bodies_of(pairs: list[SentencePair], beam_size: int) -> list[dict[str, Any]]:
    return [{"q": pair.source, "source": SOURCE, "target": TARGET, "beam_size": beam_size} for pair in pairs]


@contextmanager
def rival_server(mode: str, layout: Layout, bundle: Path, model: Path) -> Iterator[Server]:
    """Start FastAPI + CTranslate2 over a converted model."""
    environment = {
        BUNDLE: str(bundle),
        MODEL: str(model),
        MODE: mode,
        PRECISION: layout.precision,
        WORKERS: str(layout.workers),
        THREADS: str(layout.threads),
    }
    [name] = TRANSLATORS
    with rival(name, "/translate", bodies_of(captions()[:1], 1)[0], environment) as server:
        yield server


def best_layout(mode: str, bundle: Path, model: Path, pairs: list[SentencePair], seconds: float) -> Layout:
    """Select the layout with the highest throughput over all beams, with 8 clients. Each runs twice, in turns."""

    def rate(layout: Layout) -> float:
        with rival_server(mode, layout, bundle, model) as server:
            rates = []
            for beam_size in BEAMS:
                bodies = bodies_of(pairs, beam_size)
                server.closed(bodies, 8, 1)  # warm-up
                rates.append(server.closed(bodies, 8, seconds).per_s)
            return statistics.geometric_mean(rates)

    candidates = layouts()
    rates = [rate(layout) for layout in candidates * 2]
    return candidates[rates.index(max(rates)) % len(candidates)]


def bleu(server: Server, pairs: list[SentencePair], beam_size: int) -> float:
    """Translate all captions and score them with sacreBLEU (13a)."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(server.post, bodies_of(pairs, beam_size)))
    translations = [orjson.loads(answer)["translatedText"] for answer in answers]
    score = BLEU().corpus_score(translations, [[pair.target for pair in pairs]]).score
    return round(float(score), 2)


def loads_of(server: Server, bodies: list[dict[str, Any]], seconds: float) -> list[Load]:
    """Measure each number of clients, then the open loop."""
    server.closed(bodies, 8, 1)  # warm-up
    loads = [server.closed(bodies, clients, seconds) for clients in CLIENTS]
    per_s = max(1.0, OPEN_LOOP_LOAD * loads[CLIENTS.index(32)].per_s)
    return [*loads, server.open_loop(bodies, per_s, seconds)]


def median(loads: list[Load]) -> Load:
    return Load(
        statistics.median(load.per_s for load in loads),
        statistics.median(load.p50_ms for load in loads),
        statistics.median(load.p99_ms for load in loads),
        sum(load.wrong for load in loads),
    )


def in_turns(servers: dict[str, Server], pairs: list[SentencePair], seconds: float, rounds: int) -> Results:
    """Measure all servers in turns. Returns for each beam: server -> column -> values, and the ratios."""
    columns = [*(f"{clients} clients" for clients in CLIENTS), f"open, {OPEN_LOOP_LOAD:.0%}"]
    results: Results = {}
    for beam_size in BEAMS:
        bodies, scores = bodies_of(pairs, beam_size), {}
        rounds_of: dict[str, list[list[Load]]] = {name: [] for name in servers}
        for turn in range(rounds):
            for name, server in servers.items():
                with server.resumed():
                    if turn == 0:
                        scores[name] = bleu(server, pairs, beam_size)
                    rounds_of[name].append(loads_of(server, bodies, seconds))
        medians = {
            name: [median(list(column)) for column in zip(*loads, strict=True)] for name, loads in rounds_of.items()
        }
        rivals = [loads for name, loads in medians.items() if name != OURS]
        ratios = [
            round(ours.per_s / max(theirs.per_s for theirs in column), 2)
            for ours, column in zip(
                medians[OURS][:-1], zip(*(loads[:-1] for loads in rivals), strict=True), strict=True
            )
        ]
        print_table(beam_size, columns, medians, scores, ratios)
        results[f"beam {beam_size}"] = {
            **{
                name: {"BLEU": scores[name], **{c: load.summary() for c, load in zip(columns, loads, strict=True)}}
                for name, loads in medians.items()
            },
            "ratio to the best rival": dict(zip(columns, ratios, strict=False)),
        }
    return results


def print_table(
    beam_size: int, columns: list[str], medians: dict[str, list[Load]], scores: dict[str, float], ratios: list[float]
) -> None:
    print(
        f"\n{f'captions, beam {beam_size}: requests/s (p50, p99 ms)':<48}{'BLEU':>7}"
        + "".join(f"{c:>24}" for c in columns)
    )
    for name, loads in medians.items():
        print(f"{name:<48}{scores[name]:>7.2f}" + "".join(f"{load.cell():>24}" for load in loads), flush=True)
    print(f"{'ratio to the best rival':<48}{'':>7}" + "".join(f"{ratio:>24.2f}" for ratio in ratios), flush=True)


def measure(seconds: float = SECONDS, rounds: int = ROUNDS) -> Results:
    """Measure Limelight and both modes of the rival."""
    pairs = captions()
    bundle = Path(os.environ.get(RIVAL_BUNDLE, latest_bundle(MODEL_NAME))).resolve()
    rate, tokens = in_subprocess(translator_rate, MODEL_NAME, [pair.source for pair in pairs])
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        model = Path(folder) / "model"
        in_subprocess(convert, bundle, model)
        chosen = {mode: best_layout(mode, bundle, model, pairs, seconds) for mode in MODES}
        service = stack.enter_context(Service())
        servers = {OURS: Server(service.port, service.process.pid, "/translate")}
        servers[OURS].pause()
        for mode, name in MODES.items():
            start = partial(rival_server, mode, chosen[mode], bundle, model)
            servers[f"{name} ({chosen[mode].precision})"] = stack.enter_context(start())
        for server in servers.values():
            server.pause()
        results = in_turns(servers, pairs, seconds, rounds)
    print(
        f"\nrival: weights of {bundle.parent.name}/{bundle.name}; " + "; ".join(f"{m}: {c}" for m, c in chosen.items())
    )
    over_http = tokens * results["beam 4"][OURS]["32 clients"]["per_s"]
    in_process = {"tokens/s": round(rate), "HTTP / in process, 32 clients": round(over_http / rate, 2)}
    print(f"in process, beam 4, 32 sentences: {rate:,.0f} tokens/s; over HTTP with 32 clients {over_http / rate:.0%}")
    return {**results, "in process": in_process, "rival": {mode: str(layout) for mode, layout in chosen.items()}}
