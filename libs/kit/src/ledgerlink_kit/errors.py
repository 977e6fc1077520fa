"""Three families of error, and nothing else that a caller may meet.

``LedgerLinkError``
 ├── ``Refused``      4xx: the caller's business; never pages anybody
 ├── ``Unavailable``  503/504: ours or a dependency's, passing; counted against the SLO; says when to try again
 └── ``Defect``       500: a broken promise of ours; alerts; the caller learns the trace id only

A domain error carries a kind and a code. Only `ledgerlink_kit.problem` knows HTTP statuses.
"""

from enum import Enum, auto
from typing import Any


class Kind(Enum):
    """Why something was refused, in the domain's words; `ledgerlink_kit.problem` gives each its status."""

    INVALID = auto()
    UNAUTHENTICATED = auto()
    DECLINED = auto()
    FORBIDDEN = auto()
    NOT_FOUND = auto()
    CONFLICT = auto()
    GONE = auto()
    TOO_LARGE = auto()
    UNSUPPORTED = auto()
    UNPROCESSABLE = auto()
    LOCKED = auto()
    RATE_LIMITED = auto()


class LedgerLinkError(Exception):
    """What all three families share: a kebab-case ``code`` that never changes meaning, and a ``detail`` for people."""

    def __init__(self, code: str, detail: str, members: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.members: dict[str, Any] = members or {}


class Refused(LedgerLinkError):
    """The request cannot be done as asked; ``members`` stand in the problem body beside the detail.

    A member named ``retry_after_s`` (whole seconds) becomes the Retry-After header as well.
    """

    def __init__(self, kind: Kind, code: str, detail: str, **members: Any) -> None:
        super().__init__(code, detail, members)
        self.kind = kind


class Unavailable(LedgerLinkError):
    """Something needed is away for now. ``outcome_unknown`` says whether an effect may have happened all the same."""

    def __init__(self, code: str, detail: str, retry_after_s: int = 1, *, outcome_unknown: bool = False) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s
        self.outcome_unknown = outcome_unknown


class Defect(LedgerLinkError):
    """A promise of ours is broken; ``detail`` goes to the log, never to the caller."""

    def __init__(self, detail: str) -> None:
        super().__init__("internal-error", detail)
