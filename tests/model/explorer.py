"""An exhaustive search: all orders of the steps of some programs, breadth first.

Any program may stop for ever at any step, as a killed process does: each world that is reached is
checked, and an undisturbed run is started from it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.model.replay import (
    LISTINGS,
    OUTAGE,
    Ended,
    Program,
    Replay,
    Request,
    World,
    perform,
)

Check = Callable[[World], None]


@dataclass(frozen=True)
class Scenario:
    """What may happen.

    Parameters
    ----------
    programs : mapping of str to Program
        Code by name.
    running : tuple of str
        Names of the programs that run side by side; a name may come twice.
    world : World
        Objects at the start.
    changes : tuple of (str, bytes or None)
        Changes of inputs by others, in their order, at any time: the key and its new content;
        ``None`` deletes it.
    stale : int
        Number of listings that may show an earlier world.
    memory : int
        Number of earlier worlds that such a listing may show.
    faults : int
        Number of requests that may fail, each before or after its effect.
    at_rest : callable, optional
        Checks the world and the ends of all programs, where no request failed.
    """

    programs: Mapping[str, Program]
    running: tuple[str, ...]
    world: World
    changes: tuple[tuple[str, bytes | None], ...] = ()
    stale: int = 0
    memory: int = 1
    faults: int = 0
    at_rest: Callable[[World, list[tuple[str, Ended]]], None] | None = None


class State(NamedTuple):
    """All that decides what can happen next. Worlds and places are numbers."""

    world: int
    past: tuple[int, ...]
    places: tuple[int, ...]
    changes: int
    stale: int
    faults: int


class ViolationError(AssertionError):
    """A world that must not exist, and the steps that lead to it."""


@dataclass
class Found:
    """The size of a search."""

    states: int = 0
    worlds: int = 0
    places: int = 0
    is_whole: bool = True


@dataclass
class _Search:
    scenario: Scenario
    replay: Replay
    worlds: list[World] = field(default_factory=list)
    numbers: dict[frozenset[tuple[str, bytes]], int] = field(default_factory=dict)
    origins: dict[State, tuple[State, str] | None] = field(default_factory=dict)

    def number(self, world: World) -> int:
        identity = frozenset(world.items())
        if identity not in self.numbers:
            self.numbers[identity] = len(self.worlds)
            self.worlds.append(world)
        return self.numbers[identity]

    def after(self, state: State, world: World, **changes: object) -> State:
        number = self.number(world)
        past = state.past
        if number != state.world:
            past = (*past, state.world)
        state = state._replace(world=number, past=past, **changes)
        # What no listing can show any more keeps no two states apart.
        memory = self.scenario.memory if state.stale else 0
        return state._replace(past=state.past[-memory:] if memory else ())

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """Yield what can happen next, and the state after it."""
        if state.changes < len(self.scenario.changes):
            key, content = self.scenario.changes[state.changes]
            world = {k: c for k, c in self.worlds[state.world].items() if k != key}
            world |= {key: content} if content is not None else {}
            label = f"others: {key} = {content!r}"
            yield label, self.after(state, world, changes=state.changes + 1)
        # Two programs at one place have the same steps before them.
        for place in dict.fromkeys(state.places):
            request = self.replay.next(place)
            if isinstance(request, Request):
                yield from self._requests(state, place, request)

    def _requests(self, state: State, place: int, request: Request) -> Iterator[tuple[str, State]]:
        world, name = self.worlds[state.world], self.replay.name(place)
        answer, changed = perform(world, request)
        yield f"{name}: {request}", self._answered(state, place, answer, changed)
        if state.stale and request.kind in LISTINGS:
            for earlier in state.past:
                old, _ = perform(self.worlds[earlier], request)
                if old != answer:
                    spent = state._replace(stale=state.stale - 1)
                    yield f"{name}: stale {request}", self._answered(spent, place, old, world)
        if state.faults:
            spent = state._replace(faults=state.faults - 1)
            yield f"{name}: refused {request}", self._answered(spent, place, OUTAGE, world)
            if changed != world:
                label = f"{name}: lost answer to {request}"
                yield label, self._answered(spent, place, OUTAGE, changed)

    def _answered(self, state: State, place: int, answer: object, world: World) -> State:
        places = list(state.places)
        places[places.index(place)] = self.replay.after(place, answer)
        # In order: which of two equal programs is where makes no difference.
        return self.after(state, world, places=tuple(sorted(places)))

    def trace(self, state: State) -> str:
        steps = []
        while (origin := self.origins[state]) is not None:
            state, label = origin
            steps.append(label)
        return "\n  ".join(["the steps:", *reversed(steps)])


def explore(scenario: Scenario, check: Check, *, most_states: int = 1_000_000) -> Found:
    """Try everything that may happen.

    Parameters
    ----------
    scenario : Scenario
    check : callable
        Raises ``AssertionError`` on a world that must not exist.
    most_states : int
        Number of states after which the search ends.

    Raises
    ------
    ViolationError
        With the shortest steps that lead to a failing check.
    """
    search = _Search(scenario, Replay(scenario.programs))
    places = tuple(sorted(map(search.replay.start, scenario.running)))
    first = State(search.number(scenario.world), (), places, 0, scenario.stale, scenario.faults)
    search.origins[first] = None
    queue, checked = deque([first]), set[int]()
    while queue and len(search.origins) < most_states:
        state = queue.popleft()
        try:
            if state.world not in checked:
                checked.add(state.world)
                check(search.worlds[state.world])
            _check_rest(search, state)
        except AssertionError as error:
            raise ViolationError(f"{error}\n{search.trace(state)}") from error
        for label, later in search.steps(state):
            if later not in search.origins:
                search.origins[later] = (state, label)
                queue.append(later)
    return Found(len(search.origins), len(search.worlds), search.replay.places, not queue)


def _check_rest(search: _Search, state: State) -> None:
    scenario = search.scenario
    if scenario.at_rest is None or state.faults < scenario.faults:
        return
    nexts = [(search.replay.name(place), search.replay.next(place)) for place in state.places]
    ends = [(name, end) for name, end in nexts if isinstance(end, Ended)]
    if len(ends) == len(nexts):
        scenario.at_rest(search.worlds[state.world], ends)
