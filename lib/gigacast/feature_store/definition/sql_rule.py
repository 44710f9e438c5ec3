"""How each operator and function of expressions is written for an engine."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.expression import load_sqlglot
from gigacast.feature_store.definition.pattern import common_format, common_pattern, matches_nothing
from gigacast.feature_store.definition.sql_template import (
    Engine,
    Rule,
    arguments_of,
    by,
    fill,
    in_duckdb,
    shown,
)

INTEGERS = {"TINYINT": "8", "SMALLINT": "16", "INT": "32", "BIGINT": "64"}
_ARITHMETIC = ("Add", "Sub", "Mul", "Mod", "IntDiv")
DATE_TEXT = r"^ *[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ T].*)? *$"
TIME_TEXT = (
    r"^ *[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)? *$"
)
"""Texts that are days and times; the engines take further ones, each others."""


def _literal(node: Any, engine: Engine) -> Any:
    exp = load_sqlglot().exp
    if node.is_string:
        return node
    if re.fullmatch(r"\d*\.\d*", node.this):
        # In Spark a decimal, whose divisions and products are rounded by rules of its own.
        return exp.Literal.number(f"{node.this}e0")
    parent = node.parent
    if engine == "duckdb" and node.this.isdecimal() and type(parent).__name__ in _ARITHMETIC:
        # A number without a type would take that of the other side, whatever fits.
        kind = "INT" if int(node.this) < 1 << 31 else "BIGINT"
        return exp.Cast(this=node.copy(), to=exp.DataType.build(kind))
    return node


def _cast(node: Any, engine: Engine) -> Any:
    kind = node.to.this.name
    if kind in INTEGERS:
        spark = f"TRY_CAST(:this AS {kind})"
        return (
            fill(f"spark_to_int{INTEGERS[kind]}(:this)", "duckdb", arguments_of(node))
            if (engine == "duckdb")
            else fill(spark, engine, arguments_of(node))
        )
    if kind == "DECIMAL":
        if engine == "spark":
            return node
        text = load_sqlglot().exp.Anonymous(this="spark_to_digits", expressions=[node.this])
        return load_sqlglot().exp.TryCast(this=text, to=node.to)
    templates = _CASTS.get(kind)
    if templates is None:
        raise ConfigError(
            f"{shown(node)}: casts to {kind} differ between the engines",
            hint=f"casts may be to {', '.join([*INTEGERS, *_CASTS, 'DECIMAL'])}",
        )
    return fill(templates[engine == "spark"], engine, arguments_of(node))


_AS_DATE = f"IF(CAST(:this AS STRING) RLIKE '{DATE_TEXT}', CAST(:this AS DATE), NULL)"
_AS_TIME = f"IF(CAST(:this AS STRING) RLIKE '{TIME_TEXT}', CAST(:this AS TIMESTAMP), NULL)"
_CASTS = {
    "DOUBLE": ("spark_to_double(:this)", "CAST(:this AS DOUBLE)"),
    "FLOAT": ("spark_to_float(:this)", "CAST(:this AS FLOAT)"),
    "TEXT": ("spark_to_text(:this)", "CAST(:this AS STRING)"),
    "VARCHAR": ("spark_to_text(:this)", "CAST(:this AS STRING)"),
    "BOOLEAN": ("spark_to_boolean(:this)", "CAST(:this AS BOOLEAN)"),
    "DATE": ("spark_to_date(:this)", _AS_DATE),
    "TIMESTAMP": ("spark_to_time(:this)", _AS_TIME),
    "TIMESTAMPTZ": ("spark_to_time(:this)", _AS_TIME),
}


def _concat(node: Any, engine: Engine) -> Any:
    if engine == "spark":
        return node
    exp = load_sqlglot().exp
    parts = node.expressions if isinstance(node, exp.Concat) else [node.this, node.expression]
    texts = [exp.Anonymous(this="spark_to_text", expressions=[part.copy()]) for part in parts]
    joined = texts[0]
    for text in texts[1:]:
        joined = exp.DPipe(this=joined, expression=text)
    return exp.Paren(this=joined)


def _if(node: Any, engine: Engine) -> Any:
    if node.args.get("false") is None and not isinstance(node.parent, load_sqlglot().exp.Case):
        node.set("false", load_sqlglot().exp.Null())
    return node


def write_round(node: Any, engine: Engine) -> Any:
    """Return a number rounded to digits as Spark does."""
    digits = node.args.get("decimals")
    text = "0" if digits is None else digits.sql()
    if not text.isdecimal() or int(text) > 15:
        raise ConfigError(f"{shown(node)}: ROUND takes 0 to 15 digits, as a number")
    if engine == "spark":
        return node
    return fill(f"spark_round(:this, {text})", engine, arguments_of(node))


def _pattern(node: Any, engine: Engine) -> Any:
    """Return a function of a regular expression, which is rewritten to mean the same everywhere."""
    text = node.expression
    if not text.is_string:
        raise ConfigError(f"{shown(node)}: expected the pattern as a text")
    replacement = node.args.get("replacement")
    if replacement is not None and (
        not replacement.is_string or re.search(r"[$\\]", replacement.this)
    ):
        raise ConfigError(f"{shown(node)}: expected a replacement without $ and \\")
    name = type(node).__name__
    if name in {"RegexpReplace", "RegexpSplit"} and matches_nothing(text.this):
        raise ConfigError(f"{shown(node)}: the pattern matches texts of no characters")
    if name == "RegexpSplit" and node.args.get("limit") is not None:
        raise ConfigError(f"{shown(node)}: a limit of pieces cannot be computed")
    node.set("expression", load_sqlglot().exp.Literal.string(common_pattern(text.this)))
    return node


def _trim(node: Any, engine: Engine) -> Any:
    if node.expression is not None or engine == "spark":
        return node
    side = {"LEADING": "LTRIM", "TRAILING": "RTRIM"}.get(node.args.get("position") or "", "TRIM")
    # DuckDB would trim other spaces than the plain ones, too.
    return fill(f"{side}(:this, ' ')", engine, arguments_of(node))


def _substring(node: Any, engine: Engine) -> Any:
    if engine == "spark":
        return node
    arguments = arguments_of(node)
    length = ":length" if "length" in arguments else "2147483647"
    return fill(f"spark_substring(:this, :start, {length})", engine, arguments)


def _date_trunc(node: Any, engine: Engine) -> Any:
    unit = _TRUNC_UNITS.get(node.args["unit"].name.upper())
    if unit is None:
        raise ConfigError(
            f"{shown(node)}: expected the unit {', '.join(dict.fromkeys(_TRUNC_UNITS.values()))}"
        )
    arguments = arguments_of(node)
    if type(node).__name__ == "DateTrunc":
        spark = _AS_DATE.replace(":this", ":this")
        return (
            fill(f"CAST(DATE_TRUNC('{unit}', spark_to_date(:this)) AS DATE)", engine, arguments)
            if engine == "duckdb"
            else fill(f"TRUNC({spark}, '{unit}')", engine, arguments)
        )
    duckdb = f"CAST(DATE_TRUNC('{unit}', :this) AS TIMESTAMPTZ)"
    return fill(duckdb if engine == "duckdb" else f"DATE_TRUNC('{unit}', :this)", engine, arguments)


_TRUNC_UNITS = {
    "YEAR": "YEAR", "YYYY": "YEAR", "YY": "YEAR", "QUARTER": "QUARTER", "Q": "QUARTER",
    "MONTH": "MONTH", "MM": "MONTH", "MON": "MONTH", "WEEK": "WEEK", "DAY": "DAY", "DD": "DAY",
    "HOUR": "HOUR", "MINUTE": "MINUTE", "SECOND": "SECOND",
}  # fmt: skip


def _date_part(name: str) -> Rule:
    return in_duckdb(f"CAST({name}(:this) AS INTEGER)")


def _extract(node: Any, engine: Engine) -> Any:
    unit = node.this.name.upper()
    if unit not in _PARTS:
        raise ConfigError(f"{shown(node)}: expected one of {', '.join(_PARTS)}")
    if engine == "spark":
        return node
    return fill(f"CAST({unit}(:expression) AS INTEGER)", engine, arguments_of(node))


_PARTS = ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE")


def _format(node: Any, engine: Engine) -> Any:
    """Return a time as a text, in a form that is the same in both engines."""
    spark, duckdb = common_format(node.args["format"], shown(node))
    if type(node).__name__ == "TimeToStr":
        template = (
            f"STRFTIME(:this, '{duckdb}')"
            if engine == "duckdb"
            else f"DATE_FORMAT(:this, '{spark}')"
        )
    else:
        text = f"STRFTIME(spark_from_seconds(:this), '{duckdb}')"
        if engine == "spark":
            text = f"FROM_UNIXTIME(:this, '{spark}')"
        # Years of five digits are written differently.
        template = f"CASE WHEN :this BETWEEN -62135596800 AND 253402300799 THEN {text} END"
    return fill(template, engine, arguments_of(node))


def _day_or_error(node: Any, engine: Engine) -> Any:
    if node.args.get("format") is not None:
        raise ConfigError(
            f"{shown(node)}: texts of other forms are read differently by the engines",
            hint="write the day as 2024-01-31 by CONCAT and SUBSTR, and CAST it AS DATE",
        )
    return fill(
        "spark_to_date(:this)" if engine == "duckdb" else _AS_DATE, engine, arguments_of(node)
    )


def _unix_time(node: Any, engine: Engine) -> Any:
    form = node.args.get("format")
    text = form.this.replace("strict", "") if form is not None and form.is_string else ""
    texts = {"%Y-%m-%d %H:%M:%S": _AS_TIME, "%Y-%m-%d": _AS_DATE}
    if text not in texts:
        return _day_or_error(node, engine)
    name = "spark_to_time" if "H" in text else "spark_to_date"
    spark = f"UNIX_SECONDS(CAST({texts[text]} AS TIMESTAMP))"
    duckdb = f"spark_unix_seconds({name}(:this))"
    return fill(duckdb if engine == "duckdb" else spark, engine, arguments_of(node))


@cache
def rules() -> Mapping[str, Rule]:
    """Return how trees are written that engines would compute differently."""
    integral = "CASE WHEN ABS(:this) < 9223372036854775807e0 THEN {}(:this) END"
    return {
        "Add": by("spark_add(:this, :expression)", "TRY_ADD(:this, :expression)"),
        "Sub": by("spark_subtract(:this, :expression)", "TRY_SUBTRACT(:this, :expression)"),
        "Mul": by("spark_multiply(:this, :expression)", "TRY_MULTIPLY(:this, :expression)"),
        "SafeAdd": by("spark_add(:this, :expression)", "TRY_ADD(:this, :expression)"),
        "SafeSubtract": by(
            "spark_subtract(:this, :expression)", "TRY_SUBTRACT(:this, :expression)"
        ),
        "SafeMultiply": by(
            "spark_multiply(:this, :expression)", "TRY_MULTIPLY(:this, :expression)"
        ),
        "Div": by(
            "spark_divide(:this, :expression)",
            "CAST(:this AS DOUBLE) / CAST(:expression AS DOUBLE)",
        ),
        "SafeDivide": by(
            "spark_divide(:this, :expression)",
            "CAST(:this AS DOUBLE) / CAST(:expression AS DOUBLE)",
        ),
        "Mod": in_duckdb("spark_mod(:this, :expression)"),
        "IntDiv": in_duckdb("spark_div(:this, :expression)"),
        "Neg": _negative,
        "Abs": by("spark_abs(:this)", "CASE WHEN ABS(:this) >= 0 THEN ABS(:this) END"),
        "Floor": by("spark_floor(:this)", integral.format("FLOOR")),
        "Ceil": by("spark_ceil(:this)", integral.format("CEIL")),
        "Round": write_round,
        "Sign": in_duckdb("spark_sign(:this)"),
        "IsNan": in_duckdb("COALESCE(ISNAN(:this), FALSE)"),
        "Nanvl": in_duckdb("CASE WHEN ISNAN(:this) THEN :expression ELSE :this END"),
        "Literal": _literal,
        "Bracket": _bracket,
        "Exists": _exists,
        "Cast": _cast,
        "TryCast": _cast,
        "If": _if,
        "Concat": _concat,
        "DPipe": _concat,
        "Length": in_duckdb("spark_length(:this)"),
        "Lower": by(
            # Java's small sigma depends on its neighbours, and its dotless I has two letters.
            "LOWER(REPLACE(REPLACE(:this, '\u03a3', '\u03c3'), '\u0130', 'i\u0307'))",
            "LOWER(REPLACE(:this, '\u03a3', '\u03c3'))",
        ),
        "Upper": in_duckdb("spark_upper(:this)"),
        "Trim": _trim,
        "Substring": _substring,
        "Left": in_duckdb("LEFT(:this, CASE WHEN :expression < 0 THEN 0 ELSE :expression END)"),
        "Right": in_duckdb("RIGHT(:this, CASE WHEN :expression < 0 THEN 0 ELSE :expression END)"),
        "Like": _like,
        "ArrayContains": in_duckdb("spark_contains(:this, :expression)"),
        "StrPosition": _position,
        "RegexpLike": _pattern,
        "RegexpExtract": _pattern,
        "RegexpReplace": _pattern,
        "RegexpSplit": _pattern,
        "ArraySize": in_duckdb("spark_size(:this)"),
        **{name: _date_part(name.upper()) for name in ("Year", "Month", "Quarter", "Day")},
        **{name: _date_part(name.upper()) for name in ("Hour", "Minute", "Second")},
        "DayOfMonth": _date_part("DAYOFMONTH"),
        "DayOfYear": _date_part("DAYOFYEAR"),
        "WeekOfYear": _date_part("WEEKOFYEAR"),
        "DayOfWeek": in_duckdb("CAST(DAYOFWEEK(:this) + 1 AS INTEGER)"),
        "Extract": _extract,
        "TsOrDsToDate": _day_or_error,
        "TsOrDsAdd": by(
            "CAST(spark_to_date(:this) + CAST(:expression AS INTEGER) AS DATE)",
            f"DATE_ADD({_AS_DATE}, :expression)",
        ),
        "AddMonths": by(
            "CAST(spark_to_date(:this) + TO_MONTHS(:expression) AS DATE)",
            f"ADD_MONTHS({_AS_DATE}, :expression)",
        ),
        "LastDay": by("LAST_DAY(spark_to_date(:this))", f"LAST_DAY({_AS_DATE})"),
        "DateDiff": by(
            "CAST(DATE_DIFF('DAY', spark_to_date(:expression), spark_to_date(:this)) AS INTEGER)",
            f"DATEDIFF({_AS_DATE}, {_AS_DATE.replace(':this', ':expression')})",
        ),
        "DateTrunc": _date_trunc,
        "TimestampTrunc": _date_trunc,
        "TimeToStr": _format,
        "UnixToStr": _format,
        "StrToUnix": _unix_time,
        "UnixSeconds": by("spark_unix_seconds(:this)", "UNIX_SECONDS(CAST(:this AS TIMESTAMP))"),
        "UnixMillis": by("spark_unix_millis(:this)", "UNIX_MILLIS(CAST(:this AS TIMESTAMP))"),
        "UnixMicros": by("spark_unix_micros(:this)", "UNIX_MICROS(CAST(:this AS TIMESTAMP))"),
        "Sum": by("SUM(:this)", "TRY_SUM(:this)"),
        "Avg": in_duckdb("AVG(:this)"),
    }


def _negative(node: Any, engine: Engine) -> Any:
    exp = load_sqlglot().exp
    if node.this.is_number:
        if engine == "spark" or not node.this.this.isdecimal():
            return node
        kind = "INT" if int(node.this.this) <= 1 << 31 else "BIGINT"
        return exp.Cast(this=exp.Paren(this=node.copy()), to=exp.DataType.build(kind))
    spark = "IF(-:this = :this AND :this < 0, NULL, -:this)"
    return fill(
        "spark_negative(:this)" if engine == "duckdb" else spark, engine, arguments_of(node)
    )


def _like(node: Any, engine: Engine) -> Any:
    exp = load_sqlglot().exp
    if engine == "spark" or isinstance(node.parent, exp.Escape):
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


def _bracket(node: Any, engine: Engine) -> Any:
    index = node.expressions[0]
    if not isinstance(getattr(index, "this", None), str) and type(index).__name__ != "Neg":
        raise ConfigError(f"{shown(node)}: expected the place as a number")
    return node


def _exists(node: Any, engine: Engine) -> Any:
    if not isinstance(node.this, load_sqlglot().exp.Query):
        raise ConfigError(f"{shown(node)}: EXISTS over a list differs between the engines")
    return node


def _position(node: Any, engine: Engine) -> Any:
    if node.args.get("position") is not None or node.args.get("occurrence") is not None:
        raise ConfigError(f"{shown(node)}: the place to begin at cannot be computed")
    if engine == "spark":
        return node
    return fill("CAST(STRPOS(:this, :substr) AS INTEGER)", engine, arguments_of(node))


CALLS = {
    "pmod": ("spark_pmod(:a0, :a1)", "PMOD(:a0, :a1)"),
    "isnull": ("(:a0 IS NULL)", "(:a0 IS NULL)"),
    "isnotnull": ("(:a0 IS NOT NULL)", "(:a0 IS NOT NULL)"),
    "zeroifnull": ("COALESCE(:a0, 0)", "COALESCE(:a0, 0)"),
    "nullifzero": ("NULLIF(:a0, 0)", "NULLIF(:a0, 0)"),
    "weekday": ("CAST(ISODOW(:a0) - 1 AS INTEGER)", "WEEKDAY(:a0)"),
    "timestamp_millis": ("spark_from_millis(:a0)", "TIMESTAMP_MILLIS(:a0)"),
    "timestamp_micros": ("spark_from_micros(:a0)", "TIMESTAMP_MICROS(:a0)"),
    "timestamp_seconds": ("spark_from_seconds(:a0)", "TIMESTAMP_SECONDS(:a0)"),
    "map_values": ("MAP_VALUES(:a0)", "MAP_VALUES(:a0)"),
}
"""Functions that the library of dialects does not know, for DuckDB and for Spark."""
