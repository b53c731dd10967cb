"""The application: settings in, a FastAPI app out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette_compress import CompressMiddleware, add_compress_type

from service import __version__, observability
from service.access import Access
from service.api import admin, classify, errors, generate, health, metrics, models, pictures, playground, translate
from service.api.middleware import direct, limits, requests
from service.api.protocols import huggingface, libretranslate, open_inference
from service.batching.scheduler import Limits
from service.handlers.encoding import MSGPACK
from service.memory import limit_arenas, trim
from service.registry.registry import Registry
from service.runtime import Runtime, available_cores
from service.settings import Settings

TAGS = [
    {"name": "classify", "description": "Text in, label out, with the words it was decided by."},
    {"name": "translate", "description": "Text in, translation out, with the words each word came from."},
    {"name": "generate", "description": "A beginning in, what a language model writes behind it out."},
    {"name": "models", "description": "What is served, how good it is, and what it was trained on."},
    {"name": "inference protocol", "description": "What KServe's and Triton's clients speak."},
    {"name": "huggingface", "description": "What Hugging Face's client speaks."},
    {"name": "health", "description": "For load balancers and containers."},
    {"name": "operations", "description": "For whoever runs the service."},
]
CHECK_S = 10.0
"""Seconds in which every model is looked at once: whether it still answers its golden inputs."""

COMPRESSED_FROM = 4_096
"""Bytes of an answer from which on it is compressed for callers who ask for it: less is two packets anyway."""


def create_app(settings: Settings) -> FastAPI:
    """The service over the bundles in `settings.models`, which are loaded in the background.

    Raises BundleNotFound if there are none, BundleCorrupt if none can be read, ModelNotFound if the default that is
    asked for is not there, and DeviceUnavailable if the device is not.
    """
    threads = max(1, (settings.threads or available_cores()) // settings.processes)
    limit_arenas(threads)
    runtime = Runtime(settings.device, threads, settings.precision)
    limits_of_models = Limits(settings.batch_tokens, settings.queue_tokens, settings.max_request_tokens)
    registry = Registry(settings.models, runtime, limits_of_models, settings.default_classifier)
    # Only a loaded graph tells whether CUDA works, and without it nothing is to be served. Of several processes none
    # takes connections that the others could answer already.
    if settings.device == "cuda" or settings.processes > 1:
        registry.load()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        background = [asyncio.create_task(each) for each in (keep_ready(registry), observability.flush_periodically())]
        yield
        for task in background:
            task.cancel()
        await asyncio.to_thread(registry.close, settings.drain_timeout_s)
        observability.flush()

    # FastAPI's own docs page fetches its scripts from a CDN; this one has them in the package.
    app = FastAPIOffline(
        title="Limelight",
        version=__version__,
        summary="Text classification, translation and generation that show where they look.",
        lifespan=lifespan,
        openapi_tags=TAGS,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        # Looks up three providers a request, whether there are any; OpenTelemetry's own instrumentation is what we use.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.registry = registry
    app.state.turn = limits.Turnstile()
    app.state.access = Access(settings.keys(), settings.rate_limit)
    app.state.tell_all_to_reload = lambda: None
    errors.install(app)
    for module in (
        classify,
        translate,
        generate,
        libretranslate,
        open_inference,
        huggingface,
        models,
        pictures,
        health,
        metrics,
        admin,
    ):
        app.include_router(module.router)
    playground.install(app)
    app.add_middleware(direct.Direct, routes=[r for m in (classify, translate, generate) for r in m.router.routes])
    add_compress_type(MSGPACK)
    app.add_middleware(CompressMiddleware, minimum_size=COMPRESSED_FROM, brotli=False, gzip_level=1, zstd_level=1)
    app.add_middleware(limits.Limited, settings=settings, turn=app.state.turn, reading=registry.reading)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID", "traceparent"],
            expose_headers=["Retry-After", "Server-Timing", "X-Request-ID"],
        )
    requests.install(app, registry, shared=bool(settings.cors_origins))
    return app


async def keep_ready(registry: Registry) -> None:
    """Load every model, then look again and again whether it still answers, and give back what is not needed."""
    await asyncio.to_thread(registry.load)
    while True:
        await registry.check(CHECK_S)
        await asyncio.to_thread(trim)
