"""Manifests that lie, files that are not what they seem, and names that lead elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from gigacast.errors import ConfigError, ModelIntegrityError
from gigacast.lake.model.file import (
    count_parameters,
    digest_files,
    digest_folder,
    hash_folder,
    refuse_unsafe,
)
from gigacast.lake.model.manifest import ModelManifest, check_name, parse_manifest
from tests.support.model_folders import make_folder


@pytest.fixture
def manifest(tmp_path: Path) -> ModelManifest:
    folder = make_folder(tmp_path / "model")
    files, digest = hash_folder(folder), digest_folder(folder)
    return ModelManifest("tiny", "v1.0", digest, files, {"kind": "folder"}, "2026-01-01T00:00:00")


def test_a_manifest_is_read_as_it_was_written(manifest: ModelManifest) -> None:
    assert parse_manifest(manifest.to_bytes(), "here") == manifest


def test_the_digest_of_a_manifest_is_that_of_the_folder(manifest: ModelManifest) -> None:
    assert digest_files(manifest.files) == manifest.digest
    assert [file.name for file in manifest.files] == ["config.json", "model.safetensors"]


LIES: dict[str, Any] = {
    "another digest": {"digest": "0" * 64},
    "no digest": {"digest": None},
    "another format": {"format": 99},
    "no files": {"files": []},
    "files that are none": {"files": "config.json"},
    "an unknown field": {"surprise": 1},
    "a name that leads elsewhere": {"version": "../v2"},
    "the name of the pointer": {"version": "ACTIVE"},
    "levels that are no numbers": {"quantile_levels": ["high"]},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_contradicts_itself_is_refused(manifest: ModelManifest, lie: str) -> None:
    content = json.dumps({**manifest.to_json(), **LIES[lie]}).encode()
    with pytest.raises(ModelIntegrityError, match="here: cannot be trusted"):
        parse_manifest(content, "here")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 1}'])
def test_an_object_that_is_not_a_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(ModelIntegrityError, match="here: cannot be trusted"):
        parse_manifest(content, "here")


@pytest.mark.parametrize(
    "name",
    [
        "../config.json",
        "/etc/config.json",
        "base/../../config.json",
        "other/config.json",
        "..\\config.json",
        "weights.bin",
        "model.py",
        "manifest.json",
        ".json",
        "a\nb.json",
        7,
    ],
)
def test_a_file_outside_its_folder_or_of_another_kind_is_refused(
    manifest: ModelManifest, name: object
) -> None:
    values = manifest.to_json()
    values["files"][0]["name"] = name
    with pytest.raises(ModelIntegrityError, match="cannot be trusted"):
        parse_manifest(json.dumps(values).encode(), "here")


@pytest.mark.parametrize("field", [{"size_bytes": -1}, {"size_bytes": "9"}, {"sha256": "abc"}])
def test_invalid_sizes_and_hashes_are_refused(
    manifest: ModelManifest, field: dict[str, object]
) -> None:
    values = manifest.to_json()
    values["files"][0].update(field)
    with pytest.raises(ModelIntegrityError, match=r"files\[0\]\.(size_bytes|sha256): expected"):
        parse_manifest(json.dumps(values).encode(), "here")


def test_a_file_listed_twice_is_refused(manifest: ModelManifest) -> None:
    values = manifest.to_json()
    values["files"].append(values["files"][0])
    with pytest.raises(ModelIntegrityError, match="twice"):
        parse_manifest(json.dumps(values).encode(), "here")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "ACTIVE", "-x", "a b", "x" * 129, "é"])
def test_names_that_are_not_valid_folders_everywhere_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used as a name"):
        check_name("model", name)


# -- files -----------------------------------------------------------------------------------------


def test_parameters_are_counted_from_the_headers_alone(tmp_path: Path) -> None:
    assert count_parameters(make_folder(tmp_path / "model")) == 12 + 5


@pytest.mark.parametrize("name", ["pytorch_model.bin", "training_args.bin", "model.pkl", "a.pt"])
def test_a_folder_with_a_pickle_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path / "model")
    (folder / name).write_bytes(b"pickle")
    with pytest.raises(ModelIntegrityError, match=f"{name}: pickles can run code"):
        refuse_unsafe(folder)


def test_a_configuration_that_names_code_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", auto_map={"AutoModel": "evil.Model"})
    with pytest.raises(ModelIntegrityError, match="auto_map"):
        refuse_unsafe(folder)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda content: content[:-3], "3 bytes too few"),
        (lambda content: content + b"xx", "2 bytes too many"),
        (lambda content: content[:5], "not a safetensors file"),
        (lambda content: b"\xff" * 64, "not a safetensors file"),
        (lambda content: b"", "not a safetensors file"),
    ],
)
def test_weights_that_are_cut_short_are_refused(tmp_path: Path, damage: Any, says: str) -> None:
    path = make_folder(tmp_path / "model") / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelIntegrityError, match=says):
        refuse_unsafe(path.parent)


def test_a_configuration_that_is_not_json_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model")
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelIntegrityError, match=r"config\.json: cannot be read as JSON"):
        refuse_unsafe(folder)
