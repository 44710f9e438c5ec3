"""What `--bucket` takes: names and URLs of buckets, URLs and paths of folders."""

from pathlib import Path

import pytest

from gigacast.errors import AccessDeniedError, ConfigError
from gigacast.settings.assembly import bucket_url
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress


def test_paths_are_folders_and_names_are_buckets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert bucket_url("lake") == "s3://lake"
    assert bucket_url("./lake") == f"file://{tmp_path}/lake"
    assert bucket_url("../lake/") == f"file://{tmp_path.parent}/lake"
    assert bucket_url(".") == f"file://{tmp_path}"
    assert bucket_url("~/lake") == f"file://{tmp_path}/home/lake"
    assert bucket_url("/data/10%20/lake") == "file:///data/10%20/lake"


@pytest.mark.parametrize("text", ["lake/", "Lake", "data/lake", "la", ""])
def test_what_is_neither_is_refused_with_the_ways_to_write_it(text: str) -> None:
    with pytest.raises(ConfigError, match="is no bucket") as raised:
        bucket_url(text)
    assert "./folder" in str(raised.value.hint)


def test_without_credentials_a_folder_of_the_name_is_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    def hint() -> str:
        with pytest.raises(AccessDeniedError) as raised:
            open_store(StoreAddress("s3://lake"))
        return str(raised.value.hint)

    assert "./lake" not in hint()
    (tmp_path / "lake").mkdir()
    assert "./lake" in hint()
