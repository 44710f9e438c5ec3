"""Weights that their own library refuses are no version, whatever our reader of headers thinks."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gigacast.errors import ModelIntegrityError
from gigacast.forecasters.proof import prove_readable
from gigacast.lake.model.active import read_active
from gigacast.lake.model.registry import Registry
from gigacast.models.publish import ModelDescription, publish_folder
from gigacast.storage.memory import MemoryStore
from tests.support.model_folders import CONFIG, author


def written(path: Path, tensors: dict[str, object], data: bytes) -> None:
    header = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file({"a": np.zeros(4, np.float32)}, tmp_path / "model.safetensors")
    return tmp_path


def tensor(start: int, stop: int, shape: tuple[int, ...], kind: str = "F32") -> dict[str, object]:
    return {"dtype": kind, "shape": list(shape), "data_offsets": [start, stop]}


REFUSED = {
    "overlapping": {"a": tensor(0, 8, (2,)), "b": tensor(4, 12, (2,))},
    "a hole": {"a": tensor(4, 12, (2,))},
    "an unknown type": {"a": tensor(0, 12, (3,), "F33")},
    "a shape that does not fit": {"a": tensor(0, 12, (7,))},
    "metadata that is no text": {"__metadata__": {"x": 1}, "a": tensor(0, 12, (3,))},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_library_refuses_never_becomes_a_version(folder: Path, kind: str) -> None:
    written(folder / "model.safetensors", REFUSED[kind], bytes(12))
    registry = Registry(MemoryStore(f"refused {kind}"))
    with pytest.raises(ModelIntegrityError, match=r"model.safetensors"):
        publish_folder(registry, folder, ModelDescription(name="m", version="v1"), author())
    assert registry.versions("m") == {}
    assert read_active(registry, "m")[0].version is None


def test_sound_weights_are_readable(folder: Path) -> None:
    prove_readable(folder)
