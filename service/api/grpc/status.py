"""Errors -> gRPC: the status code of every class of `service/errors.py`."""

from grpc import StatusCode

from service.errors import (
    DocumentNotFound,
    InferenceFailed,
    InferenceTimeout,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    NotAvailable,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
    Unauthorized,
)

CODES: dict[type[ServiceError], StatusCode] = {
    InvalidInput: StatusCode.INVALID_ARGUMENT,
    PayloadTooLarge: StatusCode.RESOURCE_EXHAUSTED,  # the code of gRPC itself for a large message
    Unauthorized: StatusCode.UNAUTHENTICATED,
    ModelNotFound: StatusCode.NOT_FOUND,
    DocumentNotFound: StatusCode.NOT_FOUND,
    ModelNotReady: StatusCode.UNAVAILABLE,
    Overloaded: StatusCode.RESOURCE_EXHAUSTED,
    InferenceTimeout: StatusCode.DEADLINE_EXCEEDED,
    InferenceFailed: StatusCode.INTERNAL,
    NotAvailable: StatusCode.UNIMPLEMENTED,
}
"""A subclass without an entry has the code of its base class."""


def code_of(error: ServiceError) -> StatusCode:
    return next(CODES[cls] for cls in type(error).__mro__ if cls in CODES)
