"""Functions of DuckDB that give the values of Spark; `definition.dialect` writes their names."""

from collections.abc import Iterator

from gigacast.feature_store.definition.sql_rule import DATE_TEXT, TIME_TEXT

_WIDER = {"TINYINT": "INTEGER", "SMALLINT": "INTEGER", "INTEGER": "BIGINT", "BIGINT": "HUGEINT"}
_DECIMAL = "DECIMAL(38,18)"
_TIMES = ("TIMESTAMP", "TIMESTAMPTZ")
# An error alone has no type, and what is computed of it would be null without being raised.
_NO_DECIMALS = "CAST(error('decimals in an operator: CAST them AS DOUBLE') AS DOUBLE)"
_TEXTS_ALIKE = ("BIGINT", "HUGEINT", "BOOLEAN", "DATE", "TIMESTAMP")
_SPACES = r"[\x00-\x20]*"
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_NOT_FINITE = r"(?i)[+-]?(nan|inf|infinity)"
_ENDS = "chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || ' '"
# Texts that Java turns into several capital letters, and other engines into one or none.
_CAPITALS = {c: c.upper() for c in map(chr, range(0x80, 0x10000)) if len(c.upper()) > 1}

Overload = tuple[str, str]


def macros() -> Iterator[str]:
    """Yield the statements that create all functions."""
    for name, overloads in _functions().items():
        bodies = ", ".join(f"({parameters}) AS {body}" for parameters, body in overloads)
        yield f"CREATE MACRO {name}{bodies}"


def _functions() -> dict[str, list[Overload]]:
    return {
        **_arithmetic(),
        **_casts(),
        **_numbers(),
        **_texts(),
        **_moments(),
    }


def _arithmetic() -> dict[str, list[Overload]]:
    # What does not fit is null: Spark would go on from the other end.
    signs = {"spark_add": "+", "spark_subtract": "-", "spark_multiply": "*"}
    functions = {name: _operator(sign) for name, sign in signs.items()}
    days = "TRY_CAST(a {} b AS DATE)"
    for name in ("spark_add", "spark_subtract"):
        sign = signs[name]
        functions[name] += [("a DATE, b INTEGER", days.format(sign))]
        functions[name] += [("a DATE, b INTERVAL", days.format(sign))]
        functions[name] += [(f"a {kind}, b INTERVAL", f"a {sign} b") for kind in _TIMES]
    differ = "CAST(error('a difference of times: use DATEDIFF or UNIX_MILLIS') AS BIGINT)"
    functions["spark_subtract"] += [(f"a {k}, b {k}", differ) for k in ("DATE", *_TIMES)]
    by_zero = "CASE WHEN b = 0 THEN NULL ELSE a % b END"
    numbers = [*_WIDER, "FLOAT", "DOUBLE"]
    decimals = (f"a {_DECIMAL}, b {_DECIMAL}", _NO_DECIMALS)
    positive = "CASE WHEN b = 0 THEN NULL WHEN a % b < 0 THEN (a % b + b) % b ELSE a % b END"
    least = "a = -9223372036854775808 AND b = -1"
    divided = f"CASE WHEN b = 0 THEN NULL WHEN {least} THEN a ELSE a // b END"
    return functions | {
        "spark_mod": [*((f"a {k}, b {k}", by_zero) for k in numbers), decimals],
        "spark_pmod": [*((f"a {k}, b {k}", positive) for k in numbers), decimals],
        "spark_div": [("a BIGINT, b BIGINT", divided), decimals],
        "spark_divide": [("a DOUBLE, b DOUBLE", "a / NULLIF(b, 0)")],
        "spark_negative": [*_each("TRY_CAST(-CAST(a AS {wide}) AS {kind})"), *_fractions("-a")],
        "spark_abs": [*_each("TRY_CAST(ABS(CAST(a AS {wide})) AS {kind})"), *_fractions("ABS(a)")],
    }


def _operator(sign: str) -> list[Overload]:
    body = f"TRY_CAST(CAST(a AS {{}}) {sign} CAST(b AS {{}}) AS {{}})"
    whole = [(f"a {k}, b {k}", body.format(w, w, k)) for k, w in _WIDER.items()]
    # Sums of whole numbers have 128 bits, and 64 in Spark.
    whole.append(("a HUGEINT, b HUGEINT", body.format("HUGEINT", "HUGEINT", "BIGINT")))
    fractions = [(f"a {k}, b {k}", f"a {sign} b") for k in ("FLOAT", "DOUBLE")]
    return [*whole, *fractions, (f"a {_DECIMAL}, b {_DECIMAL}", _NO_DECIMALS)]


def _each(body: str) -> list[Overload]:
    return [(f"a {kind}", body.format(kind=kind, wide=wide)) for kind, wide in _WIDER.items()]


def _fractions(body: str) -> list[Overload]:
    return [(f"a {kind}", body) for kind in ("FLOAT", "DOUBLE", _DECIMAL)]


def _casts() -> dict[str, list[Overload]]:
    kinds = {"8": "TINYINT", "16": "SMALLINT", "32": "INTEGER", "64": "BIGINT"}
    trimmed = f"TRIM(a, {_ENDS})"
    finite = f"regexp_full_match({trimmed}, '{_NUMBER}[dDfF]?')"
    text_to_double = (
        f"CASE WHEN {finite} THEN TRY_CAST(RTRIM({trimmed}, 'dDfF') AS DOUBLE) "
        f"WHEN regexp_full_match({trimmed}, '{_NOT_FINITE}') THEN TRY_CAST({trimmed} AS DOUBLE) END"
    )
    beyond = "CASE WHEN a > 0 THEN CAST('inf' AS FLOAT) WHEN a < 0 THEN CAST('-inf' AS FLOAT) END"
    to_float = f"COALESCE(TRY_CAST(a AS FLOAT), {beyond})"
    no_text = "CAST(error('texts of fractions differ between engines: CAST AS BIGINT') AS VARCHAR)"
    day = "TRY_CAST(CASE WHEN regexp_matches(a, '{}') THEN {} END AS {})"
    first = "regexp_extract(a, '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}')"

    return {
        **{f"spark_to_int{bits}": _to_integer(kind) for bits, kind in kinds.items()},
        "spark_to_double": [
            ("a VARCHAR", text_to_double),
            ("a DOUBLE", "a"),
            ("a BOOLEAN", "CAST(a AS DOUBLE)"),
        ],
        "spark_to_float": [
            (
                "a VARCHAR",
                to_float.replace("(a AS", f"({text_to_double} AS")
                .replace("a > 0", f"{text_to_double} > 0")
                .replace("a < 0", f"{text_to_double} < 0"),
            ),
            ("a FLOAT", "a"),
            ("a DOUBLE", to_float),
            ("a BOOLEAN", "CAST(a AS FLOAT)"),
        ],
        "spark_to_text": [
            ("a VARCHAR", "a"),
            *((f"a {k}", "CAST(a AS VARCHAR)") for k in _TEXTS_ALIKE),
            ("a TIMESTAMPTZ", "CAST(CAST(a AS TIMESTAMP) AS VARCHAR)"),
            *((f"a {k}", no_text) for k in ("DOUBLE", _DECIMAL)),
        ],
        "spark_to_digits": [
            (
                "a VARCHAR",
                f"CASE WHEN regexp_full_match({trimmed}, '{_NUMBER}') THEN {trimmed} END",
            ),
            *((f"a {k}", "CAST(a AS VARCHAR)") for k in ("BIGINT", "FLOAT", "DOUBLE", _DECIMAL)),
            ("a BOOLEAN", "CAST(CAST(a AS INTEGER) AS VARCHAR)"),
        ],
        "spark_to_boolean": [
            (
                "a VARCHAR",
                (
                    f"CASE WHEN lower({trimmed}) IN ('t', 'true', 'y', 'yes', '1') THEN TRUE "
                    f"WHEN lower({trimmed}) IN ('f', 'false', 'n', 'no', '0') THEN FALSE END"
                ),
            ),
            ("a BOOLEAN", "a"),
            ("a BIGINT", "a <> 0"),
            ("a DOUBLE", "a <> 0"),
        ],
        "spark_to_date": [
            ("a DATE", "a"),
            *((f"a {kind}", "CAST(a AS DATE)") for kind in _TIMES),
            ("a VARCHAR", day.format(DATE_TEXT, first, "DATE")),
        ],
        "spark_to_time": [
            ("a TIMESTAMPTZ", "a"),
            *((f"a {kind}", "CAST(a AS TIMESTAMPTZ)") for kind in ("DATE", "TIMESTAMP")),
            ("a VARCHAR", day.format(TIME_TEXT, "TRIM(a)", "TIMESTAMPTZ")),
        ],
    }


def _to_integer(kind: str) -> list[Overload]:
    whole = f"regexp_full_match(a, '{_SPACES}[+-]?[0-9]+{_SPACES}')"
    seconds = "CAST(error('a time as a number: use UNIX_SECONDS or UNIX_MILLIS') AS BIGINT)"
    return [
        ("a VARCHAR", f"TRY_CAST(CASE WHEN {whole} THEN TRIM(a, {_ENDS}) END AS {kind})"),
        *((f"a {number}", f"TRY_CAST(a AS {kind})") for number in ("BIGINT", "HUGEINT")),
        # It would round.
        ("a DOUBLE", f"TRY_CAST(TRUNC(a) AS {kind})"),
        (f"a {_DECIMAL}", f"TRY_CAST(TRUNC(a) AS {kind})"),
        ("a BOOLEAN", f"CAST(a AS {kind})"),
        *((f"a {time}", seconds) for time in _TIMES),
    ]


def _numbers() -> dict[str, list[Overload]]:
    fits = "CASE WHEN ABS({0}) < 9223372036854775807e0 THEN {1} END"
    # As the digits that a number is written with, and not its binary value, is what Spark rounds.
    digits = "CAST(ROUND(TRY_CAST(CAST(a AS VARCHAR) AS DECIMAL(38,{})), n) AS {})"
    rounded = (
        f"CASE WHEN ABS(a) < 1e7 THEN {digits.format(30, '{0}')} "
        f"WHEN ABS(a) < 1e16 THEN {digits.format(22, '{0}')} ELSE a END"
    )
    sign = "CASE WHEN ISNAN(a) THEN a WHEN a > 0 THEN 1e0 WHEN a < 0 THEN -1e0 ELSE a END"
    functions: dict[str, list[Overload]] = {
        f"spark_{name}": [
            ("a BIGINT", fits.format("CAST(a AS DOUBLE)", "a")),
            ("a DOUBLE", fits.format("a", f"CAST({name.upper()}(a) AS BIGINT)")),
            (f"a {_DECIMAL}", _NO_DECIMALS),
        ]
        for name in ("floor", "ceil")
    }
    return functions | {
        "spark_round": [
            *((f"a {kind}, n", "a") for kind in _WIDER),
            *((f"a {kind}, n", rounded.format(kind)) for kind in ("FLOAT", "DOUBLE")),
            (f"a {_DECIMAL}, n", _NO_DECIMALS),
        ],
        "spark_sign": [("a DOUBLE", sign)],
        "spark_round_fraction": [("a DOUBLE, n", rounded.format("DOUBLE"))],
    }


def _texts() -> dict[str, list[Overload]]:
    begin = "(CASE WHEN p > 0 THEN p - 1 WHEN p < 0 THEN LENGTH(a) + p ELSE 0 END)"
    start, end = f"GREATEST({begin}, 0)", f"{begin} + CAST(n AS BIGINT)"
    upper = "a"
    for letter, capitals in _CAPITALS.items():
        upper = f"REPLACE({upper}, '{letter}', '{capitals}')"
    special = "".join(_CAPITALS)
    return {
        "spark_substring": [
            (
                "a, p, n",
                (
                    "CASE WHEN p IS NOT NULL AND n IS NOT NULL THEN "
                    f"SUBSTRING(a, {start} + 1, GREATEST({end} - {start}, 0)) END"
                ),
            )
        ],
        "spark_length": [("a VARCHAR", "CAST(LENGTH(a) AS INTEGER)")],
        "spark_upper": [
            (
                "a",
                f"CASE WHEN regexp_matches(a, '[{special}]') THEN UPPER({upper}) ELSE UPPER(a) END",
            )
        ],
        "spark_contains": [
            (
                "a, b",
                (
                    "CASE WHEN LIST_CONTAINS(a, b) THEN TRUE WHEN a IS NOT NULL AND b IS NOT NULL "
                    "AND LEN(a) = LIST_COUNT(a) THEN FALSE END"
                ),
            )
        ],
        "spark_size": [("a", "CAST(COALESCE(CARDINALITY(a), -1) AS INTEGER)")],
    }


def _moments() -> dict[str, list[Overload]]:
    # EPOCH_MS rounds, and so gives a later day to the last moment of a day.
    floor = "(EPOCH_US(a) - ((EPOCH_US(a) % {0}) + {0}) % {0}) // {0}"
    kinds = ("DATE", *_TIMES)
    parts = {"spark_unix_seconds": 1_000_000, "spark_unix_millis": 1_000, "spark_unix_micros": 1}
    made = {"spark_from_seconds": 1_000_000, "spark_from_millis": 1_000, "spark_from_micros": 1}
    return {
        **{
            name: [
                (f"a {k}", floor.format(unit).replace("(a)", "(CAST(a AS TIMESTAMP))"))
                for k in kinds
            ]
            for name, unit in parts.items()
        },
        **{
            name: [("a BIGINT", f"CAST(MAKE_TIMESTAMP(a * {unit}) AS TIMESTAMPTZ)")]
            for name, unit in made.items()
        },
    }
