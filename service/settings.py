"""Every setting, from the environment with the prefix LIMELIGHT_ (LIMELIGHT_PORT=9000 and so on)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.access import parse_keys, parse_rate
from service.bundle.manifest import Precision
from service.runtime import Device


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LIMELIGHT_", extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    models: Path = Field(default=Path("models"), description="Folder of the bundles: <name>/<version>/bundle.json.")
    default_classifier: str | None = Field(
        default=None, description="Model of a /classify that names none; by default the first classifier by name."
    )
    device: Device = Field(
        default="auto", description="cpu, cuda (refuses to start without it), or auto: cuda where it is there."
    )
    precision: Literal["auto", Precision] = Field(
        default="auto", description="int8, float32 or float16; auto takes int8 on a CPU where a bundle has it."
    )
    threads: int | None = Field(
        default=None, gt=0, description="Threads of a network; by default the cores that the container's quota allows."
    )
    processes: int = Field(
        default=1, gt=0, description="Processes that share the port and the threads; each has its models and limits."
    )
    max_body_bytes: int = Field(default=2_000_000, gt=0, description="Largest request body; more is answered with 413.")
    max_texts: int = Field(default=256, gt=0, description="Most texts in one request.")
    max_characters: int = Field(default=100_000, gt=0, description="Longest single text, in characters.")
    max_request_tokens: int = Field(
        default=100_000, gt=0, description="Most tokens in one request, of a translation times its beam."
    )
    max_requests: int = Field(default=256, gt=0, description="Most requests worked on at once; beyond it 429.")
    batch_tokens: int = Field(default=8_192, gt=0, description="Most padded tokens that run through a network at once.")
    queue_tokens: int = Field(
        default=200_000,
        gt=0,
        description="Most tokens that may wait for one model; beyond it requests get a 429.",
    )
    timeout_s: float = Field(
        default=30.0, gt=0, description="Longest time for one request, its body's arrival included; beyond it 504."
    )
    drain_delay_s: float = Field(
        default=1.0, ge=0, description="After SIGTERM: how long requests still come in while /health/ready says 503."
    )
    drain_timeout_s: float = Field(
        default=30.0, gt=0, description="After that: how long requests in flight may take before they are cut off."
    )
    api_keys: str = Field(
        default="", description="Who may ask: `<name>:<sha256 of the key>`, separated by white space; empty: everyone."
    )
    api_keys_file: Path | None = Field(default=None, description="A file of such lines, beside `api_keys`.")
    rate_limit: str | None = Field(
        default=None, description="Most requests of a key (of an address, where there are no keys), as in 60/minute."
    )
    admin_token: SecretStr | None = Field(
        default=None, min_length=16, description="Opens /admin; without it /admin is for this machine only."
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default=[], description="Web pages of which origins may ask, separated by white space; * for any."
    )
    log_level: str = Field(
        default="info", pattern="(?i)^(debug|info|warning|error)$", description="debug, info, warning or error."
    )
    log_texts: bool = Field(default=False, description="Whether requests' bodies are logged. For debugging only.")

    @field_validator("cors_origins", mode="before")
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
                raise ValueError(f"{value} cannot be read: {error.strerror}") from None
        return value

    @field_validator("rate_limit")
    @classmethod
    def _is_a_rate(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is not None:
            parse_rate(value)
            if others.data.get("processes", 1) > 1:
                raise ValueError("a rate is counted within one process, and LIMELIGHT_PROCESSES is more")
        return value

    def keys(self) -> dict[str, str]:
        """sha256 -> name of every API key."""
        listed = "" if self.api_keys_file is None else self.api_keys_file.read_text(encoding="utf-8")
        return parse_keys(f"{self.api_keys}\n{listed}")
