"""Errors of the client."""

import json


class LimelightError(Exception):
    """Base class of the client's errors.

    `status` is the HTTP status, or None without an answer. `error_type` is the kind of error, such as `text_too_long`.
    """

    def __init__(self, status: int | None, error_type: str, detail: str):
        super().__init__(f"{error_type if status is None else f'{status} {error_type}'}: {detail}")
        self.status = status
        self.error_type = error_type
        self.detail = detail


class AnswerError(LimelightError):
    """The service answered with an error."""

    status: int


class ConnectionFailed(LimelightError):
    """The service cannot be reached, or the connection ended before the answer was complete."""

    def __init__(self, detail: str, error_type: str = "connection_failed"):
        super().__init__(None, error_type, detail)


class TimedOut(ConnectionFailed):
    """The service did not answer within `timeout_s`."""

    def __init__(self, detail: str):
        super().__init__(detail, "timeout")


def error_of(status: int, content: bytes) -> AnswerError:
    """Return the error of an answer: a problem document, or any other content, as a proxy may send it."""
    try:
        problem = json.loads(content)
        return AnswerError(status, problem["error_type"], problem["detail"])
    except (ValueError, KeyError, TypeError):
        return AnswerError(status, "http_error", content[:200].decode(errors="replace"))
