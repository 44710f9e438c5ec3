"""LoRA adapters travel with their base, or not at all."""

from pathlib import Path

import pytest

from gigacast.errors import ModelConflictError, ModelIntegrityError, ModelNotFoundError
from gigacast.forecasters.proof import prove_readable
from gigacast.lake.model.file import digest_folder
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import resolve_model
from gigacast.models.publish import ModelDescription, publish_folder
from gigacast.storage.memory import MemoryStore
from tests.support.model_folders import author, make_adapter, make_folder, publish


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(request.node.name)


def publish_adapter(store: MemoryStore, folder: Path, base: str | None = None) -> str:
    expected = ModelDescription("lora", "v1", base=base)
    registry = Registry(store)
    published = publish_folder(registry, folder, expected, author(), prove=prove_readable)
    return published.manifest.digest


FILES = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "base/config.json",
    "base/model.safetensors",
]


def test_an_adapter_is_stored_with_the_base_it_names(store: MemoryStore, tmp_path: Path) -> None:
    base = make_folder(tmp_path / "base-model", 1)
    publish_adapter(store, make_adapter(tmp_path / "lora", str(base)))
    manifest = Registry(store).read("lora", "v1")
    assert [file.name for file in manifest.files] == FILES
    assert manifest.architecture == "ChronosBoltModelForForecasting + LoRA"
    assert (manifest.parameters, manifest.context_length) == (17 + 4, 512)


def test_the_digest_of_an_adapter_depends_on_its_base(store: MemoryStore, tmp_path: Path) -> None:
    publish(store, make_folder(tmp_path / "one", 1), "tiny", "v1.0")
    publish(store, make_folder(tmp_path / "two", 2), "tiny", "v1.1")
    adapter = make_adapter(tmp_path / "lora", "nothing/here")
    digest = publish_adapter(store, adapter, base="tiny/v1.0")
    again = publish_adapter(store, adapter, base="tiny")
    other_store = MemoryStore("other-base")
    publish(other_store, tmp_path / "two", "tiny", "v1.1")
    assert digest == again != publish_adapter(other_store, adapter, base="tiny/v1.1")


def test_a_fetched_adapter_equals_the_published_folder(store: MemoryStore, tmp_path: Path) -> None:
    base = make_folder(tmp_path / "base-model", 1)
    publish_adapter(store, make_adapter(tmp_path / "lora", str(base)))
    model = resolve_model("lora", store, cache=tmp_path / "cache")
    assert model.folder is not None
    assert digest_folder(model.folder) == model.digest
    (model.folder / "base" / "config.json").write_text("{}")
    with pytest.raises(ModelIntegrityError, match=r"base/config\.json has 2 bytes"):
        resolve_model("lora", store, cache=tmp_path / "cache")


@pytest.mark.parametrize("base", [None, "no-such-model", "seasonal-naive"])
def test_an_adapter_without_its_base_is_refused(
    store: MemoryStore, tmp_path: Path, base: str | None
) -> None:
    with pytest.raises(ModelNotFoundError, match="give base"):
        publish_adapter(store, make_adapter(tmp_path / "lora", base))
    assert list(store.list()) == []


def test_a_base_with_a_pickle_is_refused(store: MemoryStore, tmp_path: Path) -> None:
    base = make_folder(tmp_path / "base-model", 1)
    (base / "optimizer.pt").write_bytes(b"pickle")
    with pytest.raises(ModelIntegrityError, match=r"optimizer\.pt"):
        publish_adapter(store, make_adapter(tmp_path / "lora", str(base)))
    assert list(store.list()) == []


def test_only_a_new_version_has_to_prove_that_it_can_be_used(
    store: MemoryStore, tmp_path: Path
) -> None:
    proved: list[Path] = []
    registry, expected = Registry(store), ModelDescription("tiny", "v1.0")
    folder, other = make_folder(tmp_path / "one", 1), make_folder(tmp_path / "two", 2)
    for _ in range(2):
        publish_folder(registry, folder, expected, author(), prove=proved.append)
    with pytest.raises(ModelConflictError):
        publish_folder(registry, other, expected, author(), prove=proved.append)
    assert proved == [folder]
