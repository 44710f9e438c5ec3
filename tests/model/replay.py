"""A store that turns code into steps: each request of a program is a step of its own.

A program is a function of a store. What it does next depends only on the answers that it got so
far: so it is run from its start against these answers, up to the first request without one. No
thread has to be stopped, and a program can be continued from the same place in different worlds.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gigacast.errors import GigacastError, TransientStorageError
from gigacast.lake.layout import AUDIT, FORECASTS, TIMINGS
from gigacast.storage.memory import MemoryStore, _Bucket, _Object
from gigacast.storage.store import Folder, ObjectMeta, Store, StoreAddress

World = dict[str, bytes]
"""The objects of a bucket by key, and notes of the model about what was ever written."""
NOTE = "\0written: "
"""Beginning of notes: no key begins with it, and no request sees them."""
Program = Callable[[Store], object]
LISTINGS = ("list", "list_folder")
WRITES = ("put", "put_if_absent", "put_if_match", "delete")
_CLOCK = {
    "finished_at": "2024-01-01T00:00:00+00:00",
    "seconds": {},
    "peak_rss_bytes": 0,
    "host": {},
    "series_per_s": 0,
}


class Request(NamedTuple):
    """A request to the store."""

    kind: str
    key: str
    content: bytes | None = None
    etag: str | None = None
    start: int = 0
    stop: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class Pause(BaseException):
    """The program has come to a request without an answer. Like a killed process, it is no error
    that the program may handle."""

    def __init__(self, request: Request) -> None:
        super().__init__(str(request))
        self.request = request


@dataclass(frozen=True)
class Refusal:
    """An answer that is an error."""

    kind: type[GigacastError]
    message: str


@dataclass(frozen=True)
class Ended:
    """The end of a program: what it returned, or the name of the error that it raised."""

    result: object
    error: str = ""


class ReplayStore(Store):
    """Answers the requests of a program from a record, and pauses it at the end of the record."""

    def __init__(self, answers: Mapping[tuple[Request, int], object]) -> None:
        self.address = StoreAddress("memory://model")
        self._answers = answers
        self._counts: Counter[Request] = Counter()
        self._lock = threading.Lock()

    def _ask(self, request: Request) -> object:
        with self._lock:
            place = (request, self._counts[request])
            self._counts[request] += 1
        if place not in self._answers:
            raise Pause(request)
        answer = self._answers[place]
        if isinstance(answer, Refusal):
            raise answer.kind(answer.message)
        return answer

    def check(self) -> None:
        """The bucket of the model is always reachable."""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        pages = self._ask(Request("list", prefix, etag=start_after or None))
        return iter([list(page) for page in pages])  # type: ignore[attr-defined]

    def list_folder(self, prefix: str = "") -> Folder:
        return self._ask(Request("list_folder", prefix))  # type: ignore[return-value]

    def head(self, key: str) -> ObjectMeta:
        return self._ask(Request("head", key))  # type: ignore[return-value]

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        request = Request("get", key, etag=if_match, start=start, stop=stop)
        return self._ask(request)  # type: ignore[return-value]

    def put(self, key: str, content: bytes | Path) -> str:
        # Audits decide nothing: they are no steps, so that fewer orders are left to try.
        if key.startswith(AUDIT):
            return ""
        return self._ask(Request("put", key, _bytes_of(key, content)))  # type: ignore[return-value]

    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        request = Request("put_if_absent", key, _bytes_of(key, content))
        return self._ask(request)  # type: ignore[return-value]

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        request = Request("put_if_match", key, _bytes_of(key, content), etag)
        return self._ask(request)  # type: ignore[return-value]

    def delete(self, keys: Iterable[str]) -> None:
        # S3 deletes many keys by one request, but not at one time.
        for key in keys:
            self._ask(Request("delete", key))


def _bytes_of(key: str, content: bytes | Path) -> bytes:
    """Return what is written; the clock of receipts stands still, so that equal steps are equal."""
    content = content.read_bytes() if isinstance(content, Path) else bytes(content)
    if not key.startswith(TIMINGS):
        return content
    return json.dumps({**json.loads(content), **_CLOCK}, sort_keys=True).encode()


def store_of(world: World) -> MemoryStore:
    """Return a real store in memory with the objects of a world."""
    store = MemoryStore("model-of-receipts")
    store._bucket = _Bucket()  # one of its own: a name stands for one memory
    for key, content in world.items():
        if not key.startswith(NOTE):
            store._bucket.put(key, _object_of(content))
    return store


def world_of(store: MemoryStore) -> World:
    """Return the objects of a store in memory."""
    return {key: stored.content for key, stored in store._bucket.objects.items()}


_objects: dict[bytes, _Object] = {}


def _object_of(content: bytes) -> _Object:
    if content not in _objects:
        scratch = MemoryStore("model-of-receipts-scratch")
        _objects[content] = _Object(content, scratch.put("key", content), 0)
    return _objects[content]


def perform(world: World, request: Request) -> tuple[object, World]:
    """Return the answer of a store to a request, and the world after it."""
    store = store_of(world)
    try:
        answer = _send(store, request)
    except GigacastError as error:
        return Refusal(type(error), error.message), world
    if request.kind not in WRITES:
        return answer, world
    notes = {key: b"" for key in world if key.startswith(NOTE)}
    is_forecast = request.key.startswith(FORECASTS) and "/_manifest." not in request.key
    if is_forecast and request.kind != "delete":
        notes[note_of(request.key, str(answer))] = b""
    return answer, world_of(store) | notes


def note_of(key: str, etag: str) -> str:
    """Return the note that an object was written."""
    return f"{NOTE}{key} {etag}"


def _send(store: MemoryStore, request: Request) -> object:
    key, content, etag = request.key, request.content or b"", request.etag
    if request.kind == "list":
        return tuple(tuple(page) for page in store.list(key, start_after=etag or ""))
    if request.kind == "get":
        return store.get(key, if_match=etag, start=request.start, stop=request.stop)
    if request.kind == "put_if_match":
        return store.put_if_match(key, content, etag or "")
    if request.kind == "delete":
        return store.delete([key])
    if request.kind in ("put", "put_if_absent"):
        return getattr(store, request.kind)(key, content)
    return getattr(store, request.kind)(key)


OUTAGE = Refusal(TransientStorageError, "the store did not answer")


class Replay:
    """The places that programs can be at: each is a record of answers, shared by its start.

    A place is a number. The next request at each place is computed once.
    """

    def __init__(self, programs: Mapping[str, Program]) -> None:
        self._programs = programs
        self._parents: list[tuple[int, Request, object, str]] = []
        self._places: dict[object, int] = {}
        self._next: dict[int, Request | Ended] = {}

    def start(self, name: str) -> int:
        """Return the place of a program that has not begun."""
        return self._place(-1, Request("start", name), None, name)

    def after(self, place: int, answer: object) -> int:
        """Return the place after the answer to the next request of a place."""
        request = self.next(place)
        assert isinstance(request, Request)
        return self._place(place, request, answer, self._parents[place][3])

    def _place(self, parent: int, request: Request, answer: object, name: str) -> int:
        identity = (parent, request, answer)
        if identity not in self._places:
            self._places[identity] = len(self._parents)
            self._parents.append((parent, request, answer, name))
        return self._places[identity]

    def next(self, place: int) -> Request | Ended:
        """Return the next request of the program at a place, or its end."""
        if place not in self._next:
            program = self._programs[self._parents[place][3]]
            self._next[place] = _run(program, self._answers(place))
        return self._next[place]

    def _answers(self, place: int) -> dict[tuple[Request, int], object]:
        steps: list[tuple[Request, object]] = []
        while self._parents[place][0] >= 0:
            parent, request, answer, _ = self._parents[place]
            steps.append((request, answer))
            place = parent
        counts: Counter[Request] = Counter()
        answers = {}
        for request, answer in reversed(steps):
            answers[request, counts[request]] = answer
            counts[request] += 1
        return answers

    def name(self, place: int) -> str:
        """Return the name of the program at a place."""
        return self._parents[place][3]

    @property
    def places(self) -> int:
        """Number of places so far."""
        return len(self._parents)


def _run(program: Program, answers: Mapping[tuple[Request, int], object]) -> Request | Ended:
    try:
        return Ended(program(ReplayStore(answers)))
    except Pause as pause:
        # Code that cleans up after an error asks for more, with the first pause as its context.
        while isinstance(pause.__context__, Pause):
            pause = pause.__context__
        return pause.request
    # Errors of the tree are ends that the product knows. Any other fails the test.
    except GigacastError as error:
        return Ended(None, type(error).__name__)
