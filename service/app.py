"""The application: settings in, a FastAPI app out."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette_compress import CompressMiddleware, add_compress_type

from service import __version__, observability
from service.access import Access
from service.api import (
    admin,
    classify,
    documents,
    errors,
    explain,
    generate,
    glossaries,
    health,
    memories,
    metrics,
    models,
    pictures,
    playground,
    tracing,
    translate,
)
from service.api.middleware import direct, hosts, limits, requests
from service.api.protocols import deepl, deepl_glossaries, huggingface, kserve_v1, libretranslate, open_inference
from service.batching.scheduler import Limits
from service.errors import NotAvailable
from service.handlers.document_jobs import DocumentJobs
from service.handlers.encoding import MSGPACK
from service.memory import limit_arenas, trim
from service.registry.registry import Registry
from service.runtime import available_cores
from service.settings import Settings
from service.text import detection

TAGS = [
    {"name": "classify", "description": "Classify texts, with the attention weights of their tokens."},
    {"name": "translate", "description": "Translate texts, with the alignment of their words."},
    {"name": "documents", "description": "Translate documents."},
    {"name": "generate", "description": "Continue a prompt."},
    {"name": "models", "description": "The served models, their metrics and their training data."},
    {"name": "inference protocol", "description": "The protocol of KServe's and Triton's clients."},
    {"name": "huggingface", "description": "The protocol of Hugging Face's client."},
    {"name": "deepl", "description": "The protocol of DeepL's clients."},
    {"name": "health", "description": "Health checks of load balancers and containers."},
    {"name": "operations", "description": "For operators of the service."},
]
DIRECT = (classify, translate, generate)
ROUTES = (
    *DIRECT,
    explain,
    documents,
    libretranslate,
    memories,
    glossaries,  # before DeepL's, one of which matches /admin/glossaries/{name}
    deepl,
    deepl_glossaries,
    open_inference,
    kserve_v1,
    huggingface,
    models,
    pictures,
    health,
    metrics,
    admin,
)
log = logging.getLogger(__name__)

CHECK_S = 10.0
"""Seconds per round of golden checks over all models."""

COMPRESSED_FROM = 4_096
"""Minimum bytes of a compressed answer: a smaller one takes two packets either way."""


def create_app(settings: Settings) -> FastAPI:
    """Create the service over the bundles in `settings.models`, which are loaded in the background.

    Raises BundleNotFound if there is no bundle, BundleCorrupt if no bundle is readable, ModelNotFound if the default
    classifier does not exist, DeviceUnavailable if the device is not available, and NotAvailable if there is a port for
    gRPC without the extra.
    """
    registry = open_registry(settings)
    tracing.install()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        background = [asyncio.create_task(each) for each in (keep_ready(registry), observability.flush_periodically())]
        if app.state.grpc is not None:
            await app.state.grpc.start()
        yield
        if app.state.grpc is not None:
            await app.state.grpc.stop()
        for task in background:
            task.cancel()
        await app.state.documents.close()
        await asyncio.to_thread(registry.close, settings.drain_timeout_s)
        observability.flush()

    # The docs page of FastAPI fetches its scripts from a CDN. This package serves them (page: `playground.py`).
    app = FastAPIOffline(
        title="Limelight",
        version=__version__,
        summary="Text classification, translation and generation with attention weights.",
        lifespan=lifespan,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        # FastAPI's telemetry looks up three providers per request. OpenTelemetry's own instrumentation replaces it.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    add_state(app, settings, registry)
    errors.install(app)
    for module in ROUTES:
        app.include_router(module.router)
    playground.install(app)
    add_middleware(app, settings, registry)
    return app


def add_state(app: FastAPI, settings: Settings, registry: Registry) -> None:
    """Set what the routes share."""
    app.state.settings = settings
    app.state.registry = registry
    app.state.documents = DocumentJobs(registry, settings)
    app.state.translated_characters = 0
    app.state.throttle = limits.Throttle()
    app.state.running = set()
    app.state.access = Access(settings.keys(), settings.rate_limit, settings.cache_shared)
    app.state.reload_processes = lambda: None
    app.state.reloading = asyncio.Lock()
    app.state.grpc = None if settings.grpc_port is None else grpc_server(app)


def grpc_server(app: FastAPI) -> Any:
    """A server of `service/api/grpc`, which is imported only here. Raises NotAvailable."""
    try:
        from service.api.grpc.server import Server
    except ImportError as error:
        raise NotAvailable(
            f"LIMELIGHT_GRPC_PORT needs the extra `grpc` ({error.name}): pip install 'limelight[grpc]'"
        ) from None
    return Server(app.state)


def open_registry(settings: Settings) -> Registry:
    """The registry of the bundles in `settings.models`. Raises as `create_app`."""
    threads = max(1, (settings.threads or available_cores()) // settings.processes)
    limit_arenas(threads)
    runtime = settings.runtime(threads)
    limits_of_models = Limits(
        settings.batch_tokens,
        settings.queue_tokens,
        settings.max_request_tokens,
        settings.max_answer_weights,
        settings.cache_bytes,
    )
    registry = Registry(settings.models, runtime, limits_of_models, settings.default_classifier, settings.glossaries)
    log.info("networks run with %s, %d threads", registry.provider, threads)
    # Load now on CUDA, because only a loaded graph shows that CUDA works, and with several processes, so that a process
    # accepts connections only when its models are ready.
    if settings.device == "cuda" or settings.processes > 1:
        registry.load()
    return registry


def add_middleware(app: FastAPI, settings: Settings, registry: Registry) -> None:
    """Add middleware, the innermost first."""
    app.add_middleware(
        direct.DirectRoutesMiddleware, routes=[route for module in DIRECT for route in module.router.routes]
    )
    add_compress_type(MSGPACK)
    app.add_middleware(CompressMiddleware, minimum_size=COMPRESSED_FROM, brotli=False, gzip_level=1, zstd_level=1)
    app.add_middleware(
        limits.LimitsMiddleware,
        settings=settings,
        throttle=app.state.throttle,
        reading=registry.reading,
        running=app.state.running,
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID", "traceparent"],
            expose_headers=["Retry-After", "Server-Timing", "X-Request-ID"],
        )
    if settings.allowed_hosts:
        app.add_middleware(hosts.HostsMiddleware, allowed=settings.allowed_hosts)
    requests.install(app, registry, bool(settings.cors_origins), settings.root_path)


async def keep_ready(registry: Registry) -> None:
    """Load every model, then repeat golden checks, and return freed memory to the system."""
    if registry.pairs():
        await asyncio.to_thread(detection.load)
    log.info("loading %d models", len(registry.entries()))
    await asyncio.to_thread(registry.load)
    log.info("%d of %d models are ready", sum(entry.ready for entry in registry.entries()), len(registry.entries()))
    while True:
        await registry.check(CHECK_S)
        await asyncio.to_thread(trim)
