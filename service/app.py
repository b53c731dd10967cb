"""The application: settings in, a FastAPI app out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette_compress import CompressMiddleware, add_compress_type

from service import __version__
from service.api import (
    classify,
    errors,
    health,
    huggingface,
    inference,
    libretranslate,
    models,
    pictures,
    playground,
    translate,
)
from service.api.encoding import MSGPACK
from service.registry import Registry
from service.runtime import Runtime
from service.scheduling import Limits
from service.settings import Settings

TAGS = [
    {"name": "classify", "description": "Text in, label out, with the words it was decided by."},
    {"name": "translate", "description": "Text in, translation out, with the words each word came from."},
    {"name": "models", "description": "What is served, how good it is, and what it was trained on."},
    {"name": "inference protocol", "description": "What KServe's and Triton's clients speak."},
    {"name": "huggingface", "description": "What Hugging Face's client speaks."},
    {"name": "health", "description": "For load balancers and containers."},
]

COMPRESSED_FROM = 4_096
"""Bytes of an answer from which on it is compressed for callers who ask for it: less is two packets anyway."""


def create_app(settings: Settings) -> FastAPI:
    """The service over the bundles in `settings.models`, which are loaded in the background.

    Raises BundleNotFound if there are none and DeviceUnavailable if the device asked for is not there.
    """
    runtime = Runtime(settings.device, settings.threads, settings.precision)
    limits = Limits(settings.batch_tokens, settings.queue_tokens)
    registry = Registry(settings.models, runtime, limits, settings.default_classifier)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(asyncio.to_thread(registry.load))
        yield
        await loading
        await asyncio.to_thread(registry.close)

    # FastAPI's own docs page fetches its scripts from a CDN; this one has them in the package.
    app = FastAPIOffline(
        title="Limelight",
        version=__version__,
        summary="Text classification and translation that show where they look.",
        lifespan=lifespan,
        openapi_tags=TAGS,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings = settings
    app.state.registry = registry
    errors.install(app)
    for module in (classify, translate, libretranslate, inference, huggingface, models, pictures, health):
        app.include_router(module.router)
    playground.install(app)
    add_compress_type(MSGPACK)
    app.add_middleware(CompressMiddleware, minimum_size=COMPRESSED_FROM, brotli=False, gzip_level=1, zstd_level=1)
    return app
