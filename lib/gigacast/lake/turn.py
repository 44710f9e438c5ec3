"""Turns that wait for the end of a run: notes of events that came while another run went on.

The note is the event itself, so that the closing of the run can call the planner with it. Equal
events are one note: a run does all that is pending.
"""

import json
from collections.abc import Mapping
from typing import Any

from gigacast.core.digest import digest_text
from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.errors import CorruptedFileError, ObjectNotFoundError
from gigacast.lake.layout import turn_key, turns_prefix
from gigacast.storage.store import Store


def note_turn(store: Store, event: Mapping[str, Any]) -> None:
    """Note that a turn waits, with the event that it is to begin with.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    event : mapping
        JSON values.
    """
    store.put(_key_of(event), _encoded(event))


def drop_turn(store: Store, event: Mapping[str, Any]) -> None:
    """Remove the note of a turn; do nothing if there is none."""
    store.delete([_key_of(event)])


def waiting_turns(store: Store) -> list[Mapping[str, Any]]:
    """Return the events of the turns that wait; damaged notes are left out."""
    events: list[Mapping[str, Any]] = []
    for key in [entry.key for page in store.list(turns_prefix()) for entry in page]:
        try:
            event = decode_json(store.get(key), Source(key, CorruptedFileError))
        except (ObjectNotFoundError, CorruptedFileError):
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def _key_of(event: Mapping[str, Any]) -> str:
    return turn_key(digest_text(_encoded(event).decode(), length=16))


def _encoded(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, sort_keys=True).encode()
