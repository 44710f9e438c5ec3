"""What answers are logged of: a join, or a group-by, compared as a join of itself alone."""

from dataclasses import dataclass
from functools import cached_property

from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join, JoinPart
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import (
    TIME_COLUMN,
    group_by_columns,
    join_columns,
    name_of,
    part_columns,
    part_name,
)
from gigacast.feature_store.definition.source import EventSource, Query, Source
from gigacast.lake.feature_layout import group_by_log


@dataclass(frozen=True)
class Logged:
    """A definition whose answers are logged.

    Parameters
    ----------
    definition : Join or GroupBy
    """

    definition: Join | GroupBy

    @cached_property
    def join(self) -> Join:
        """The join itself, or one whose requests have the keys of the group-by."""
        group_by = self.definition
        if isinstance(group_by, Join):
            return group_by
        # Its left side is never read: its rows are the logged requests.
        query = Query(selects={key: key for key in group_by.keys}, time_column=TIME_COLUMN)
        return Join(
            left=Source(events=EventSource(table=self.log, query=query)),
            right_parts=[JoinPart(group_by=group_by)],
            name=name_of(group_by),
            output_namespace=group_by.output_namespace,
        )

    @property
    def label(self) -> str:
        """Kind and name."""
        kind = "join" if isinstance(self.definition, Join) else "group-by"
        return f"{kind} {name_of(self.definition)}"

    @property
    def log(self) -> str:
        """Name of the log."""
        name = name_of(self.definition)
        return name if isinstance(self.definition, Join) else group_by_log(name)

    @cached_property
    def digest(self) -> str:
        """Digest of the definition whose answers count."""
        return semantic_digest(self.definition)

    @cached_property
    def columns(self) -> dict[str, str]:
        """Columns of the join by the names of the logged features."""
        if isinstance(self.definition, Join):
            return {name: name for name in join_columns(self.definition)}
        return dict(
            zip(
                group_by_columns(self.definition),
                part_columns(self.join.right_parts[0]),
                strict=True,
            )
        )

    @property
    def parts(self) -> dict[str, str]:
        """Names of the join's parts by those that the log has for them."""
        if isinstance(self.definition, Join):
            return {name: name for name in map(part_name, self.definition.right_parts)}
        return {name_of(self.definition): part_name(self.join.right_parts[0])}
