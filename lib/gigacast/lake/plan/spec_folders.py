"""The specs of a plan, which differ in the horizon, and their folders."""

from gigacast.core.partition.spec import Spec, horizon_of_spec
from gigacast.lake.layout import spec_prefix, version_prefix
from gigacast.storage.store import Store


class SpecFolders:
    """The ids and folders of a spec by horizon.

    Parameters
    ----------
    spec : Spec
    root : str
        Folder of the outputs of all specs.
    """

    def __init__(self, spec: Spec, root: str) -> None:
        self._spec = spec
        self._root = root
        self._ids: dict[int, str] = {}

    def id(self, horizon: int) -> str:
        """Return the id of the spec for a horizon."""
        if horizon not in self._ids:
            self._ids[horizon] = self._spec.id(horizon)
        return self._ids[horizon]

    def prefix(self, spec_id: str) -> str:
        """Return the folder of the outputs of an id."""
        return spec_prefix(self._spec.model, self._spec.version, spec_id, self._root)

    def find_live(self, outputs: Store) -> list[str]:
        """Return the ids of specs that exist and that this spec could have written.

        They differ in the horizon, which may come from the file name.
        """
        root = version_prefix(self._spec.model, self._spec.version, self._root)
        folders = outputs.list_folder(root).folders
        names = [name.removeprefix(root).rstrip("/") for name in folders]
        horizons = {name: horizon_of_spec(name) for name in names}
        return [n for n, horizon in horizons.items() if horizon and self.id(horizon) == n]
