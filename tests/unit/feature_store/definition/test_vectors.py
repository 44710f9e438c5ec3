"""Names, refusals and digests are those that the vectors beside the repository list."""

from typing import Any

from gigacast.feature_store import (
    Aggregation,
    ContextualSource,
    Derivation,
    ExternalPart,
    GroupBy,
    JoinPart,
    LabelPart,
    Operation,
    StagingQuery,
    select,
)
from gigacast.feature_store.definition import name as names
from gigacast.feature_store.definition.check import find_problems
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.source import split_table
from gigacast.feature_store.definition.staging_query import replace_macro
from tests.support.features.vectors import read_vector
from tests.unit.feature_store.definition.definitions import (
    UNKNOWN,
    entities,
    events,
    group_by,
    join,
    read_aggregation,
    read_operation,
    read_windows,
    source_of,
)


def test_selects_windows_and_operations_are_spelt_as_the_vectors_say() -> None:
    vector = read_vector("naming")
    for case in vector["select"]:
        assert select(*case["args"], **case["kwargs"]) == case["expected"]
    for case in vector["window_text"]:
        window = read_windows([case["window"]])[0]
        assert names.window_text(window) == case["pretty"]
        assert names.window_suffix(window) == case["suffix"]
    for operation, text in vector["operation_text"].items():
        assert names.operation_text(read_operation(operation)) == text
    defaults = vector["approx_percentile_defaults"]
    operation = Operation.APPROX_PERCENTILE(defaults["call"])
    assert (operation.k, list(operation.percentiles)) == (defaults["k"], defaults["percentiles"])
    for case in vector["dedupe"]:
        assert names.without_repeats(case["in"]) == case["out"]
    for case in vector["max_window_days"]:
        part = Aggregation("x", windows=read_windows(case["windows"]) or None)
        assert names.longest_window_days([part]) == case["days"]


def test_columns_of_a_join_are_named_as_the_vectors_say() -> None:
    for case in read_vector("naming")["output_columns"]:
        parts = [read_aggregation(entry) for entry in case["aggregations"]]
        part = JoinPart(group_by=group_by(aggregations=parts, name=case["group_by"]))
        assert list(names.part_columns(part)) == case["in_join"]


def test_tables_and_parts_are_named_as_the_vectors_say() -> None:
    vector = read_vector("naming")
    for case in vector["join_part_names"]:
        part = JoinPart(group_by=group_by(name=case["group_by"]), prefix=case["prefix"])
        assert names.part_name(part) == case["expected"]
    for case in vector["tables"]:
        named = group_by(name=case["group_by"], output_namespace=case["namespace"])
        assert names.table_name(named) == case["expected"]
    case = vector["join_tables"]
    wide = join(name=case["join"], output_namespace=case["namespace"])
    suffixes = ("", "daily_stats", "logged", "bootstrap")
    assert [names.table_name(wide, suffix) for suffix in suffixes] == case["expected"]
    assert set(case["expected"]) <= set(names.table_names(wide))


def test_features_are_named_by_the_rule() -> None:
    for case in read_vector("naming_rules")["cases"]:
        operation = read_operation(case["operation"], case.get("k"))
        window = read_windows([case["window"]])[0] if case["window"] else None
        name = names.feature_name(case["input"], operation, window, case["bucket"])
        assert name == case["expected"]


def validated_group_by(case: dict[str, Any]) -> GroupBy:
    source = source_of(case["source"])
    parts = case.get("aggregations", [["event_id", "SUM"]])
    return GroupBy(
        sources=[source],
        keys=["user_id"],
        aggregations=parts and [read_aggregation(entry) for entry in parts],
        accuracy=case.get("accuracy"),
        derivations=UNKNOWN if "derivations" in case else None,
        deprecation_date=case.get("deprecation_date"),
        name="team.checked.v1",
    )


def test_group_bys_are_refused_and_accepted_as_the_vectors_say() -> None:
    for case in read_vector("validation")["group_by"]:
        problems = find_problems(validated_group_by(case))
        assert (problems == []) == case["ok"], case
        assert all(problem.place.line and problem.definition for problem in problems)


def test_joins_are_refused_and_accepted_as_the_vectors_say() -> None:
    for case in read_vector("validation")["join"]:
        left = (
            source_of(
                {"join source": "join source whose left has a topic"}.get(
                    case["left"], case["left"]
                )
            )
            if "left" in case
            else events(selects=select("user_id"))
        )
        part = group_by(
            production=case.get("part_production"), online=case.get("part_online", True)
        )
        flags = {"online": case.get("online", False), "production": case.get("production")}
        assert (find_problems(join(part, left=left, **flags)) == []) == case["ok"], case


def test_staging_queries_are_refused_and_accepted_as_the_vectors_say() -> None:
    for case in read_vector("validation")["staging_query"]:
        query = StagingQuery(
            query=case["query"], createView=case["create_view"], name="team.staged.v1"
        )
        assert (find_problems(query) == []) == case["ok"], case


def test_selects_are_completed_as_the_vectors_say() -> None:
    case = read_vector("validation")["select_fill"]
    sources = [
        events(selects=case["source_selects"]),
        events(selects=case["second_source_selects"]),
    ]
    parts = [Aggregation(name, Operation.LAST) for name in case["aggregations"]]
    filled = group_by(sources=sources, keys=case["keys"], aggregations=parts)
    assert list(filled.selects_of(sources[0])) == case["expected"]
    assert filled.selects_of(sources[1]) == case["second_expected"]


def test_labels_are_refused_as_the_vectors_say() -> None:
    for case in read_vector("label_refused")["cases"]:
        left = entities() if case["left"] == "entities" else events(selects=select("user_id"))
        windowed = [Aggregation("email", Operation.MAX, windows=["5d", "10d"])]
        aggregations = windowed if "MAX" in case["labels"] else None
        label = group_by(sources=[entities()], aggregations=aggregations, name="team.label.v1")
        part = LabelPart(
            labels=[JoinPart(group_by=label)],
            left_start_offset=case["left_start_offset"],
            left_end_offset=case["left_end_offset"],
        )
        problems = find_problems(join(left=left, label_part=part))
        assert any(case["refused"] in problem.message for problem in problems)


def test_derived_columns_are_those_of_the_vectors() -> None:
    part = ExternalPart(
        source=ContextualSource(fields=[("context_1", "long"), ("context_2", "long")])
    )
    for case in read_vector("derivations_contextual")["cases"]:
        derivations = [Derivation(*pair) for pair in case["derivations"]] or None
        wide = join(online_external_parts=[part], derivations=derivations)
        assert find_problems(wide) == []
        columns = set(names.join_columns(wide))
        assert set(case["has"]) <= columns
        assert not set(case["has_not"]) & columns


def test_keys_and_days_stay_when_derivations_keep_no_other_column() -> None:
    case = read_vector("derivations_group_by_no_star")
    derived = group_by(
        keys=[case["key"]],
        aggregations=[read_aggregation(entry) for entry in case["aggregations"]],
        derivations=[Derivation(*pair) for pair in case["derivations"]],
    )
    columns = [*names.key_columns(derived), *names.group_by_columns(derived)]
    assert columns == case["expected_backfill_columns"]


def test_sub_partitions_and_skewed_keys_are_read_as_the_vectors_say() -> None:
    vector = read_vector("skew_and_partitions")
    for case in vector["sub_partitions"]:
        assert split_table(case["table"])[1] == case["expected"]
    for case in vector["skew"]:
        part = JoinPart(
            group_by=group_by(keys=case["group_by_keys"]), key_mapping=case["key_mapping"]
        )
        assert names.skew_filter(join(skew_keys=case["skew_keys"]), part) == case["filter"]
    for case in vector["output_keys"]:
        keyed = group_by(keys=case["keys"], accuracy=case["accuracy"])
        assert list(names.key_columns(keyed)) == case["expected"]


def test_macros_are_replaced_as_the_vectors_say() -> None:
    vector = read_vector("macro")
    for case in vector["cases"]:
        text = replace_macro(
            case["text"],
            vector["macro"],
            lambda named: f"st:{'/'.join(named)}|{'/'.join(named.values())}",
        )
        assert text == case["expected"]


def test_the_digest_follows_the_rules_of_the_vectors() -> None:
    assert len(read_vector("semantic_hash")["rules"]) == 3
    wide = join()
    assert semantic_digest(wide) == semantic_digest(join())
    assert semantic_digest(wide) != semantic_digest(join(group_by(keys=["other"])))
    assert semantic_digest(wide) == semantic_digest(join(description="another"))
