"""Every setting, from the environment with the prefix LIMELIGHT_ (LIMELIGHT_PORT=9000 and so on)."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

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
    precision: Literal["auto", "float32", "int8", "float16"] = Field(
        default="auto", description="int8, float32 or float16; auto takes int8 on a CPU where a bundle has it."
    )
    threads: int | None = Field(
        default=None, gt=0, description="Threads of a network; by default the cores that the container's quota allows."
    )
    max_body_bytes: int = Field(default=2_000_000, gt=0, description="Largest request body; more is answered with 413.")
    max_texts: int = Field(default=256, gt=0, description="Most texts in one request.")
    max_characters: int = Field(default=100_000, gt=0, description="Longest single text, in characters.")
    batch_tokens: int = Field(default=8_192, gt=0, description="Most padded tokens that run through a network at once.")
    queue_tokens: int = Field(
        default=200_000,
        gt=0,
        description="Most tokens that may wait for one model; beyond it requests get a 429.",
    )
    timeout_s: float = Field(default=30.0, gt=0, description="Longest time for one request; beyond it 504.")
    log_level: str = Field(
        default="info", pattern="(?i)^(debug|info|warning|error)$", description="debug, info, warning or error."
    )
