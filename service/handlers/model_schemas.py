"""Schemas of GET /models and GET /models/{name}."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class Model(BaseModel):
    """A model in GET /models."""

    name: str
    version: str
    ready: bool
    problem: str | None = Field(description="Reason why the model is not ready.")
    task: Literal["classification", "translation", "generation"] | None = None
    description: str | None = None
    architecture: dict[str, Any] | None = None
    default: bool | None = Field(None, description="True if requests without a model name use this one.")
    precision: Literal["float32", "float16", "int8"] | None = Field(None, description="Precision of the loaded graphs.")
    labels: list[str] | None = None
    source: str | None = None
    target: str | None = None


class AttentionKinds(BaseModel):
    kind: str
    layers: int | None
    heads: int | None


class Picture(BaseModel):
    caption: str
    path: str = Field(description="Path of the PNG on this service.")


class ModelDetail(Model):
    """A model with its limits, metrics, data and training."""

    limits: dict[str, int | None] | None = None
    attention: list[AttentionKinds] | None = Field(None, description="Kinds of matrices in `full` attention.")
    metrics: list[dict[str, Any]] | None = None
    data: list[dict[str, Any]] | None = Field(None, description="Training data with licences.")
    training: dict[str, Any] | None = None
    pictures: list[Picture] | None = Field(None, description="Pictures of the model card.")


class ModelList(BaseModel):
    models: list[Model]
