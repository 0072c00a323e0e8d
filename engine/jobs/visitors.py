"""Who may do what where strangers come: names that the server has signed, and what is whose.

Without `public` everybody may do everything, as alone on a machine or in a team. With it a visitor sees and changes
what is theirs, and a job of which nobody knows whose it is belongs to the operator.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.jobs.database import Store
from engine.jobs.job_errors import NotAllowed, StorageError

Kind = Literal["visitor", "operator"]
MOST_OPENED = 50_000  # jobs of others, over all visitors, whose opening is remembered; the oldest go


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `owner` is what their jobs are kept under, empty for nobody known; `address` counts for shares."""

    owner: str = ""
    address: str = ""
    operator: bool = False


NOBODY = Visitor()


class Signatures:
    """Names that the server has given and knows again, by HMAC-SHA256 under a secret of the data directory."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.label = hashlib.sha256(secret).hexdigest()[:8]  # tells servers on one host apart, and no more

    @classmethod
    def of(cls, path: Path) -> Signatures:
        """With the secret of a file that its owner alone may read, made where it is missing. Raises StorageError."""
        try:
            if not path.exists():
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(secrets.token_bytes(32))
            path.chmod(0o600)
            secret = path.read_bytes()
        except OSError as error:
            raise StorageError(f"{path.name} cannot be used: {(error.strerror or str(error)).lower()}.") from None
        if len(secret) < 32:
            raise StorageError(f"{path.name} of the data directory is cut off; remove it, and visitors get new names.")
        return cls(secret)

    def give(self, kind: Kind = "visitor") -> str:
        """A new name, signed: NAME.SIGNATURE."""
        name = secrets.token_urlsafe(12)
        return f"{name}.{self._sign(kind, name)}"

    def read(self, text: str) -> tuple[str, Kind] | None:
        """The name and its kind in what a browser sent; None for what was not given here."""
        name, _, signature = text.partition(".")
        for kind in ("visitor", "operator"):
            if name and hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(kind, name).encode()):
                return name, kind
        return None

    @property
    def key(self) -> str:
        """What makes whoever knows it the operator."""
        return self._sign("key", "operator")

    def is_key(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.key.encode())

    def _sign(self, kind: str, name: str) -> str:
        return hmac.new(self._secret, f"resolute {kind} {name}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()


class Rights:
    """Whose a job is, and who may do what with it. `public`: strangers come here."""

    def __init__(self, store: Store, public: bool) -> None:
        self._store, self.public = store, public

    def may_change(self, job_id: str, by: Visitor | None) -> bool:
        """Whether they may stop, skip, retry, pin, delete or restore it."""
        by = by or NOBODY
        if not self.public or by.operator:
            return True
        row = self._store.read("SELECT owner FROM jobs WHERE id = ?", job_id)
        return bool(row and by.owner and row[0]["owner"] == by.owner)

    def check(self, job_id: str, by: Visitor | None) -> None:
        """Raises NotAllowed for a job that is not theirs."""
        if not self.may_change(job_id, by):
            raise NotAllowed("the comparison is not yours; only who started it may change it here.")

    def may_manage(self, by: Visitor | None) -> bool:
        """Whether they may remove for good, start the worker again, and put notices away."""
        return not self.public or (by or NOBODY).operator

    def check_operator(self, by: Visitor | None) -> None:
        """Raises NotAllowed for all but the operator."""
        if not self.may_manage(by):
            raise NotAllowed("only the operator of this server may do that.")

    def seen_by(self, by: Visitor | None, *, opened: bool) -> tuple[str, list[object]] | None:
        """The SQL condition of jobs that are listed to them: their own, and those `opened` by link. None: all are."""
        if self.may_manage(by):
            return None
        owner = (by or NOBODY).owner
        own = "(owner != '' AND owner = ?)"
        if not opened:
            return own, [owner]
        return f"({own} OR id IN (SELECT job_id FROM opened WHERE owner = ? AND owner != ''))", [owner, owner]

    def own(self, job_id: str, by: Visitor) -> None:
        """A job that came from outside is theirs now."""
        with self._store.transaction() as db:
            db.execute("UPDATE jobs SET owner = ? WHERE id = ?", (by.owner, job_id))

    def opened(self, job_id: str, by: Visitor) -> None:
        """Remember that they have opened a job by its link, so that their library lists it."""
        if not self.public or by.operator or not by.owner or self.may_change(job_id, by):
            return
        with self._store.transaction(lasting=False) as db:
            db.execute(
                "INSERT OR IGNORE INTO opened (job_id, owner) SELECT id, ? FROM jobs WHERE id = ?", (by.owner, job_id)
            )
            db.execute("DELETE FROM opened WHERE rowid <= (SELECT max(rowid) FROM opened) - ?", (MOST_OPENED,))
            db.execute("UPDATE counters SET value = value + 1 WHERE name = 'library'")
