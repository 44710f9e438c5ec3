"""The number of processes of a run whose settings leave it open."""

from pathlib import Path

import pytest

from gigacast.runtime import processes
from gigacast.runtime.processes import (
    GPU_PROCESS_BYTES,
    PROCESS_BYTES,
    WORK_BYTES,
    choose_processes,
    free_memory,
    share_gpus,
)

GIB = 2**30


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with eight cores and much memory."""
    monkeypatch.setattr(processes, "count_cores", lambda: 8)
    monkeypatch.setattr(processes, "free_memory", lambda: 100 * GIB)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("tasks", "work", "expected"),
    [
        (100, 100 * WORK_BYTES, "8 (limited by cores)"),
        (3, 100 * WORK_BYTES, "3 (limited by tasks)"),
        (100, 5 * WORK_BYTES, "5 (limited by work)"),
        (100, 2 * WORK_BYTES - 1, "1 (little work)"),
        (1, 100 * WORK_BYTES, "1 (a single task)"),
        (0, 0, "1 (a single task)"),
    ],
)
def test_there_are_as_many_processes_as_cores_tasks_and_work_allow(
    tasks: int, work: int, expected: str
) -> None:
    assert str(choose_processes(tasks, work, GIB)) == expected


@pytest.mark.usefixtures("large")
def test_free_memory_limits_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "free_memory", lambda: 3 * (PROCESS_BYTES + GIB))
    assert str(choose_processes(100, 100 * GIB, GIB)) == "3 (limited by free memory)"
    with_model = choose_processes(100, 100 * GIB, GIB, model_bytes=PROCESS_BYTES + GIB)
    assert str(with_model) == "1 (little free memory)"
    # What is read at most is what there is to read.
    assert choose_processes(100, 100 * WORK_BYTES, 50 * GIB).count > 3
    monkeypatch.setattr(processes, "free_memory", lambda: 0)
    assert str(choose_processes(100, 100 * GIB, GIB)) == "1 (little free memory)"


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("gpus", "wanted", "tasks", "expected"),
    [
        (1, 6, 100, "6 (6 for each GPU, limited by GPU)"),
        (1, 20, 100, "8 (8 for each GPU, limited by cores)"),
        (4, 6, 100, "8 (2 for each GPU, limited by cores)"),
        (4, 6, 5, "8 (2 for each GPU, limited by tasks)"),
        (4, 6, 4, "4 (one for each GPU)"),
        (16, 6, 100, "16 (one for each GPU)"),
        (1, 1, 100, "1 (one for each GPU)"),
        (2, 6, 0, "2 (one for each GPU)"),
    ],
)
def test_each_gpu_has_the_same_number_of_processes_and_at_least_one(
    gpus: int, wanted: int, tasks: int, expected: str
) -> None:
    assert str(share_gpus(gpus, wanted, tasks, GIB)) == expected


@pytest.mark.usefixtures("large")
def test_free_memory_limits_the_processes_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "free_memory", lambda: 7 * (GPU_PROCESS_BYTES + GIB))
    assert share_gpus(2, 6, 100, GIB).count == 6
    monkeypatch.setattr(processes, "free_memory", lambda: 0)
    assert share_gpus(2, 6, 100, GIB).count == 2


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the system's control groups."""
    monkeypatch.setattr(processes, "_CGROUP", tmp_path)
    monkeypatch.setattr(processes, "_OWN_GROUPS", tmp_path / "own")
    return tmp_path


def test_the_limit_of_a_container_counts(groups: Path) -> None:
    unlimited = free_memory()
    assert unlimited > 0
    (groups / "memory.max").write_text("max\n")
    (groups / "memory.current").write_text("70\n")
    assert free_memory() > 100
    (groups / "memory.max").write_text("100\n")
    assert free_memory() == 30
    (groups / "memory.current").write_text("170\n")
    assert free_memory() == 0


def test_files_that_were_read_are_no_memory_in_use(groups: Path) -> None:
    (groups / "memory.max").write_text("100\n")
    (groups / "memory.current").write_text("98\n")
    (groups / "memory.stat").write_text("anon 18\ninactive_file 80\nactive_file 0\n")
    assert free_memory() == 82


def test_the_limits_of_the_groups_around_count(groups: Path) -> None:
    (groups / "own").write_text("0::/machine/job\n")
    (groups / "machine/job").mkdir(parents=True)
    for folder, limit in (("machine", 50), ("machine/job", 200)):
        (groups / folder / "memory.max").write_text(f"{limit}\n")
        (groups / folder / "memory.current").write_text("20\n")
    assert free_memory() == 30


@pytest.mark.parametrize("folder", ["", "docker/0f"], ids=["as the root", "by its path"])
def test_the_first_version_of_control_groups_counts(folder: str, groups: Path) -> None:
    (groups / "own").write_text("9:memory:/docker/0f\n2:cpu,cpuacct:/docker/0f\nno group\n")
    own = groups / "memory" / folder
    own.mkdir(parents=True)
    (own / "memory.limit_in_bytes").write_text("100\n")
    (own / "memory.usage_in_bytes").write_text("60\n")
    (own / "memory.stat").write_text("inactive_file 7\ntotal_inactive_file 9\n")
    assert free_memory() == 49
