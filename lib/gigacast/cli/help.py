"""Commands with flags: help under the headings of their groups."""

from typing import Any

import click

from gigacast.cli.lazy import GIVEN
from gigacast.settings.option import GROUPS, Option

_OTHER = "other"
"""Group of ``--help``, which is click's own."""


class Flag(click.Option):
    """The flag of a row of the table of options.

    Parameters
    ----------
    row : Option
    names : sequence of str
        Spellings of the flag, and the name of its value.
    """

    def __init__(self, names: list[str], *, row: Option, **options: Any) -> None:
        super().__init__(names, **options)
        self.row = row

    def get_help_extra(self, ctx: click.Context) -> click.types.OptionHelpExtra:
        """Return the default and the bounds that help shows behind the text."""
        extra = super().get_help_extra(ctx)
        # Numbers without a bound are of the same type as those with one: click would say "x<=None".
        if self.row.range is None:
            extra.pop("range", None)
        return extra


class Command(click.Command):
    """A command whose help shows the flags of each group under a heading."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; the context keeps its values, for errors that are about one of them."""
        ctx.meta[GIVEN] = (self, dict(ctx.params))  # a command takes its values out
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, a section for each group, in the order of `GROUPS`."""
        sections: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                group = parameter.row.group if isinstance(parameter, Flag) else _OTHER
                sections[group].append(record)
        for group, records in sections.items():
            if records:
                with formatter.section(GROUPS[group]):
                    formatter.write_dl(records)
