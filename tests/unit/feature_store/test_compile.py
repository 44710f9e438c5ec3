"""Compilation runs users' files, refuses faults with their places, and stores all or nothing."""

import json
import re
import sys
from pathlib import Path

import pytest

from gigacast.errors import ConfigError, DefinitionError
from gigacast.feature_store.compile import Compilation, compile_definitions
from gigacast.feature_store.definition.name import columns_of, name_of
from gigacast.feature_store.stored import find_stored, list_names
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash
from tests.support.features.repository import FILES, with_imports, write_repository
from tests.support.features.vectors import SHARED
from tests.support.moto_server import MotoServer

PURCHASES = "group_bys/quickstart/purchases.py"
JOIN = "joins/quickstart/training_set.py"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "lake").mkdir()
    return FolderStore(tmp_path / "lake")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_repository(tmp_path / "repository")


def keys(store: Store) -> list[str]:
    return [meta.key for page in store.list() for meta in page]


def states(compilation: Compilation) -> dict[str, str]:
    return {name_of(entry.definition): entry.state for entry in compilation.compiled}


def edit(repository: Path, file: str, old: str, new: str) -> None:
    text = (repository / file).read_text()
    assert old in text
    (repository / file).write_text(text.replace(old, new))


def test_a_join_is_written_with_its_online_group_bys(repository: Path, store: Store) -> None:
    compilation = compile_definitions(repository / JOIN, store)
    assert states(compilation) == {
        "quickstart.purchases.v1": "new",
        "quickstart.returns.v1": "new",
        "quickstart.training_set.v1": "new",
        "quickstart.training_set.v2": "new",
    }
    assert keys(store) == [
        "feature_store/definitions/group_bys/quickstart/purchases.v1.json",
        "feature_store/definitions/group_bys/quickstart/returns.v1.json",
        "feature_store/definitions/joins/quickstart/training_set.v1.json",
        "feature_store/definitions/joins/quickstart/training_set.v2.json",
    ]


def test_a_group_by_with_a_backfill_start_date_is_written_with_its_join(
    repository: Path, store: Store
) -> None:
    edit(
        repository,
        "group_bys/quickstart/users.py",
        "aggregations=None",
        "aggregations=None, backfill_start_date='2023-11-01'",
    )
    compilation = compile_definitions(repository / JOIN, store)
    assert "quickstart.users.v1" in states(compilation)


def test_the_training_set_has_the_columns_of_the_quickstart(repository: Path, store: Store) -> None:
    compile_definitions(repository, store)
    join = find_stored(store, "production/joins/quickstart/training_set.v1").definition
    columns = columns_of(join)
    assert len(columns) == 22
    assert columns[0] == "quickstart_purchases_v1_purchase_price_sum_3d"
    assert columns[9] == "quickstart_purchases_v1_purchase_price_last10"
    assert columns[-1] == "quickstart_users_v1_email_verified"


def test_the_columns_are_those_of_the_expected_training_set(repository: Path, store: Store) -> None:
    expected = SHARED / "feature_store" / "data" / "training_set_expected.csv"
    if not expected.is_file():
        pytest.skip("the expected training set is not beside this repository")
    compile_definitions(repository, store)
    header = expected.read_text().partition("\n")[0].split(",")
    join = find_stored(store, "joins/quickstart/training_set.v1").definition
    assert ["user_id", "ts", *columns_of(join), "ds"] == header


def test_definitions_are_stored_in_a_bucket_as_in_a_folder(
    repository: Path, store: Store, moto_server: MotoServer
) -> None:
    bucket = open_store(moto_server.new_address("lake"))
    for target in (store, bucket):
        compile_definitions(repository, target)
        edit(repository, PURCHASES, "online=True", "online=True, description='x'")
        compile_definitions(repository, target)
        edit(repository, PURCHASES, "online=True, description='x'", "online=True")
    assert keys(bucket) == keys(store)
    assert [bucket.get(key) for key in keys(bucket)] == [store.get(key) for key in keys(store)]
    assert find_stored(bucket, "quickstart.purchases.v1").definition.description == "x"


def test_two_compilations_at_once_do_not_overwrite_each_other(
    repository: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_definitions(repository, store)
    edit(repository, PURCHASES, "online=True", "online=True, description='mine'")
    key = "feature_store/definitions/group_bys/quickstart/purchases.v1.json"
    put = store.put_if_match

    def overtaken(key: str, content: bytes | Path, etag: str) -> str:
        store.put(key, store.get(key) + b" ")
        return put(key, content, etag)

    monkeypatch.setattr(store, "put_if_match", overtaken)
    with pytest.raises(ConfigError, match="written by another compilation at the same time"):
        compile_definitions(repository, store)
    assert b"mine" not in store.get(key)


def test_stored_definitions_know_their_lines_and_no_folder_of_the_person(
    repository: Path, store: Store
) -> None:
    compile_definitions(repository, store)
    group_by = find_stored(store, JOIN.replace("py", "v1")).definition.right_parts[0].group_by
    line = FILES[PURCHASES][: FILES[PURCHASES].index("Aggregation(input")].count("\n") + 1
    place = group_by.aggregations[0].place
    assert (place.file, place.line) == (PURCHASES, line)
    assert all(str(repository).encode() not in store.get(key) for key in keys(store))


def test_compiling_again_changes_nothing(repository: Path, store: Store) -> None:
    compile_definitions(repository, store)
    before = [(m.key, m.etag) for page in store.list() for m in page]
    assert set(states(compile_definitions(repository, store)).values()) == {"unchanged"}
    assert [(m.key, m.etag) for page in store.list() for m in page] == before


def test_compiling_leaves_the_folder_and_the_modules_of_python_alone(
    repository: Path, store: Store
) -> None:
    modules, path = set(sys.modules), list(sys.path)
    compile_definitions(repository, store)
    files = {str(f.relative_to(repository)) for f in repository.rglob("*") if f.is_file()}
    assert files == set(FILES)
    assert not any(name.startswith(("group_bys", "joins")) for name in set(sys.modules) - modules)
    assert sys.path == path


def test_settings_of_teams_are_layered(repository: Path, store: Store) -> None:
    compile_definitions(repository, store)
    group_by = find_stored(store, "quickstart.purchases.v1").definition
    assert group_by.output_namespace == "default"
    assert group_by.table_properties == {"source": "gigacast"}
    assert group_by.env == {"backfill": {"VERSION": "1", "CORES": "4", "MEMORY": "2G"}}


def test_a_team_that_is_not_listed_is_refused(repository: Path, store: Store) -> None:
    write_repository(repository, {"group_bys/quickstrat/users.py": FILES[PURCHASES]})
    with pytest.raises(ConfigError, match=r"no team 'quickstrat' \(did you mean quickstart"):
        compile_definitions(repository, store)


def test_one_refused_definition_keeps_all_from_being_written(
    repository: Path, store: Store
) -> None:
    edit(repository, PURCHASES, "Operation.LAST_K(10)", "Operation.LAST_K(0)")
    edit(repository, "group_bys/quickstart/users.py", "select(", "select('a b', ")
    with pytest.raises(DefinitionError) as raised:
        compile_definitions(repository, store)
    places = {(problem.place.file, problem.definition) for problem in raised.value.problems}
    assert places == {
        (PURCHASES, "group-by quickstart.purchases.v1"),
        ("group_bys/quickstart/users.py", "group-by quickstart.users.v1"),
    }
    line = FILES[PURCHASES].split("LAST_K(10)")[0].count("\n") + 1
    assert str(raised.value).startswith(f"{PURCHASES}:{line}: group-by quickstart.purchases.v1: ")
    assert all(problem.hint for problem in raised.value.problems)
    assert keys(store) == []


def test_an_online_join_with_a_part_that_is_not_online_is_refused_by_the_parts_name(
    repository: Path, store: Store
) -> None:
    edit(repository, PURCHASES, "online=True", "online=False")
    with pytest.raises(DefinitionError, match=r"group-by quickstart\.purchases\.v1 is not"):
        compile_definitions(repository / JOIN, store)


def test_a_part_of_a_production_join_becomes_production(repository: Path, store: Store) -> None:
    edit(repository, JOIN, "online=True", "online=True, production=True")
    compile_definitions(repository, store)
    assert find_stored(store, "quickstart.purchases.v1").definition.production is True


def test_an_online_definition_changes_with_force_only(repository: Path, store: Store) -> None:
    compile_definitions(repository, store)
    before = [store.get(key) for key in keys(store)]
    edit(repository, PURCHASES, "(3, 14, 30)", "(3, 14, 60)")
    with pytest.raises(DefinitionError, match="is online and would change: aggregations"):
        compile_definitions(repository, store)
    assert [store.get(key) for key in keys(store)] == before
    changed = states(compile_definitions(repository, store, force=True))
    assert changed["quickstart.purchases.v1"] == "changed"
    assert changed["quickstart.users.v1"] == "unchanged"


def test_a_description_of_an_online_definition_may_change(repository: Path, store: Store) -> None:
    compile_definitions(repository, store)
    edit(repository, PURCHASES, "online=True", "online=True, description='all purchases'")
    assert states(compile_definitions(repository, store))["quickstart.purchases.v1"] == "changed"
    assert find_stored(store, "quickstart.purchases.v1").definition.description == "all purchases"


def test_an_online_definition_goes_offline_with_force_only(repository: Path, store: Store) -> None:
    compile_definitions(repository, store)
    edit(repository, JOIN, "online=True", "online=False")
    with pytest.raises(DefinitionError, match="is online and would no longer be"):
        compile_definitions(repository, store)


def test_a_group_by_that_other_joins_use_changes_with_force_only(
    repository: Path, store: Store
) -> None:
    edit(repository, PURCHASES, "online=True", "online=False")
    edit(repository, JOIN, "online=True", "online=False")
    compile_definitions(repository, store)
    edit(repository, PURCHASES, "(3, 14, 30)", "(3, 14, 60)")
    with pytest.raises(DefinitionError) as raised:
        compile_definitions(repository / PURCHASES, store)
    assert "quickstart.training_set.v1, quickstart.training_set.v2" in str(raised.value)
    compile_definitions(repository, store)  # the joins are compiled, too


def test_a_deprecated_group_by_that_is_used_gives_a_warning(repository: Path, store: Store) -> None:
    edit(repository, PURCHASES, "online=True", "online=True, deprecation_date='2030-01-01'")
    joined = compile_definitions(repository, store).warnings
    assert [w.definition for w in joined] == [
        "join quickstart.training_set.v1",
        "join quickstart.training_set.v2",
    ]
    alone = compile_definitions(repository / PURCHASES, store).warnings
    assert "used by quickstart.training_set.v1, quickstart.training_set.v2" in str(alone[0])


def test_a_file_that_fails_is_named_with_its_line(repository: Path, store: Store) -> None:
    for text, fault in [
        ("x = 1\ny = x / 0\n", r"group_bys/quickstart/broken\.py:2: ZeroDivisionError"),
        ("x = (\n", r"group_bys/quickstart/broken\.py:1: SyntaxError"),
        ("import no_such_module_at_all\n", r"broken\.py:1: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", r"broken\.py:1: SystemExit"),
        (with_imports("w = Window(0, TimeUnit.DAYS)\n"), r"broken\.py:2: Window: a length of 0"),
        (with_imports("x = 1\n"), r"broken\.py: no definitions"),
    ]:
        file = repository / "group_bys/quickstart/broken.py"
        file.write_text(text)
        with pytest.raises(ConfigError, match=fault):
            compile_definitions(file, store)
    assert keys(store) == []


def test_a_file_outside_a_repository_needs_names(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "alone.py"
    text = with_imports(
        "v1 = GroupBy(sources=[EventSource(table='data.a', query=Query(time_column='ts'))],\n"
        "             keys=['id'], aggregations=[Aggregation('x', Operation.SUM)]NAME)\n"
    )
    file.write_text(text.replace("NAME", ""))
    with pytest.raises(ConfigError, match=r"alone\.py:2: GroupBy has no name"):
        compile_definitions(file, store)
    file.write_text(text.replace("NAME", ", name='sums'"))
    compile_definitions(file, store)
    assert list_names(store) == [("group_bys", "sums")]


def test_names_that_could_leave_the_folder_are_refused(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "alone.py"
    file.write_text(
        with_imports(
            "v1 = GroupBy(sources=[EventSource(table='data.a', query=Query(time_column='ts'))],"
            "keys=['id'], aggregations=[Aggregation('x', Operation.SUM)], name='../../up')\n"
        )
    )
    with pytest.raises(ConfigError, match="is no name"):
        compile_definitions(file, store)
    assert keys(store) == []


def test_definitions_that_need_each_others_tables_are_refused(
    repository: Path, store: Store
) -> None:
    staged = with_imports("v1 = StagingQuery(query='SELECT * FROM TABLE')\n")
    write_repository(
        repository,
        {
            "staging_queries/quickstart/a.py": staged.replace("TABLE", "default.quickstart_b_v1"),
            "staging_queries/quickstart/b.py": staged.replace("TABLE", "default.quickstart_a_v1"),
        },
    )
    with pytest.raises(DefinitionError, match=r"quickstart\.a\.v1 reads quickstart\.b\.v1 reads"):
        compile_definitions(repository, store)


def test_a_crash_between_two_writes_leaves_whole_definitions_that_a_rerun_completes(
    repository: Path, store: Store, tmp_path: Path
) -> None:
    compile_definitions(repository, store)
    complete = {key: store.get(key) for key in keys(store)}
    for number in range(1, len(complete) + 1):
        (tmp_path / f"lake-{number}").mkdir()
        inner = FolderStore(tmp_path / f"lake-{number}")
        with pytest.raises(SimulatedCrash):
            compile_definitions(repository, FaultyStore(inner, [Fault(WRITES, nth=number)]))
        assert len(keys(inner)) == number - 1
        assert {key: inner.get(key) for key in keys(inner)}.items() <= complete.items()
        compile_definitions(repository, inner)
        assert {key: inner.get(key) for key in keys(inner)} == complete


def seed_blocks() -> list[str]:
    document = SHARED / "seeds" / "chronon-feature-platform.md"
    if not document.is_file():
        pytest.skip("the seed document is not beside this repository")
    return re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def test_the_code_of_the_seed_document_compiles_as_it_stands(tmp_path: Path, store: Store) -> None:
    purchases, users, training_set = seed_blocks()
    imports = (
        "from group_bys.quickstart.purchases import v1 as purchases_v1\n"
        "from group_bys.quickstart.returns import v1 as refunds_v1\n"
        "from group_bys.quickstart.users import v1 as users\n"
    )
    repository = write_repository(
        tmp_path / "seed",
        {
            "group_bys/quickstart/purchases.py": with_imports(purchases),
            "group_bys/quickstart/users.py": with_imports(users),
            "joins/quickstart/training_set.py": with_imports(imports + training_set),
        },
    )
    compile_definitions(repository, store)
    group_by = json.loads(store.get(keys(store)[0]))
    assert group_by["columns"][:3] == [
        "purchase_price_sum_3d",
        "purchase_price_sum_14d",
        "purchase_price_sum_30d",
    ]
    join = find_stored(store, "quickstart/training_set.v1").definition
    assert len(columns_of(join)) == 9 + 10 + 2
    assert join.right_parts[0].group_by.used_accuracy == "TEMPORAL"
