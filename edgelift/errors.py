"""Every error that leaves the library.

Roots say who can fix it; each error says what was attempted, on what, what came back, and the next step.

    EdgeliftError
    ├── ConfigurationError            the caller: options, files, profiles, names
    │   ├── MalformedReferenceError   a text that is no image reference, tag or digest
    │   └── ProfileError              what profiles ask for cannot be built as it is
    ├── PaletteError                  the Palette API said no, or cannot be reached
    ├── EdgeHostError                 an edge host said no, or cannot be reached
    ├── RegistryError                 a registry said no, or cannot be reached
    │   ├── NotFoundError             it does not have that repository, tag, manifest or blob
    │   ├── DeniedError               it refused our credentials, or we have none for it
    │   ├── UnreachableError          no answer: name, connection, TLS, time-out
    │   ├── RateLimitError            it has given all that it gives us for now
    │   └── RefusedError              it will never take this (media type, immutable tag, quota, size)
    ├── StoreError                    local disk or object store
    ├── WindowClosedError             the hours in which a site takes something are over; what is done stays done
    ├── BundleError                   a bundle that cannot be read, or is not one
    │   └── UnseekableError           one without its seek table, which can be read from front to back only
    ├── RejectedError                 somebody was asked whether a delivery may go on, and said no
    ├── IntegrityError                bytes that are not what their digest says
    │   └── SignatureError            a bundle or a lock that is not signed, or not by whom it has to be
    └── ManyError                     work on many things; every failure is named
        ├── PlanError                 what was asked for cannot be delivered; nothing has moved
        ├── SitesError                site files that are wrong
        ├── PartsError                parts of a bundle that are missing or damaged
        └── IncompleteError           some are done and stay done, these are not

No error carries a credential, a token or a signed URL.
"""

from collections.abc import Sequence


class EdgeliftError(Exception):
    """The base of every error of the library.

    `message` is one sentence on what happened and to what; `hint` is the next step, when there is one.
    `retryable` is true when the same call may well succeed later.
    """

    exit_code = 1
    retryable = False

    def __init__(self, message: str, *, hint: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message, hint, retryable)
        self.message = message
        self.hint = hint
        if retryable is not None:
            self.retryable = retryable

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process boundaries as Prefect results, keyword arguments included."""
        return (type(self)._rebuild, (self.message, self.hint, self.retryable, self.__dict__))

    @classmethod
    def _rebuild(cls, message: str, hint: str | None, retryable: bool, state: dict[str, object]) -> "EdgeliftError":
        error = cls.__new__(cls)
        EdgeliftError.__init__(error, message, hint=hint, retryable=retryable)
        error.__dict__.update(state)
        return error

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class ConfigurationError(EdgeliftError):
    """Options, files or names that the caller has to mend."""

    exit_code = 2


class MalformedReferenceError(ConfigurationError):
    """A text that is no image reference, repository, tag or digest."""


class ProfileError(ConfigurationError):
    """What the profiles ask for cannot be built as it stands."""


class PaletteError(EdgeliftError):
    """The Palette API refused, or could not be reached. `status` is the HTTP status, if there was an answer."""

    def __init__(
        self, message: str, *, hint: str | None = None, retryable: bool | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.status = status


class EdgeHostError(EdgeliftError):
    """An edge host refused, or could not be reached. `status` is the HTTP status, if there was an answer."""

    def __init__(
        self, message: str, *, hint: str | None = None, retryable: bool | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.status = status


class RegistryError(EdgeliftError):
    """A registry refused, or could not be reached.

    `status` is the HTTP status, if there was an answer, and `code` the registry's own error code, if it gave one.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retryable: bool | None = None,
        status: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.status = status
        self.code = code

    @property
    def says_blob_unknown(self) -> bool:
        """Whether the registry misses content that a manifest names."""
        return self.code in ("MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN")


class NotFoundError(RegistryError):
    """The registry does not have that repository, tag, manifest or blob."""


class DeniedError(RegistryError):
    """The registry refused our credentials, or wants some where we have none."""


class UnreachableError(RegistryError):
    """No answer from the registry: its name, the connection, TLS, or a time-out, which `is_timeout` says."""

    retryable = True
    is_timeout = False


class RateLimitError(RegistryError):
    """The registry gives no more for now, and waiting for it would take longer than a run should."""


class RefusedError(RegistryError):
    """The registry will not take this content, however often it is sent."""


class StoreError(EdgeliftError):
    """The local disk or the object store failed."""


class WindowClosedError(EdgeliftError):
    """The hours in which a site takes something are over. A run inside them continues."""

    exit_code = 3


class BundleError(EdgeliftError):
    """A file that is no bundle, or one that cannot be read."""


class UnseekableError(BundleError):
    """A bundle that has lost its seek table; `edgelift.bundle.stream` reads it from front to back."""


class RejectedError(EdgeliftError):
    """Somebody was asked whether a delivery may go on, and said no; nothing has been pushed."""


class IntegrityError(EdgeliftError):
    """Bytes that are not what their digest or size says they are."""


class SignatureError(IntegrityError):
    """A bundle or a lock whose signature is missing, or is not that of the key that is asked for."""


class ManyError(EdgeliftError):
    """Work on many things failed in several places; `failures` holds one line for each."""

    def __init__(
        self, message: str, failures: Sequence[str], *, hint: str | None = None, retryable: bool | None = None
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.failures = tuple(failures)

    def __str__(self) -> str:
        listed = (failure.replace("\n", "\n  ") for failure in self.failures)  # a failure's own hint stays below it
        lines = [self.message, *(f"  - {failure}" for failure in listed)]
        return "\n".join([*lines, f"  → {self.hint}"] if self.hint else lines)


class PlanError(ManyError):
    """What was asked for cannot be delivered as it stands; nothing has been moved."""


class SitesError(ManyError):
    """Site files that are wrong; `failures` names every mistake with its file and line."""

    exit_code = 2


class PartsError(ManyError):
    """A bundle in parts of which some are missing or damaged; `parts` has a document on each, for scripts."""

    def __init__(
        self,
        message: str,
        failures: Sequence[str],
        *,
        hint: str | None = None,
        parts: Sequence[dict[str, str | int]] = (),
    ) -> None:
        super().__init__(message, failures, hint=hint)
        self.parts = tuple(parts)


class IncompleteError(ManyError):
    """Part of the work is done and stays done; the `failures` are not. A re-run continues."""

    exit_code = 3
