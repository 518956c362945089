"""Errors of requests: an HTTP status, a gRPC code, a message for the client.

ServingError
|-- BadRequestError   400  INVALID_ARGUMENT    the request can't be read, or doesn't fit the model
|-- UnauthorizedError 401  UNAUTHENTICATED     a missing or wrong token
|-- ForbiddenError    403  PERMISSION_DENIED   it comes from a web page of another origin
|-- NotFoundError     404  NOT_FOUND           no such model, version or path
|-- SlowError         408  DEADLINE_EXCEEDED   the request did not arrive in time
|-- TooLargeError     413  RESOURCE_EXHAUSTED  more bytes than the server takes
|-- CodingError       415  INVALID_ARGUMENT    a content encoding that the server does not know
|-- FailedError       500  INTERNAL            the model failed on this request
|-- OverloadedError   503  UNAVAILABLE         the queue is full; `retry_after` is when to retry
|-- ExpiredError      503  DEADLINE_EXCEEDED   it waited in the queue for too long
`-- GoneError         503  CANCELLED           the client left before its turn
"""

from __future__ import annotations

from typing import ClassVar

_LONGEST = 500
"""Limit of a message in characters; gRPC clients accept 8 KB of details, and a character may take twelve bytes."""


class ServingError(Exception):
    """An error response. `reason` is its label in Triton's failure metric."""

    status: ClassVar[int]
    grpc: ClassVar[str]
    reason: ClassVar[str] = "REJECTED"

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        # A message may quote the client's data, of any length.
        self.message = message if len(message) <= _LONGEST else f"{message[: _LONGEST - 3]}..."
        super().__init__(self.message)
        self.retry_after = retry_after


class BadRequestError(ServingError):
    """The request can't be read, or doesn't fit the model."""

    status, grpc = 400, "INVALID_ARGUMENT"


class UnauthorizedError(ServingError):
    """A missing or wrong token."""

    status, grpc = 401, "UNAUTHENTICATED"


class ForbiddenError(ServingError):
    """It comes from a web page of another origin."""

    status, grpc = 403, "PERMISSION_DENIED"


class NotFoundError(ServingError):
    """No such model, version or path."""

    status, grpc = 404, "NOT_FOUND"


class SlowError(ServingError):
    """The request did not arrive in time."""

    status, grpc = 408, "DEADLINE_EXCEEDED"


class TooLargeError(ServingError):
    """More bytes than the server takes."""

    status, grpc = 413, "RESOURCE_EXHAUSTED"


class CodingError(ServingError):
    """A content encoding that the server does not know."""

    status, grpc = 415, "INVALID_ARGUMENT"


class FailedError(ServingError):
    """The model failed on this request."""

    status, grpc, reason = 500, "INTERNAL", "BACKEND"


class OverloadedError(ServingError):
    """The queue is full, or the server is closing."""

    status, grpc = 503, "UNAVAILABLE"


class ExpiredError(ServingError):
    """It waited in the queue for too long."""

    status, grpc = 503, "DEADLINE_EXCEEDED"


class GoneError(ServingError):
    """The client left before its turn."""

    status, grpc, reason = 503, "CANCELLED", "CANCELED"
