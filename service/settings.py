"""Settings, from environment variables with the prefix LIMELIGHT_, such as LIMELIGHT_PORT=9000."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.access import parse_keys, parse_rate
from service.bundle import archive
from service.bundle.manifest import Precision
from service.runtime import Device, Runtime

MAX_RATE = 100_000
"""Maximum number of requests in LIMELIGHT_RATE_LIMIT."""
DAY_S = 86_400


class Settings(BaseSettings):
    """Settings of the service. Raises pydantic's ValidationError for an invalid value."""

    model_config = SettingsConfigDict(env_prefix="LIMELIGHT_", extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for all interfaces.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    grpc_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port for the Open Inference Protocol over gRPC (extra `grpc`); by default there is none.",
    )
    models_cache: Path = Field(
        default=Path(os.path.expanduser("~/.cache/limelight")),  # never raises, unlike Path.expanduser
        description="Folder for archives of bundles from an address.",
    )
    models: Path = Field(
        default=Path("models"),
        description="Folder of bundles: <name>/<version>/bundle.json. Or the address of an archive of them: "
        "https://host/models.tar.gz#sha256=<64 hex digits>.",
    )
    glossaries: Path = Field(
        default=Path("glossaries"),
        description="Folder of glossaries (<name>.tsv, <name>.en-fr.tsv, .csv or .tbx) and memories (<name>.tmx).",
    )
    default_classifier: str | None = Field(
        default=None, description="Model for /classify without a model name; by default the first classifier by name."
    )
    device: Device = Field(
        default="auto", description="cpu, cuda (does not start without it), or auto: cuda if available."
    )
    precision: Literal["auto", Precision] = Field(
        default="auto", description="int8, float32 or float16; auto takes int8 on a CPU if a bundle has it."
    )
    cuda_device: int = Field(default=0, ge=0, description="Number of the CUDA device, from 0.")
    cuda_memory_bytes: int | None = Field(
        default=None,
        gt=0,
        description="Maximum memory of each process on the CUDA device; by default all that is free.",
    )
    threads: int | None = Field(
        default=None,
        gt=0,
        le=1_024,
        description="Threads of a network; by default the cores in the quota of the container.",
    )
    processes: int = Field(
        default=1,
        gt=0,
        le=256,
        description="Processes that share the port and the threads; each has its own models and limits.",
    )
    max_body_bytes: int = Field(
        default=2_000_000, gt=0, description="Maximum size of a request body in bytes; a larger one gets a 413."
    )
    max_texts: int = Field(default=256, gt=0, description="Maximum texts in one request.")
    max_characters: int = Field(default=100_000, gt=0, description="Maximum length of a text, in characters.")
    max_document_bytes: int = Field(default=10_000_000, gt=0, description="Maximum size of a document in bytes.")
    max_document_characters: int = Field(
        default=1_000_000, gt=0, description="Maximum length of all texts in a document, in characters."
    )
    max_kept_document_bytes: int = Field(
        default=100_000_000, gt=0, description="Maximum size of all documents in memory; more get a 429."
    )
    document_ttl_s: float = Field(
        default=1_800.0, gt=0, le=DAY_S, description="Seconds for which a translated document is kept in memory."
    )
    document_timeout_s: float = Field(
        default=600.0, gt=0, le=DAY_S, description="Maximum seconds for the translation of a document."
    )
    max_request_tokens: int = Field(
        default=100_000, gt=0, description="Maximum tokens in one request; for a translation times the beam size."
    )
    max_answer_weights: int = Field(
        default=4_000_000,
        gt=0,
        description="Maximum attention weights in an answer, estimated from its tokens; then 413.",
    )
    max_explain_evaluations: int = Field(
        default=4_096,
        ge=2,
        description="Maximum changed texts for the Shapley values, or inputs for an output, of one /explain.",
    )
    max_requests: int = Field(default=256, gt=0, description="Maximum concurrent requests; more get a 429.")
    batch_tokens: int = Field(default=8_192, gt=0, description="Maximum padded tokens in one batch.")
    cache_bytes: int = Field(
        default=0,
        ge=0,
        description="Maximum bytes of cached sentences and texts of each translator; 0: none are cached.",
    )
    cache_shared: bool = Field(default=False, description="Callers with different API keys share cached sentences.")
    queue_tokens: int = Field(
        default=200_000,
        gt=0,
        description="Maximum tokens in the queue of a model; further requests get a 429.",
    )
    allow_empty_texts: bool = Field(
        default=False, description="Classify an empty text as an empty label instead of refusing it."
    )
    timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=DAY_S,
        description="Maximum seconds for a request, reading its body included; then it gets a 504.",
    )
    drain_delay_s: float = Field(
        default=0.0,
        ge=0,
        le=DAY_S,
        description="Seconds after SIGTERM in which requests are still accepted while /health/ready answers 503.",
    )
    drain_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=DAY_S,
        description="Seconds after that in which running requests can finish before they are cancelled.",
    )
    api_keys: str = Field(
        default="",
        description="API keys as `<name>:<sha256 of the key>`, separated by white space; empty: no key is needed.",
    )
    api_keys_file: Path | None = Field(default=None, description="File with further API keys, one per line.")
    rate_limit: str | None = Field(
        default=None, description="Maximum requests of a key (of an address if there are no keys), such as 60/minute."
    )
    admin_token: SecretStr | None = Field(
        default=None, min_length=16, description="Token for /admin; without a token /admin is for this machine only."
    )
    root_path: str = Field(
        default="", pattern=r"^(/[\w.~-]+)*$", description="Path prefix of a reverse proxy in front of the service."
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default=[], description="Accepted Host headers, separated by white space, as in *.example.org; empty: any."
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default=[], description="Origins of web pages that can send requests, separated by white space; * for any."
    )
    log_level: str = Field(
        default="info", pattern="(?i)^(debug|info|warning|error)$", description="debug, info, warning or error."
    )
    log_texts: bool = Field(default=False, description="Log the bodies of requests. For debugging only.")

    @field_validator("models", mode="before")
    @classmethod
    def _fetched(cls, value: object, others: ValidationInfo) -> object:
        """The folder of an archive, which is downloaded unless it is in the cache."""
        if isinstance(value, str) and archive.is_address(value):
            return archive.fetch(value, others.data["models_cache"])
        return value

    @field_validator("cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        return value.split() if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _are_keys(cls, value: str) -> str:
        parse_keys(value)
        return value

    @field_validator("api_keys_file")
    @classmethod
    def _holds_keys(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                parse_keys(value.read_text(encoding="utf-8"))
            except OSError as error:
                raise ValueError(f"cannot read {value}: {error.strerror}") from None
        return value

    @field_validator("rate_limit")
    @classmethod
    def _is_a_rate(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is not None:
            if parse_rate(value).amount > MAX_RATE:
                raise ValueError(f"at most {MAX_RATE} requests: the time of each one is kept")
            if others.data.get("processes", 1) > 1:
                raise ValueError("a rate is counted within one process: LIMELIGHT_PROCESSES must be 1")
        return value

    def runtime(self, threads: int | None = None) -> Runtime:
        """The runtime with these settings. Raises DeviceUnavailable."""
        return Runtime(self.device, threads or self.threads, self.precision, self.cuda_device, self.cuda_memory_bytes)

    def keys(self) -> dict[str, str]:
        """All API keys: sha256 -> name."""
        listed = "" if self.api_keys_file is None else self.api_keys_file.read_text(encoding="utf-8")
        return parse_keys(f"{self.api_keys}\n{listed}")
