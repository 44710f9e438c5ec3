"""What must hold in every bucket that runs, crashes and others can leave behind."""

from collections.abc import Iterable

from gigacast.errors import DataNotFoundError, GigacastError, InputChangedError
from gigacast.lake.layout import (
    FORECASTS,
    TIMINGS,
    manifest_key,
    outdated_key,
    output_id,
    parse_origin_key,
    receipt_key,
)
from gigacast.lake.plan.manifest import read_manifest
from gigacast.storage.memory import MemoryStore
from tests.model.replay import NOTE, World, note_of, store_of
from tests.model.runs import forecast_of, prune, read, run, unthreaded
from tests.unit.lake.plans import SPEC, done_of, plan_of

SPEC_ID = SPEC.id(7)
FOLDER = f"{FORECASTS}{SPEC.model}/{SPEC.version}/{SPEC_ID}/"
MANIFEST = manifest_key(SPEC.model, SPEC.version, SPEC_ID)
OUTDATED = outdated_key(SPEC.model, SPEC.version, SPEC_ID)


class Law:
    """The law of all buckets whose inputs only ever have some contents.

    Parameters
    ----------
    keys : iterable of str
        Keys of all inputs, present or not.
    contents : iterable of bytes
    keeps_origins : bool
        Whether each forecast that was ever written must be there: no clean-up takes part.
    """

    def __init__(
        self, keys: Iterable[str], contents: Iterable[bytes], *, keeps_origins: bool = False
    ) -> None:
        self._keys = tuple(keys)
        self._keeps_origins = keeps_origins
        self._contents = tuple(contents)
        pairs = [(key, content) for key in self._keys for content in self._contents]
        self._true_receipts = {self._receipt(*pair): self._note(*pair) for pair in pairs}

    def _receipt(self, key: str, content: bytes) -> str:
        """Return the only key that a receipt about a content may have."""
        scratch = store_of({key: content, FOLDER + key: forecast_of(content)})
        (task,) = plan_of(scratch).tasks
        etag = scratch.head(FOLDER + key).etag
        return receipt_key(task.output_key, task.input_id, etag)

    def _note(self, key: str, content: bytes) -> str:
        scratch = store_of({key: forecast_of(content)})
        return note_of(FOLDER + key, scratch.head(key).etag)

    def check(self, world: World) -> None:
        """Check a world, then that an undisturbed run makes it right."""
        self._check_objects(world)
        if self._keeps_origins:
            self._check_origins(world)
        with unthreaded():
            self._check_done(world)
            self._check_reading(world)
            self._check_convergence(world)

    def _check_objects(self, world: World) -> None:
        """No receipt lies, and no output is half there."""
        whole = {forecast_of(content) for content in self._contents}
        for key, content in world.items():
            if key.startswith(TIMINGS):
                note = self._true_receipts.get(key)
                assert note is not None, f"a receipt of another input's forecast: {key}"
                assert note in world, f"a receipt of a forecast that nobody wrote: {key}"
            elif key.startswith(FOLDER) and key not in (MANIFEST, OUTDATED):
                assert content in whole, f"an output that no run computed: {key}"
            elif (origin := parse_origin_key(key)) is not None:
                etag = store_of({key: content}).head(key).etag
                assert output_id(etag) == origin.output_id, f"an origin with other bytes: {key}"
                assert note_of(origin.output_key, etag) in world, f"nobody wrote it: {key}"

    def _check_origins(self, world: World) -> None:
        """Each forecast that was ever written is the current one or a kept one."""
        ids = {(o.output_key, o.output_id) for key in world if (o := parse_origin_key(key))}
        for key in (FOLDER + key for key in self._keys):
            if key in world:
                ids.add((key, output_id(store_of(world).head(key).etag)))
        for note in (key for key in world if key.startswith(NOTE)):
            key, _, etag = note.removeprefix(NOTE).rpartition(" ")
            assert (key, output_id(etag)) in ids, f"an origin is lost: {note}"

    def _check_done(self, world: World) -> None:
        for entry in done_of(store_of(world)):
            (listed,) = entry.task.inputs
            expected = forecast_of(world[listed.key])
            assert world[entry.output.key] == expected, f"a wrong done: {listed.key}"
            named = self._receipt(listed.key, world[listed.key])
            assert entry.receipt_key == named, f"done by another's receipt: {listed.key}"

    def _check_reading(self, world: World) -> None:
        """A reader gets the set of the manifest, or is refused; never a mixture."""
        table, _ = read_manifest(store_of(world), MANIFEST)
        rows = table.to_pylist()
        named = {output_id(row["etag"]) for row in rows}
        known = {key.rsplit(".", 2)[1] for key in self._true_receipts}
        assert named <= known, "a manifest names an output that no run computed"
        assert {row["rows"] for row in rows} <= {1, None}, "a manifest counts other rows"
        try:
            answers = read(store_of(world))
        except (InputChangedError, DataNotFoundError):
            return
        outputs = [world[row["key"]] for row in rows]
        assert [forecast_of(a.encode()) for a in answers] == outputs, "a mixture was read"

    def _check_convergence(self, world: World) -> None:
        """An undisturbed run completes; with `prune` after it nothing is left over."""
        store = store_of(world)
        inputs = {key: world[key] for key in self._keys if key in world}
        # Without inputs a run refuses to start.
        if not inputs:
            return
        assert run(store) == "completed", "an undisturbed run fails"
        assert plan_of(store).tasks == [], "an undisturbed run leaves work"
        self._check_done(_objects(store))
        entries = {row["key"]: row["etag"] for row in read_manifest(store, MANIFEST)[0].to_pylist()}
        for key in inputs:
            etag = store.head(FOLDER + key).etag
            assert entries[FOLDER + key] == etag, f"the manifest lacks the last forecast: {key}"
        prune(store)
        of_inputs = tuple(inputs[key].decode() for key in sorted(inputs))
        try:
            assert read(store) == of_inputs, "the forecasts are not those of the inputs"
        except GigacastError as error:
            raise AssertionError(f"a reader is refused for ever: {error.message}") from error
        expected = {self._receipt(key, content) for key, content in inputs.items()}
        receipts = {entry.key for page in store.list(TIMINGS) for entry in page}
        assert receipts == expected, "the receipts are not one for each partition"
        outputs = {entry.key for page in store.list(FOLDER) for entry in page}
        assert outputs == {MANIFEST, *(FOLDER + key for key in inputs)}, "litter stays"
        assert plan_of(store).tasks == [], "pruning leaves work"


def _objects(store: MemoryStore) -> World:
    return {e.key: store.get(e.key) for page in store.list() for e in page}
