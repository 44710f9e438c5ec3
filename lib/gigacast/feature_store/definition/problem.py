"""Problems of definitions: what is wrong, in which definition, at which place."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from gigacast.errors import ConfigError, DefinitionError
from gigacast.feature_store.definition.dialect import check_sql
from gigacast.feature_store.definition.place import Place


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason to refuse a definition, or to warn about it.

    Parameters
    ----------
    message : str
    place : Place
        Place of the part that is wrong.
    hint : str
        Advice on how to mend it; may be empty.
    definition : str
        Kind and name of the definition, as ``group-by quickstart.returns.v1``.
    """

    message: str
    place: Place
    hint: str = ""
    definition: str = ""

    def __str__(self) -> str:
        return ": ".join(filter(None, (str(self.place), self.definition, self.message)))


def refusal(problems: Iterable[Problem]) -> DefinitionError:
    """Return the error that refuses definitions for their problems, of which there is at least one.

    The message is that of the first problem.
    """
    first, *others = problems
    more = f" (and {len(others)} more)" if others else ""
    return DefinitionError(f"{first}{more}", hint=first.hint or None, problems=(first, *others))


def sql_problems(
    role: str,
    expressions: Iterable[str | None],
    place: Place,
    functions: Collection[str] = (),
) -> Iterator[Problem]:
    """Yield the problems of SQL expressions that engines cannot read or compute alike.

    Parameters
    ----------
    role : str
        What the expressions are, for messages.
    expressions : iterable of str or None
        Those that are None are passed over.
    place : Place
    functions : collection of str
        Names of functions that setups create.
    """
    for text in expressions:
        if text is None:
            continue
        try:
            check_sql(text, functions)
        except ConfigError as error:
            yield Problem(
                f"{role}: {error.message}", place, error.hint or "write an expression of Spark SQL"
            )


def date_problems(fields: Iterable[tuple[str, str | None]], place: Place) -> Iterator[Problem]:
    """Yield the problems of fields that should hold a day and do not."""
    for name, text in fields:
        if text is not None and not is_date(text):
            yield Problem(f"{name}: {text!r} is no date", place, "write it as 2024-01-31")


def is_date(text: object) -> bool:
    """Return whether a text is a day, as ``2024-01-31``."""
    try:
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
