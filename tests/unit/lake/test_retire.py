"""Retiring deletes only files of the dataset, whatever a manifest names."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gigacast.core.dataset.ref import DatasetRef
from gigacast.errors import DatasetIntegrityError
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.manifest import (
    DatasetFile,
    DatasetManifest,
    digest_dataset,
    digest_entries,
    parse_dataset_manifest,
)
from gigacast.lake.dataset.retire import Retention, plan_retirement, retire
from gigacast.storage.memory import MemoryStore
from tests.unit.lake.test_damaged_records import dataset_manifest

NOW = datetime(2026, 11, 30, tzinfo=UTC)
OWN = "cleaned/v1/x/part-0.parquet"
FOREIGN = (
    "2024/01/part-00000.parquet",
    "models/tiny/v1/model.safetensors",
    "raw/x/2024-01-15/part-0.parquet",
    "cleaned/v1/y/part-0.parquet",
    "cleaned/v2/x/manifest.json",
    "cleaned/v2/x/metadata.json",
    "cleaning/y/spec/input/part-0.parquet",
    "elsewhere/cleaned/v1/x/part-0.parquet",
    "cleaned/v1/xy/part-0.parquet",
)
SHARED_ORIGINS = ("cleaned/v0.1/x/part-0.parquet", "cleaning/x/spec/input/part-0.parquet")


def manifest_of(version: str, keys: tuple[str, ...]) -> DatasetManifest:
    files = tuple(
        DatasetFile(f"{number}.parquet", key, "e", 9, 3, "0" * 64, f"c{number}")
        for number, key in enumerate(keys)
    )
    digest = digest_dataset([(file.path, file.content) for file in files])
    return replace(dataset_manifest(), version=version, files=files, digest=digest)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(request.node.name)


def publish(store: MemoryStore, version: str, *keys: str) -> None:
    store.put(f"cleaned/{version}/x/manifest.json", manifest_of(version, keys).to_bytes())
    for key in keys:
        store.put(key, b"content")


def left_after_retiring(store: MemoryStore, version: str) -> set[str]:
    lake, ref = Lake(store), DatasetRef.parse("cleaned/x")
    plan = plan_retirement(lake, ref, Retention(versions=(version,)), NOW)
    retire(lake, plan)
    return {entry.key for page in store.list() for entry in page}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_key_outside_the_dataset_is_never_deleted(store: MemoryStore, foreign: str) -> None:
    publish(store, "v1", OWN, foreign)
    publish(store, "v2", "cleaned/v2/x/part-0.parquet")
    before = store.get(foreign)
    left = left_after_retiring(store, "v1")
    assert foreign in left
    assert store.get(foreign) == before
    assert OWN not in left


@pytest.mark.parametrize("origin", SHARED_ORIGINS)
def test_files_where_earlier_versions_or_cleaning_wrote_them_are_deleted(
    store: MemoryStore, origin: str
) -> None:
    publish(store, "v1", OWN, origin)
    publish(store, "v2", "cleaned/v2/x/part-0.parquet")
    left = left_after_retiring(store, "v1")
    assert left == {"cleaned/v2/x/part-0.parquet", "cleaned/v2/x/manifest.json"}


def test_a_key_that_changed_in_a_manifest_is_noticed() -> None:
    manifest = manifest_of("v1", (OWN,))
    manifest = replace(manifest, files_digest=digest_entries(manifest.files))
    stored = manifest.to_bytes()
    assert parse_dataset_manifest(stored, "here") == manifest
    for field, value in (("key", "raw/x/part-0.parquet"), ("rows", 4), ("size_bytes", 8)):
        values = json.loads(stored)
        values["files"][0][field] = value
        with pytest.raises(DatasetIntegrityError, match="not the digest of the entries in files"):
            parse_dataset_manifest(json.dumps(values).encode(), "here")


def test_a_manifest_of_an_earlier_release_keeps_its_form() -> None:
    manifest = manifest_of("v1", (OWN,))
    assert "files_digest" not in json.loads(manifest.to_bytes())
    assert parse_dataset_manifest(manifest.to_bytes(), "here") == manifest
