"""Checks of definitions that are served: their expressions must have a form for single rows."""

from collections.abc import Iterator

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.closure import find_refused
from gigacast.feature_store.definition.expression import parse_expression
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.problem import Problem


def online_problems(definition: GroupBy | Join) -> Iterator[Problem]:
    """Yield the expressions of an online definition that only a SQL engine can compute."""
    if not definition.online:
        return
    texts = [(f"derivation {d.name}", d.expression, d.place) for d in definition.derivations or ()]
    if isinstance(definition, GroupBy):
        for source in definition.sources:
            # The events of a topic are selected one by one; those of a join are not streamed.
            if source.topic and source.joinSource is None:
                query = source.query
                selects = definition.selects_of(source)
                texts += [(f"select {n}", text, query.place) for n, text in selects.items()]
                texts += [("condition", text, query.place) for text in query.wheres or ()]
    for label, text, place in texts:
        if text != "*" and _is_sql(text) and (reason := find_refused(text)):
            yield Problem(
                f"the {label} cannot be served: {reason}",
                place,
                "move it to a staging query, or set online=False",
            )


def _is_sql(text: str) -> bool:
    try:
        parse_expression(text)
    except ConfigError:
        return False  # another check names the fault
    return True
