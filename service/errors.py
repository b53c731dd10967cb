"""The error tree, free of HTTP. `service/api/errors.py` gives each class its status, once.

ServiceError                 the base of what a caller may be answered
  InvalidInput               the request cannot be served as it is; the caller can mend it
    EmptyText | TextTooLong | BatchTooLarge | TooManyTokens | UnsupportedOption (UnsupportedFormat)
    | UnsupportedLanguagePair | MissingParameter
  PayloadTooLarge            more bytes than the service reads
  Unauthorized               an API key or the admin's token is missing
    Forbidden                it is there, but not one that opens this
  ModelNotFound              no bundle of that name or version
  ModelNotReady              the bundle is there, but not (yet) able to answer
  Overloaded                 the queue is full; try again later
    TooManyRequests          as many requests are worked on as the service takes at once
    RateLimited              this caller has asked more often than it may
  InferenceTimeout           the answer was not ready in time
  InferenceFailed            the network failed; the service's fault
BundleError                  at load, never in an answer
  BundleNotFound | BundleCorrupt | BundleVersionUnsupported | BundleMismatch
DeviceUnavailable            the device asked for is not there; the service does not start
"""


class LimelightError(Exception):
    """Everything this service raises on purpose. Its message is written for the person who reads it."""


class ServiceError(LimelightError):
    """Something a caller is told."""


class InvalidInput(ServiceError):
    """The request cannot be served as it is."""


class MissingParameter(InvalidInput):
    """A field that the request cannot do without is not there."""


class EmptyText(InvalidInput):
    """A text without a visible character."""


class TextTooLong(InvalidInput):
    """A text over the bundle's limit, where the caller did not allow it to be cut."""


class BatchTooLarge(InvalidInput):
    """More texts in one request than the service takes."""


class TooManyTokens(InvalidInput):
    """More tokens in one request than the service takes."""


class UnsupportedOption(InvalidInput):
    """An option's value that this model or service does not offer."""


class UnsupportedFormat(UnsupportedOption):
    """A text format that the service does not read."""


class UnsupportedLanguagePair(InvalidInput):
    """No bundle translates between these languages."""


class PayloadTooLarge(ServiceError):
    """More bytes than the service reads."""


class Unauthorized(ServiceError):
    """The caller did not say who it is, and has to."""


class Forbidden(Unauthorized):
    """The caller said who it is, and may not."""


class ModelNotFound(ServiceError):
    """No bundle of that name, version or task."""


class ModelNotReady(ServiceError):
    """The bundle is known, but cannot answer (yet)."""


class Overloaded(ServiceError):
    """The queue is full."""

    retry_after_s = 1
    """When to try again: a full queue is worked off in about this time."""


class TooManyRequests(Overloaded):
    """As many requests are being worked on as the service takes at once."""


class RateLimited(Overloaded):
    """A caller has asked more often than it may."""

    def __init__(self, message: str, retry_after_s: int = 1):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InferenceTimeout(ServiceError):
    """The answer was not ready in time."""


class InferenceFailed(ServiceError):
    """The network failed on valid input."""


class BundleError(LimelightError):
    """A bundle that cannot be served."""


class BundleNotFound(BundleError):
    """There is no bundle in that folder."""


class BundleCorrupt(BundleError):
    """A file is missing, damaged or not what its manifest says."""


class BundleVersionUnsupported(BundleError):
    """The bundle's format is newer than this service."""


class BundleMismatch(BundleError):
    """The manifest and the graphs disagree; the message lists every difference."""


class DeviceUnavailable(LimelightError):
    """The device asked for cannot be used."""
