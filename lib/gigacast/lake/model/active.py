"""The active version of a model: one object per model, changed by compare and swap.

``ACTIVE`` holds the active version and the history of its changes. A change is written against the
ETag that was read, so the slower of two operators undoes nothing: it gets an error that shows the
version that is active now.

Deletions are recorded here, too: the swap makes a switch that is under way fail, and a later switch
to the deleted version finds the claim for deletion (see `lake.model.registry`).
"""

import json
from dataclasses import asdict, dataclass, replace

from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import (
    ModelConflictError,
    ModelIntegrityError,
    PreconditionFailedError,
)
from gigacast.lake.layout import active_key
from gigacast.lake.model.manifest import Name, check_name
from gigacast.lake.model.registry import PUBLISHED, Registry
from gigacast.lake.publication import Author, read_pinned

SWITCH, ROLLBACK, DELETE, RESTORE = "switch", "rollback", "delete", "restore"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the history; the action is switch, rollback, delete or restore."""

    version: str
    when: str
    who: str
    why: str = ""
    action: str = SWITCH


@dataclass(frozen=True, slots=True)
class Active:
    """The active version of a model, ``None`` without one, and the history of its changes."""

    version: Name | None = None
    history: tuple[Change, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the object as it is stored."""
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    def then(self, change: Change) -> "Active":
        """Return the state after one more change."""
        version = self.version if change.action == DELETE else change.version
        return Active(version, (*self.history, change))

    def before(self) -> list[str]:
        """Return the versions that rollbacks lead to, that of the next rollback first.

        A rollback undoes its switch: two in a row go two versions back.
        """
        pile: list[str] = []
        # The history is replayed as a stack. A rollback goes back to an earlier entry, so that the
        # next one goes back further instead of returning to the version that was just left.
        for change in self.history:
            if change.action == ROLLBACK:
                while pile and pile[-1] != change.version:
                    pile.pop()
            elif change.action != DELETE:
                pile.append(change.version)
        return pile[-2::-1]  # without the last, which is active now


def parse_active(content: bytes, label: str) -> Active:
    """Read an ``ACTIVE`` object.

    Raises
    ------
    ModelIntegrityError
    """
    source = Source(
        label,
        ModelIntegrityError,
        "does not say which version is active",
        "delete it and run `gigacast models switch NAME VERSION`",
    )
    required = ("version", "history")
    values = decode_json(content, source)
    return read_record(Active, values, source, required=required, ignore_unknown=True)


def read_active(registry: Registry, model: str) -> tuple[Active, str | None]:
    """Return the active version of a model and the ETag of the object that names it.

    The ETag is ``None`` when no version ever was active.

    Raises
    ------
    ModelIntegrityError
    """
    key = active_key(check_name("model", model))
    pinned = read_pinned(registry.store, key)
    if pinned is None:
        return Active(), None
    return parse_active(pinned.content, f"{registry.store.address.url}/{key}"), pinned.etag


def write_active(registry: Registry, model: str, active: Active, etag: str | None) -> None:
    """Replace the active version unless it changed since it was read.

    Raises
    ------
    ModelConflictError
        When it did; the message names the version that is active now.
    """
    key = active_key(model)
    try:
        if etag is None:
            registry.store.put_if_absent(key, active.to_bytes())
        else:
            registry.store.put_if_match(key, active.to_bytes(), etag)
    except PreconditionFailedError as error:
        raise lost_race(registry, model) from error


def lost_race(registry: Registry, model: str) -> ModelConflictError:
    """Return the error for the slower of two operators."""
    now, _ = read_active(registry, model)
    last = now.history[-1] if now.history else None
    by = f" ({last.action} {last.version} by {last.who}, {last.when})" if last else ""
    return ModelConflictError(
        f"{model}: somebody else was faster, active is {now.version or 'none'} now{by}",
        hint=f"look at it with `gigacast models show {model}`, then run the command again",
    )


def switch_version(
    registry: Registry,
    model: str,
    version: str,
    author: Author,
    *,
    why: str = "",
    expected: str | None = None,
) -> Active:
    """Make a published version the active one.

    Parameters
    ----------
    registry : Registry
    model, version : str
    author : Author
    why : str
        Reason, for the history.
    expected : str, optional
        Version that must be active now; any by default.

    Raises
    ------
    ModelNotFoundError
        When it is not published; the message lists the versions that are.
    ModelConflictError
        When another process changed the active version, it is not ``expected``, or the version is
        being deleted.
    """
    active, etag = read_active(registry, model)
    if expected is not None and active.version != expected:
        raise lost_race(registry, model)
    # Checked after ACTIVE was read: a deletion that begins later changes ACTIVE, so that the swap
    # below fails.
    _check_usable(registry, model, version)
    if active.version == version:
        return active
    then = active.then(Change(version, author.now(), author.who, why))
    write_active(registry, model, then, etag)
    return then


def _check_usable(registry: Registry, model: str, version: str) -> None:
    registry.read(model, version)
    if registry.is_being_deleted(model, version):
        raise ModelConflictError(
            f"{model}/{version} is being deleted", hint="choose another, or publish it again"
        )


def activate_first(registry: Registry, model: str, version: str, author: Author) -> bool:
    """Make a version active if none is; return whether this call did."""
    active, etag = read_active(registry, model)
    if active.version is not None:
        return False
    change = Change(version, author.now(), author.who, "the first version")
    try:
        write_active(registry, model, active.then(change), etag)
    except ModelConflictError:
        return False  # another first version was faster
    return True


def rollback_version(registry: Registry, model: str, author: Author, *, why: str = "") -> Active:
    """Make the latest earlier version active that is still published.

    Raises
    ------
    ModelConflictError
        When there is none, or another process changed the active version.
    """
    active, etag = read_active(registry, model)
    if etag is None:
        raise registry.unknown(model)
    versions = registry.versions(model)
    for version in active.before():
        # Versions that were deleted since are skipped.
        if version != active.version and versions.get(version) == PUBLISHED:
            _check_usable(registry, model, version)
            then = active.then(Change(version, author.now(), author.who, why, ROLLBACK))
            write_active(registry, model, then, etag)
            return then
    raise ModelConflictError(
        f"{model}: {active.version} is active, and nothing before it is still published",
        hint=f"`gigacast models switch {model} VERSION` leads to any published version",
    )


def delete_version(
    registry: Registry, model: str, version: str, author: Author, *, why: str = ""
) -> int:
    """Delete a version that is not active, or the leftovers of an unfinished publish.

    Returns
    -------
    int
        Count of objects deleted.

    Raises
    ------
    ModelConflictError
        When it is active, or another process changed the active version meanwhile.
    ModelNotFoundError
    """
    check_deletable(registry, model, version)
    active, etag = read_active(registry, model)
    # Claim before swap: a switch that starts after the swap finds the claim, and one that started
    # before it loses its compare and swap. So no deleted version becomes active.
    before = registry.claim_deletion(model, version, author)
    try:
        change = Change(version, author.now(), author.who, why, DELETE)
        if active.version == version:
            raise lost_race(registry, model)
        write_active(registry, model, active.then(change), etag)
    except ModelConflictError:
        registry.withdraw_deletion(model, version, before)
        raise
    return registry.erase(model, version)


def check_deletable(registry: Registry, model: str, version: str) -> None:
    """Check that a version exists and is not active.

    Raises
    ------
    ModelConflictError, ModelNotFoundError
    """
    active, _ = read_active(registry, model)
    if active.version == version:
        raise ModelConflictError(
            f"{model}/{version} is active and cannot be deleted",
            hint=f"`gigacast models switch {model} VERSION` or `rollback {model}` first; what is "
            "damaged is mended by publishing or restoring the same content again",
        )
    if check_name("version", version) not in registry.versions(model):
        raise registry.unknown(model, version)


def restored(active: Active, author: Author) -> Active:
    """Return the state of an archive with the restore added to its history."""
    if active.version is None:
        return active
    change = Change(active.version, author.now(), author.who, "from a backup", RESTORE)
    return replace(active, history=(*active.history, change))
