"""SQL, parsed by sqlglot: a whole statement, or a value that becomes part of one.

Dialects are tried in turn, for which of them the tool speaks is not known. A value is put where a tool would put it
without binding it: bare, between quotes, with and without parentheses; what then parses to more than a value has
broken out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import cache
from urllib.parse import unquote

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, SqlglotError

from pdp.content.guards.codes import UNPARSED

MAX_NODES = 4_096
MAX_STEPS = 16_384  # of the parser, for one text: where words can be read in two ways it goes back, and back again
MAX_DEPTH = 48  # parentheses within each other
_DIALECTS = ("", "mysql", "postgres", "tsql", "oracle")
_I = re.IGNORECASE
_X = re.IGNORECASE | re.VERBOSE
logging.getLogger("sqlglot").setLevel(logging.CRITICAL + 1)  # it logs the statements that it does not support


class _NotSqlError(Exception):
    """No dialect takes the text, or it is beyond a bound."""


class _Reading:
    """The reading of one text, in as many steps as all its parses have together."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def parse(self, statement: str, dialect: str) -> list[exp.Expression]:
        """Raises _NotSqlError, SqlglotError, ValueError."""
        reads = Dialect.get_or_raise(dialect)
        parser = reads.parser(error_level=ErrorLevel.IMMEDIATE)
        advance = parser._advance  # noqa: SLF001 - the one step of the parser, forward and back

        def counted(times: int = 1) -> None:
            self._left -= 1
            if self._left < 0:
                raise _NotSqlError
            advance(times)

        parser.__dict__["_advance"] = counted
        parsed = parser.parse(reads.tokenize(statement), statement)
        return [each for each in parsed if isinstance(each, exp.Expression)]


def whole(text: str) -> Iterator[str]:
    """The findings of a statement."""
    plain = _without_comments(text)
    yield from _of_text(plain)
    if _CUT_OFF.search(text):
        yield "cut_off"
    try:
        statements = _parsed(text)
    except _NotSqlError:
        yield UNPARSED
        return
    if len(statements) > 1:
        yield "stacked"
    for statement in statements:
        yield from _of_statement(statement)


def value(text: str) -> Iterator[str]:
    """The findings of a value that becomes part of a statement."""
    reading = _Reading()
    for spelled in dict.fromkeys((text, unquote(text), unquote(text.replace("+", " ")))):
        plain = _without_comments(spelled)
        yield from _of_text(plain)
        yield from (code for code, pattern in _PROBES if pattern.search(plain))
        yield from filter(None, (_broken(reading, *context) for context in _contexts(spelled)))
    if re.search(r"['\"`\\]", text):
        yield "quote"


# parsing


def _parsed(text: str) -> list[exp.Expression]:
    """The statements of a text, in the first dialect that takes all of it. Raises _NotSqlError."""
    if _depth(text) > MAX_DEPTH:
        raise _NotSqlError
    reading = _Reading()
    for dialect in _DIALECTS:
        try:
            statements = reading.parse(text, dialect)
        except (SqlglotError, ValueError):
            continue
        if statements and not any(isinstance(each, exp.Command) for each in statements):
            return statements
    raise _NotSqlError


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _without_comments(text: str) -> str:
    """As databases read it: comments between words are blanks, and what MySQL runs of them stands there."""
    text = re.sub(r"/\*!\d{0,6}", " ", text)
    return re.sub(r"/\*.{0,256}?\*/|[\s\x00\xa0]+|\*/", " ", text, flags=re.DOTALL)


# statements

_DELAYS = {"SLEEP", "PG_SLEEP", "BENCHMARK", "RANDOMBLOB", "PG_SLEEP_FOR"}
_PRIVILEGED = (exp.Grant, exp.Revoke) if hasattr(exp, "Revoke") else (exp.Grant,)


_KINDS = (("destructive", (exp.Drop, exp.TruncateTable, exp.Alter)), ("privilege", _PRIVILEGED))
_QUERIES = (exp.Query, exp.Values, exp.Describe)
_CHANGES = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
# functions of databases that read files, ask hosts, run statements or programs, or change the server
_REACHING = re.compile(
    r"(?:dblink|pg_(?:read|ls|stat_file|file|logdir|logical|terminate|cancel|reload|rotate|switch|promote|execute)|lo_|sys_"
    r"|query_to_xml|table_to_xml|cursor_to_xml|schema_to_xml|database_to_xml|http|url|s3|azureblob|hdfs|remote|xp_|sp_|read_|open"
    r"|iceberg_|delta_|sniff_|parquet_|load_|copy_|fn_trace|fn_xe|fn_get_audit|executable|java|plpy|utl_|dbms_)\w*"
    r"|loread|lowrite|set_config|readfile|writefile|edit|fts3_tokenizer|file|input|jdbc|odbc|mysql|postgresql|sqlite|mongodb"
    r"|glob|getenv|cluster|clusterallreplicas|to_file|net_func",
    _I,
)
_A_FILE = re.compile(r"[/\\:*]|\.(?:csv|tsv|json|jsonl|parquet|xlsx?|txt|gz|db|sqlite3?|duckdb|log)$", _I)
# what sqlglot gives no name of its own
_KNOWN = frozenset(
    {
        *(
            "now",
            "version",
            "getdate",
            "sysdate",
            "curdate",
            "curtime",
            "date_part",
            "date_format",
            "to_date",
            "to_timestamp",
        ),
        *(
            "age",
            "make_date",
            "strftime",
            "julianday",
            "datediff",
            "dateadd",
            "datepart",
            "datename",
            "isnull",
            "nvl",
            "ifnull",
        ),
        *(
            "to_json",
            "to_jsonb",
            "row_to_json",
            "jsonb_build_object",
            "json_build_object",
            "json_agg",
            "jsonb_agg",
            "instr",
        ),
        *(
            "jsonb_array_elements",
            "json_array_elements",
            "jsonb_set",
            "json_each",
            "json_valid",
            "json_group_array",
            "btrim",
        ),
        *(
            "array_remove",
            "array_upper",
            "cardinality",
            "regexp_matches",
            "regexp_split_to_table",
            "position",
            "locate",
            "ltrim",
        ),
        *(
            "rtrim",
            "lpad",
            "rpad",
            "mod",
            "div",
            "sign",
            "log2",
            "log10",
            "trunc",
            "total",
            "printf",
            "quote",
            "group_concat",
        ),
        *(
            "string_agg",
            "every",
            "grouping_sets",
            "setseed",
            "gen_random_uuid",
            "newid",
            "last_insert_id",
            "last_insert_rowid",
        ),
        *(
            "changes",
            "found_rows",
            "row_count",
            "scope_identity",
            "nextval",
            "currval",
            "lastval",
            "to_tsvector",
            "to_tsquery",
        ),
        *(
            "plainto_tsquery",
            "websearch_to_tsquery",
            "ts_rank",
            "ts_headline",
            "similarity",
            "word_similarity",
            "unaccent",
        ),
        *(
            "field",
            "find_in_set",
            "ucase",
            "lcase",
            "format",
            "concat",
            "if",
            "iif",
            "choose",
            "try_convert",
            "parse",
            "len",
        ),
        *(
            "date",
            "time",
            "datetime",
            "timestamp",
            "year",
            "month",
            "day",
            "week",
            "weekday",
            "hour",
            "minute",
            "second",
            "extract",
        ),
        *(
            "st_distance",
            "st_within",
            "st_contains",
            "st_intersects",
            "st_dwithin",
            "st_astext",
            "st_asgeojson",
            "st_makepoint",
        ),
        *(
            "st_setsrid",
            "st_buffer",
            "st_area",
            "st_length",
            "st_x",
            "st_y",
            "st_transform",
            "earth_distance",
            "ll_to_earth",
        ),
        *(
            "percentile",
            "approx_percentile",
            "bool_and",
            "bool_or",
            "bit_and",
            "bit_or",
            "corr",
            "rowid",
            "typeof",
            "hex",
            "unhex",
        ),
    }
)


def _of_statement(statement: exp.Expression) -> Iterator[str]:
    if not isinstance(statement, (*_QUERIES, *_CHANGES)):
        yield "command"
        yield from (code for code, kinds in _KINDS if isinstance(statement, kinds))
    for at, node in enumerate(statement.walk()):
        if at > MAX_NODES:
            yield UNPARSED
            return
        if (isinstance(node, exp.Or) and (_always(node.left) or _always(node.right))) or (
            isinstance(node, exp.Where) and _always(node.this)
        ):
            yield "tautology"
        elif isinstance(node, exp.SetOperation) and _is_probe(node.expression):
            yield "union_probe"
        elif isinstance(node, (exp.Delete, exp.Update)) and node.args.get("where") is None:
            yield "destructive"
        yield from _reached(node)


def _reached(node: exp.Expr) -> Iterator[str]:
    """What a function or a table reaches beyond rows."""
    if isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        if _REACHING.fullmatch(name):
            yield "host_access"
        elif isinstance(node, exp.Anonymous) and name.lower() not in _KNOWN:
            yield "function"
    elif isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
        columns = node.args["alias"].args.get("columns") if node.args.get("alias") else None
        called = any(isinstance(each, exp.Identifier) and each.quoted for each in columns or ())  # `file('/x')`
        if (node.this.quoted and _A_FILE.search(node.this.name)) or (called and _REACHING.fullmatch(node.this.name)):
            yield "host_access"
    elif isinstance(node, exp.Into) or (isinstance(node, exp.Describe) and _CHANGING.search(node.sql())):
        yield "command"


_CHANGING = re.compile(r"\b(?:insert|update|delete|merge|drop|alter|create|truncate|call|execute)\b", _I)


def _always(node: exp.Expr | None) -> bool:
    """Whether a condition holds whatever the row."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Literal):
        return not node.is_string or node.this != ""
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, (exp.EQ, exp.LT, exp.GT, exp.LTE, exp.GTE, exp.NEQ, exp.Like)):
        left, right = node.left, node.right
        return (_constant(left) and _constant(right)) or (isinstance(node, (exp.EQ, exp.Like)) and left == right)
    return False


def _constant(node: exp.Expr | None) -> bool:
    return node is not None and not any(
        isinstance(each, (exp.Column, exp.Subquery, exp.Placeholder)) for each in node.walk()
    )


def _is_probe(select: exp.Expr | None) -> bool:
    """A second SELECT of nothing but NULL, numbers and functions, or without a table."""
    if not isinstance(select, exp.Select):
        return False
    columns = select.expressions
    table = select.args.get("from_") or select.args.get("from")
    nulls = [
        each
        for each in columns
        if isinstance(each, exp.Null) or (isinstance(each, exp.Literal) and not each.is_string)
    ]
    return len(columns) > 1 and (len(nulls) * 2 >= len(columns) or (table is None and all(map(_constant, columns))))


# text

_CUT_OFF = re.compile(r"(?:--[\s+-]*|\#\s*|/\*\s*|;\s*%00)$")
_TEXTS = tuple(
    (code, re.compile(pattern, _X))
    for code, pattern in (
        (
            "time_delay",
            r"""\b(?:pg_)?sleep\s*\(\s*[\d.'"(\[] | \bbenchmark\s*\(\s*\d | \bwaitfor\s+(?:delay|time)\b
            | \bdbms_(?:pipe|lock|session)\s*\.\s*\w+ | \brandomblob\s*\(\s*\d{5} | \bpg_sleep_(?:for|until)
            | \bsleep\s*\(__TIME__
            | \bgenerate_series\s*\(\s*1\s*,\s*\d{6} | \(\s*select\s*\(?\s*sleep""",
        ),
        (
            "host_access",
            r"""\bload_file\s*\( | \binto\s+(?:out|dump)file\b | \bxp_\w+
            | \bsp_(?:oacreate|executesql|password|configure|addlogin
            |makewebtask|prepare|execute)\b | \butl_(?:http|inaddr|file|smtp|tcp)\b
            | \bdbms_(?:ldap|java|scheduler|xmlgen|export)\b
            | \bpg_(?:read_file|ls_dir|read_binary_file|stat_file)\b | \blo_(?:import|export)\b
            | \bopen(?:rowset|datasource|query)\s*\(
            | \bload_extension\s*\( | \bcopy\b.{1,200}\b(?:from|to)\s+(?:program\b|')
            | \bload\s+data\b.{0,20}\binfile\b | \bbulk\s+insert\b
            | \bsys_(?:exec|eval)\b | \bhttpuritype\b | \bshutdown\b\s*(?:;|--|$|with) | \bmaster\s*\.\.""",
        ),
        (
            "error_probe",
            r"""\bextractvalue\s*\( | \bupdatexml\s*\( | \bname_const\s*\( | \bgtid_sub\w+\s*\( | \bexp\s*\(\s*~
            | \bctxsys\s*\.
            | \bfloor\s*\(\s*rand\s*\( | \bconvert\s*\(\s*int\s*,\s*(?:\(|@@|db_name|user|char) | \bxmltype\s*\(
            | \bjson_keys\s*\(\s*\(
            | \bcast\s*\(\s*\(\s*select | \b(?:multi)?(?:polygon|point|linestring)\s*\(\s*\(
            | \bprocedure\s+analyse\b | \bordsys\s*\.
            | \belt\s*\(\s*\d+\s*=\s*\d | \bmake_set\s*\( | \brow\s*\(\s*\d+\s*,\s*\d+\s*\)\s*> """,
        ),
        (
            "schema_probe",
            r"""\binformation_schema\b | \bsqlite_(?:temp_)?(?:master|schema)\b
            | \bpg_(?:catalog|tables|shadow|user|database|class|attribute)\b
            | \bsys\s*\.\s*(?:tables|columns|objects|databases|schemas|user|all_)
            | \bsys(?:objects|columns|users|databases|logins)\b
            | \b(?:all|user|dba)_(?:tables|tab_columns|objects|users|db_links|col_comments)\b
            | \bmysql\s*\.\s*(?:user|db|innodb|proc)\b
            | @@\s*\w+ | \bv\$\w+ | \bmsys(?:objects|aces|queries)\b | \bsyscat\s*\. | \bsysibm\s*\.
            | \bv\$version""",
        ),
        ("privilege", r"\b(?:create|alter|drop)\s+(?:user|role|login)\b|\bset\s+(?:session\s+authorization|role)\b"),
    )
)


def _of_text(text: str) -> Iterator[str]:
    for code, pattern in _TEXTS:
        if pattern.search(text):
            yield code


# values

# what no value of a person or a program looks like, wherever it stands
_PROBES = tuple(
    (code, re.compile(pattern, _X))
    for code, pattern in (
        ("union_probe", r"\bunion\b[\s(]*(?:all|distinct|distinctrow)?[\s(]*\bselect\b | \bunion\s*\("),
        (
            "breakout",
            r""";\s*(?: drop\s+(?:table|database|view|index|user|schema|procedure|function|trigger|login|role)\b
            | shutdown\b
                | exec(?:ute)?\s*(?:\(|'|@|master|xp_|sp_|immediate|\w+\s*'|\w+\s*$) | insert\s+into\b
                | update\s+\w+\s+set\b
                | delete\s+from\b | declare\s+@
                | (?:create|alter)\s+(?:table|user|login|or|function|procedure|view|role|database)\b
                | truncate\s+table\b | select\s*[\w(@*'"]+\s*(?:\(|,|from\b|$|--|;|'|@) | waitfor\b
                | grant\s+\w+\s+(?:on|to)\b | copy\s+\w+\s+from
                | set\s+@ | begin\s+(?:declare|dbms) | if\s*\( | call\s+\w+\( | handler\s+\w+\s+open | load\s+data
                | backup\s+(?:database|log) )
            | ['"`)\d]\s*\)*\s*(?:or|and|xor|\|\||&&|having|like|rlike|regexp|between|where)[\s(]*(?:not\s+|!\s*){0,4}
                ['"`(\d@~!+-]?\s*[\w'"`@]+[\s)'"`]*(?:=|<|>|like\b|rlike\b|regexp\b|in\s*\(|between\b|is\s+(?:not\s+)?null)
            | ['"`]\s*\)*\s*(?:--|\#|/\*)[\s+-]*$
            | ['"`]\s*\)*\s*(?:(?:or|and|union|having)\b|\|\||&&).{0,128}(?:--|\#|/\*)[\s+-]*$
            | ['"`)]\s*\)*\s*(?:or|and|xor|\|\||&&)\s*\(?\s*['"]?\s*(?:\d+|true|false|null)\b[\s)'"]*(?:\#|--|$)
            | (?:^|['"`)\d\s])(?:order|group)\s+by\s+\d+\s*(?:,|--|\#|$)
            | \bselect\b.{1,256}?\bfrom\b\s*[\w(`"\[]+\s*(?:--|\#|where|limit|\)|;|$)
            | \bhaving\s+['"]?\d+['"]?\s*[=<>]
            | \bselect\s+(?:\*|@@|\d+\s*[,)]|null\b|count\s*\(|char\s*\(|case\s|\(|'[^']*'\s*[,)|])
            | \b(?:or|and)\s+['"]?\d+['"]?\s*=\s*['"]?\d+
            | \b(?:or|and)\s+(['"])[^'"]{0,32}\1?\s*(?:=|like)\s*\(?\1? | \(\s*select\b
            | \bcase\s+when\b.{1,128}\bthen\b | \b(?:insert\s+into|delete\s+from|drop\s+(?:table|database))\s+\w
            | \bupdate\s+\w+\s+set\s
            | \bexec(?:ute)?\s*(?:\(\s*['@]|immediate|master|sp_|xp_|@) | \bgroup_concat\s*\(
            | \bconcat(?:_ws)?\s*\(.*(?:0x|char\s*\(|,)
            | \b(?:char|chr|ascii|substring|substr|mid|ord|hex|unhex)\s*\(\s*[\d(@'"s]
            | \b(?:database|version|user|current_user|system_user|session_user|schema|db_name
                |user_name|suser_name)\s*\(\s*\)
            | =\s*['"]\s*(?:or|and)\b | '\s*=\s*' | "\s*=\s*" | '\s*\|\|\s*' | \blike\s*['"]%""",
        ),
        (
            "boundary",
            r"""['"`)]\s*\)*\s*(?:--|\#|/\*|;) | \d\s*(?:;|--|\#|/\*)
            | ['"`)]\s*\)*\s*(?:or|and|xor|\|\||&&|having|union|like|limit)\b
            | ^\s*['"`)]+\s*[=;+|-] | ;\s*(?:drop|exec|shutdown|select|delete|insert|update)\b
            | \bunion\b.{1,64}\bselect\b | '\s*\+\s*'
            | \bis\s+(?:not\s+)?null\s*$
            | \d\s*(?:or|and|\|\||&&)\s*\(?\s*(?:not\s*|!)?['"]?\w+['"]?\s*(?:--|\#|\+|-|\*)""",
        ),
    )
)
_TEMPLATES = (
    "SELECT a FROM t WHERE b = {} AND c = 1",
    "SELECT a FROM t WHERE b = '{}' AND c = 1",
    'SELECT a FROM t WHERE b = "{}" AND c = 1',
    "SELECT a FROM t WHERE (b = '{}') AND c = 1",
    "SELECT a FROM t WHERE (b = {}) AND c = 1",
    "SELECT a FROM t WHERE ((b = '{}')) AND c = 1",
)


def _contexts(text: str) -> Iterator[tuple[str, str, str]]:
    """Templates of statements that a tool may make of a value, what it makes, and the dialects in which it matters.
    Bare, only a value that begins like a number, or like what ends one: other words would have to be names."""
    if _depth(text) > MAX_DEPTH or not _SYNTAX.search(text):
        return
    for template in _TEMPLATES:
        if _quoted(template) or _NUMERIC.match(text):
            for dialect in ("", "mysql"):
                yield template, template.format(text.replace("{", "(").replace("}", ")")), dialect


def _quoted(template: str) -> bool:
    return "'" in template or '"' in template


_SYNTAX = re.compile(r"['\"`;#=<>()|&*-]|\b(?:or|and|union|select|having|order|limit|is|in|between)\b", _I)
_NUMERIC = re.compile(r"\s*[-+(]*\s*(?:\d|null\b|true\b|false\b|@@|'[^']*'|\"[^\"]*\")", _I)


def _broken(reading: _Reading, template: str, statement: str, dialect: str) -> str:
    """What became of a value: `breakout`, `boundary` where it may be meant, or nothing."""
    try:
        statements = reading.parse(statement, dialect)
    except (SqlglotError, ValueError):
        return ""
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        return "breakout"
    if _shape(statements[0]) == _neutral(template, dialect):
        return ""
    if _quoted(template):
        return "breakout"
    where = statements[0].args.get("where")
    nodes = list(where.walk()) if where is not None else []
    joined = sum(isinstance(each, (exp.Or, exp.And, exp.Xor)) for each in nodes)
    compared = sum(isinstance(each, _COMPARISONS) and not isinstance(each, exp.Connector) for each in nodes)
    if (
        any(isinstance(each, (exp.Subquery, exp.Select)) for each in nodes)
        or any(statements[0].args.get(clause) for clause in ("group", "having", "into"))
        or (joined != 1 and compared > _COMPARED)
    ):
        return "breakout"
    words = {each.alias_or_name.lower() for each in nodes if isinstance(each, (exp.Column, exp.Alias))} - {
        "a",
        "b",
        "c",
    }
    holds = compared > _COMPARED or any(isinstance(each, (exp.Or, exp.Xor, exp.DPipe)) for each in nodes)
    return "boundary" if holds and not words else ""


def _shape(statement: exp.Expression) -> exp.Expression:
    """A statement as it would be with other literals, and other names in quotes."""
    plain = statement.copy()
    for each in list(plain.find_all(exp.Identifier, exp.Literal)):
        if isinstance(each, exp.Literal) or each.args.get("quoted"):
            each.set("this", "x")
        if isinstance(each, exp.Literal):
            each.set("is_string", True)
    return plain


@cache
def _neutral(template: str, dialect: str) -> exp.Expression:
    return _shape(_Reading().parse(template.format("x" if _quoted(template) else "1"), dialect)[0])


_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.GT, exp.LTE, exp.GTE, exp.Like, exp.Is, exp.In, exp.Between, exp.Func)
_COMPARED = 2  # in each template
