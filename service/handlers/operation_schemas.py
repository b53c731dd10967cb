"""Schemas of the answers that are about the service: its health, its models after a reload, its web page."""

from typing import Literal

from pydantic import BaseModel, Field


class NamedLanguage(BaseModel):
    code: str
    name: str


class LanguageChoice(BaseModel):
    source: NamedLanguage
    target: NamedLanguage


class FrontendSettings(BaseModel):
    """Settings of LibreTranslate's web page."""

    apiKeys: bool = False
    charLimit: int = Field(description="Maximum length of a text, in characters.")
    filesTranslation: bool = False
    frontendTimeout: int = Field(500, description="Milliseconds between the last key press and the request.")
    keyRequired: bool = False
    language: LanguageChoice
    suggestions: bool = False
    supportedFilesFormat: list[str] = []


class Reloaded(BaseModel):
    """Versions, each as `<name>/<version>`."""

    loaded: list[str] = Field(description="New or changed versions, now served.")
    unchanged: list[str]
    removed: list[str] = Field(description="Versions without a folder.")
    refused: dict[str, str] = Field(
        description="Refused versions with the reason; the version served before them stays."
    )


class Health(BaseModel):
    status: Literal["ok"]


class Ready(Health):
    provider: str = Field(description="Provider of onnxruntime that runs the networks.")
