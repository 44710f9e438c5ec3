"""Every reason to refuse a definition is found, with its line and a remedy."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from gigacast.errors import DefinitionError
from gigacast.feature_store import (
    Aggregation,
    BootstrapPart,
    ContextualSource,
    Derivation,
    EntitySource,
    EventSource,
    ExternalPart,
    ExternalSource,
    JoinPart,
    JoinSource,
    LabelPart,
    Operation,
    Query,
    Source,
    StagingQuery,
    select,
)
from gigacast.feature_store.definition.check import check, find_problems, find_warnings
from tests.unit.feature_store.definition.definitions import entities, events, group_by, join


def aggregated(*parts: Aggregation, **fields: Any) -> Any:
    return group_by(aggregations=list(parts), **fields)


def labelled(group: Any, start: int, end: int) -> Any:
    labels = LabelPart(
        labels=[JoinPart(group_by=group)], left_start_offset=start, left_end_offset=end
    )
    return join(label_part=labels)


CASES: dict[str, Callable[[], Any]] = {
    "no sources": lambda: group_by(sources=[]),
    "the derivation d cannot be served: 'SOUNDEX(x_sum)': SOUNDEX": lambda: group_by(
        online=True, derivations=[Derivation("d", "SOUNDEX(x_sum)")]
    ),
    "the select x cannot be served": lambda: group_by(
        online=True, sources=[events("topic", selects=select(x="LOG(x)"))]
    ),
    "the condition cannot be served": lambda: group_by(
        online=True, sources=[events("topic", wheres=["x LIKE 'a%'"])]
    ),
    "no keys": lambda: group_by(keys=[]),
    "data.events holds events, which need aggregations": lambda: group_by(aggregations=None),
    "data.users holds entities with mutations, which need": lambda: group_by(
        sources=[entities(mutationTable="data.changes")], aggregations=None
    ),
    "without aggregations its columns must be selected": lambda: group_by(
        sources=[entities(query=Query())], aggregations=None
    ),
    "1.5 is no percentile": lambda: aggregated(
        Aggregation("x", Operation.APPROX_PERCENTILE([0.5, 1.5]))
    ),
    "no percentiles": lambda: aggregated(Aggregation("x", Operation.APPROX_PERCENTILE([]))),
    "does not say how many values": lambda: aggregated(Aggregation("x", Operation.LAST_K)),
    "TOP_K of x: k is 0": lambda: aggregated(Aggregation("x", Operation.TOP_K(0))),
    "APPROX_UNIQUE_COUNT of x: k is 50": lambda: aggregated(
        Aggregation("x", Operation.APPROX_UNIQUE_COUNT_LGK(50))
    ),
    "SUM has no input column": lambda: aggregated(Aggregation(operation=Operation.SUM)),
    "'a b' cannot be the name of a column": lambda: aggregated(Aggregation("a b")),
    "is element-wise and has buckets": lambda: aggregated(
        Aggregation("x", buckets=["b"], element_wise=True)
    ),
    "an empty list of windows or buckets": lambda: aggregated(Aggregation("x", windows=[])),
    "2 features would be named x_last": lambda: aggregated(Aggregation("x"), Aggregation("x")),
    "accuracy SNAPSHOT on a streamed source": lambda: group_by(
        sources=[events("topic")], accuracy="SNAPSHOT"
    ),
    "a window in hours with accuracy SNAPSHOT": lambda: aggregated(
        Aggregation("x", windows=["1h"])
    ),
    "accuracy TEMPORAL on data.users, which changes once": lambda: group_by(
        sources=[entities()], accuracy="TEMPORAL"
    ),
    "accuracy TEMPORAL on data.events, which has no time_column": lambda: group_by(
        sources=[events(time_column=None)], accuracy="TEMPORAL"
    ),
    "is cumulative and has no time_column": lambda: group_by(
        sources=[EventSource(table="data.e", isCumulative=True, query=Query())]
    ),
    "2 sources are streamed": lambda: group_by(sources=[events("a"), events("b")]),
    "differ in the columns b": lambda: group_by(
        sources=[events(selects=select("a")), events(selects=select("a", "b"))]
    ),
    "has no topic, so that it cannot be a source": lambda: group_by(
        sources=[JoinSource(join=join())]
    ),
    "reads its own output, default.team_purchases_v1": lambda: group_by(
        sources=[EventSource(table="default.team_purchases_v1", query=Query(time_column="ts"))]
    ),
    "select: 'price *'": lambda: group_by(sources=[events(selects=select(p="price *"))]),
    "where: 'a ='": lambda: group_by(sources=[events(wheres=["a ="])]),
    "start_partition: '2024-1-1' is no date": lambda: group_by(
        sources=[events(start_partition="2024-1-1")]
    ),
    "deprecation_date: 'soon' is no date": lambda: group_by(deprecation_date="soon"),
    "uses price_sun, which is no column": lambda: group_by(
        derivations=[Derivation("d", "price_sun + 1")]
    ),
    "the derivation 'd': 'price_sum +'": lambda: group_by(
        derivations=[Derivation("d", "price_sum +")]
    ),
    "the derivation '*' has the expression 'a'": lambda: group_by(
        derivations=[Derivation("*", "a")]
    ),
    "several derivations are named 'd'": lambda: group_by(
        derivations=[Derivation("d", "price_sum"), Derivation("d", "price_sum + 1")]
    ),
    "has the name of a key": lambda: group_by(derivations=[Derivation("user_id", "price_sum")]),
    "'a/../b' is no name": lambda: group_by(name="a/../b"),
    "no right_parts": lambda: join().__class__(left=events(), right_parts=[], name="t.j"),
    "the left side is the join team.training_set.v1": lambda: join(
        left=Source(joinSource=JoinSource(join=join(left=events("t", selects=select("user_id")))))
    ),
    "the left side, data.events, is cumulative": lambda: join(
        left=EventSource(
            table="data.events",
            isCumulative=True,
            query=Query(selects=select("user_id"), time_column="ts"),
        )
    ),
    "is online and the group-by team.purchases.v1 is not": lambda: join(online=True),
    "is in production and the group-by team.purchases.v1 has": lambda: join(
        group_by(production=False), production=True
    ),
    "the left side selects no user_id": lambda: join(left=events(selects=select("user"))),
    "key_mapping names other, which is no key": lambda: join().__class__(
        left=events(),
        right_parts=[JoinPart(group_by=group_by(), key_mapping={"user": "other"})],
        name="t.j",
    ),
    "2 features would be named team_purchases_v1_price_sum": lambda: join(group_by(), group_by()),
    "sample_percent: 200": lambda: join(sample_percent=200),
    "no columns to match data.b on": lambda: join(bootstrap_parts=[BootstrapPart("data.b")]),
    "bootstrap_from_log without row_ids": lambda: join(bootstrap_from_log=True),
    "uses nothing, which is no column": lambda: join(derivations=[Derivation("d", "nothing")]),
    "risk has no fields": lambda: join(
        online_external_parts=[ExternalPart(source=ExternalSource(name="risk"))]
    ),
    "key_mapping names id, which is no field of contextual": lambda: join(
        online_external_parts=[
            ExternalPart(
                source=ContextualSource(fields=[("page", "string")]), key_mapping={"x": "id"}
            )
        ]
    ),
    "have different keys": lambda: join(
        online_external_parts=[
            ExternalPart(
                source=ExternalSource(
                    name="risk",
                    key_fields=[("id", "long")],
                    value_fields=[("score", "double")],
                    offline_group_by=group_by(),
                )
            )
        ]
    ),
    "aggregated labels must come from events": lambda: labelled(
        group_by(sources=[entities()], aggregations=[Aggregation("email", windows=["5d"])]), 5, 5
    ),
    "aggregated labels have one window only": lambda: labelled(
        aggregated(Aggregation("x", windows=["5d", "10d"])), 5, 5
    ),
    "has 5 days, and the labels are of the days 9 to 3": lambda: labelled(
        aggregated(Aggregation("x", windows=["5d"])), 9, 3
    ),
    "labels of the days 3 to 9 before": lambda: labelled(
        group_by(sources=[entities()], aggregations=None), 3, 9
    ),
    "the left of a label join must be events": lambda: join(
        left=entities(),
        label_part=LabelPart(labels=[], left_start_offset=1, left_end_offset=1),
    ),
    "a view has no days of a run": lambda: StagingQuery(
        query="SELECT * FROM t WHERE ds = '{{ END_DATE }}'", createView=True, name="t.q"
    ),
    "query: 'SELEC 1'": lambda: StagingQuery(query="SELEC 1", name="t.q"),
    "query: 'DROP TABLE a': expected a query": lambda: StagingQuery(
        query="DROP TABLE a", name="t.q"
    ),
    "reads its own output, default.t_q": lambda: StagingQuery(
        query="SELECT * FROM default.t_q", name="t.q"
    ),
}


@pytest.mark.parametrize("message", CASES)
def test_a_faulty_definition_is_refused_with_its_line(message: str) -> None:
    definition = CASES[message]()
    problems = [problem for problem in find_problems(definition) if message in problem.message]
    assert problems, [problem.message for problem in find_problems(definition)]
    for problem in problems:
        assert problem.place.file.endswith(("test_check.py", "definitions.py"))
        assert problem.place.line > 0
        assert problem.definition.startswith(("group-by ", "join ", "staging query "))


def test_sound_definitions_are_not_refused() -> None:
    part = group_by(online=True, derivations=[Derivation("*", "*"), Derivation("d", "price_sum")])
    for definition in (
        group_by(),
        group_by(sources=[entities()], aggregations=None),
        aggregated(Aggregation("x", windows=["1h"]), sources=[events("topic")]),
        join(part, online=True, derivations=[Derivation("y", "team_purchases_v1_d + 1")]),
        labelled(aggregated(Aggregation("x", windows=["5d"]), name="t.label"), 5, 5),
        StagingQuery(query="SELECT a FROM t WHERE ds >= '{{ start_date }}'", name="t.q"),
    ):
        assert find_problems(definition) == []
        check(definition)


def test_the_place_is_the_line_of_the_part_that_is_wrong() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    line = frame.f_lineno + 1
    part = Aggregation("x", Operation.LAST_K)
    problem = find_problems(aggregated(part))[0]
    assert (problem.place.file, problem.place.line) == (__file__, line)
    assert str(problem).startswith(f"{__file__}:{line}: group-by team.purchases.v1: LAST_K of x")


def test_all_problems_are_in_the_error() -> None:
    with pytest.raises(DefinitionError, match=r"\(and 1 more\)") as raised:
        check(group_by(keys=[], deprecation_date="soon"))
    assert len(raised.value.problems) == 2
    assert raised.value.hint


def test_operations_that_ignore_reversals_give_a_warning() -> None:
    source = Source(
        entities=EntitySource(
            snapshotTable="data.a", mutationTable="data.b", query=Query(time_column="ts")
        )
    )
    group = aggregated(
        Aggregation("x", Operation.SUM), Aggregation("x", Operation.MAX), sources=[source]
    )
    assert [warning.message for warning in find_warnings(group)] == [
        "MAX of x ignores rows that are taken back"
    ]
    assert find_warnings(group_by()) == []
