"""The errors of the service, without HTTP. `service/api/errors.py` maps each class to its status.

LimelightError
  ServiceError                 an error that a request is answered with
    InvalidInput               the request is invalid
      MissingParameter         a required field is missing
      EmptyText                a text has no visible character
      TextTooLong              a text exceeds the model's limit
      BatchTooLarge            a request has too many texts
      TooManyTokens            a request has too many tokens
      UnsupportedOption        a model or the service lacks an option's value
        UnsupportedFormat      a text format is unknown
      UnsupportedLanguagePair  no model translates between the languages
    PayloadTooLarge            the body exceeds the limit
      AnswerTooLarge           the answer would exceed the limit
    Unauthorized               an API key or the admin token is missing
      Forbidden                the key or token is wrong
    NotAvailable               an optional part of the service is not installed
    DocumentNotFound           no document has that name
    ModelNotFound              no bundle has that name or version
      GlossaryNotFound         no stored glossary has that name
      MemoryNotFound           no stored translation memory has that name
    ModelNotReady              the model is loading, refused or failing
    Overloaded                 the queue is full
      TooManyRequests          too many requests are in progress
      RateLimited              the caller exceeds its rate
    InferenceTimeout           the answer is not ready in time
    InferenceFailed            the network fails on valid input
  BundleError                  an error at load, which no request is answered with
    BundleNotFound             a folder holds no bundle
    BundleCorrupt              a file is missing, damaged or invalid
    BundleVersionUnsupported   the format is newer than the service
    BundleMismatch             the manifest and the graphs differ
  DeviceUnavailable            the requested device cannot be used
"""


class LimelightError(Exception):
    """Base of all errors that the service raises. The message is for the user or operator."""


class ServiceError(LimelightError):
    """An error that a request is answered with."""


class InvalidInput(ServiceError):
    """The request is invalid."""


class MissingParameter(InvalidInput):
    """A required field is missing."""


class EmptyText(InvalidInput):
    """A text has no visible character."""


class TextTooLong(InvalidInput):
    """A text exceeds the model's limit, and the request does not allow truncation."""


class BatchTooLarge(InvalidInput):
    """A request has more texts than the service accepts."""


class TooManyTokens(InvalidInput):
    """A request has more tokens than the service accepts."""


class UnsupportedOption(InvalidInput):
    """The model or the service does not support an option's value."""


class UnsupportedFormat(UnsupportedOption):
    """The service does not support a text format."""


class UnsupportedLanguagePair(InvalidInput):
    """No model translates between the languages."""


class PayloadTooLarge(ServiceError):
    """The body exceeds the limit of the service."""


class AnswerTooLarge(PayloadTooLarge):
    """The answer would have more attention weights than the limit."""


class Unauthorized(ServiceError):
    """An API key or the admin token is required and missing."""


class Forbidden(Unauthorized):
    """The API key or the admin token is wrong."""


class NotAvailable(ServiceError):
    """An optional part of the service is not installed or not possible with its settings."""


class DocumentNotFound(ServiceError):
    """No document has that name and key, or it is no longer kept."""


class ModelNotFound(ServiceError):
    """No model has that name, version or task."""


class GlossaryNotFound(ModelNotFound):
    """No stored glossary has that name."""


class MemoryNotFound(ModelNotFound):
    """No stored translation memory has that name."""


class ModelNotReady(ServiceError):
    """The model is loading, refused or failing."""


class Overloaded(ServiceError):
    """The queue of the model is full."""

    retry_after_s = 1
    """Value of Retry-After. A full queue is processed in about this time."""


class TooManyRequests(Overloaded):
    """Too many requests are in progress."""


class RateLimited(Overloaded):
    """The caller exceeds its rate."""

    def __init__(self, message: str, retry_after_s: int = 1):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InferenceTimeout(ServiceError):
    """The answer is not ready in time."""


class InferenceFailed(ServiceError):
    """The network fails on valid input."""


class BundleError(LimelightError):
    """A bundle cannot be served."""


class BundleNotFound(BundleError):
    """The folder holds no bundle."""


class BundleCorrupt(BundleError):
    """A file is missing, damaged or invalid."""


class BundleVersionUnsupported(BundleError):
    """The format of the bundle is newer than the service."""


class BundleMismatch(BundleError):
    """The manifest and the graphs differ. The message lists every difference."""


class DeviceUnavailable(LimelightError):
    """The requested device cannot be used."""


EXCERPT = 100
"""Maximum characters of input in a message."""


def excerpt(text: object) -> str:
    """Return input for a message, cut to EXCERPT characters."""
    shown = str(text)
    return shown if len(shown) <= EXCERPT else f"{shown[:EXCERPT]}..."
