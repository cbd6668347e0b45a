"""Codes of guards: for each kind of interpreter what can be found in a text, and what that means. Stable: rules name
them. Which of them denies is the baseline's to say (`rego/lib/guards.rego`)."""

from __future__ import annotations

from collections.abc import Mapping

UNPARSED = "unparsed"
_UNPARSED = {UNPARSED: "too long, too deep, or nothing that the parser takes: it was not judged"}

CODES: Mapping[str, Mapping[str, str]] = {
    "shell": {
        **_UNPARSED,
        "remote_code": "runs what it downloads",
        "reverse_shell": "connects a shell or an interpreter to the network",
        "obfuscated": "a command whose name or text is encoded, cut apart or put together",
        "destructive": "deletes or overwrites a root, a home or a device, or starts without end",
        "credential_file": "reads or writes keys, passwords or tokens",
        "persistence": "leaves something that runs later: schedules, profiles, authorized keys, services",
        "exfiltration": "sends a file or the output of a command to a host",
        "evasion": "switches off logs, history, firewalls or mandatory access control",
        "privilege": "acts as another user or changes who may do what",
        "dynamic_command": "the name of a command is an expansion",
    },
    "shell_word": {
        **_UNPARSED,
        "breakout": "more than a word: unquoted, or between quotes, another command of that shell runs",
        "substitution": "a command, process or parameter is put in its place",
        "redirection": "a file is read or written",
        "operator": "a control operator, which ends the command where the tool does not quote",
        "option": "begins with `-`: an option, not a value",
        "control": "a line break or another control character",
    },
    "path": {
        **_UNPARSED,
        "traversal": "leads out of where it begins, by `..`, encoded or not",
        "nul": "a NUL, written or encoded: others read the path as ended there",
        "encoded": "percent-encoded dots or separators, once or more often",
        "look_alike": "characters that other programs read as dots or separators",
        "scheme": "a URL or a stream wrapper where a path is expected",
        "device": "a device or a namespace (`CON`, `\\\\.\\`, `/dev/tcp`), not a file",
        "network_share": "a path to another host (UNC)",
        "stream": "an alternate data stream",
        "sensitive": "a well-known file of keys, passwords, processes or boot",
        "expansion": "a home, a variable or a command that a shell would put in its place",
        "control": "a line break or another control character",
        "absolute": "begins at a root or a drive",
        "ambiguous": "ends in blanks or dots, or mixes separators: systems disagree on its name",
    },
    "sql": {
        **_UNPARSED,
        "stacked": "more than one statement",
        "tautology": "a condition that holds whatever the row",
        "union_probe": "joins a row of constants or NULLs, to find out what is there",
        "time_delay": "waits, so that an answer is told by time",
        "host_access": "files, programs, other hosts or the server itself by way of the database",
        "error_probe": "makes an error that tells data",
        "cut_off": "ends in a comment that cuts off what follows",
        "schema_probe": "asks for tables, columns, users or the version of the database",
        "destructive": "drops, truncates or alters, or changes every row of a table",
        "privilege": "changes users, roles or grants",
    },
    "sql_value": {
        **_UNPARSED,
        "breakout": "ends the value and goes on as a statement",
        "union_probe": "joins another query",
        "time_delay": "waits, so that an answer is told by time",
        "host_access": "files, programs, other hosts or the server itself by way of the database",
        "error_probe": "makes an error that tells data",
        "schema_probe": "asks for tables, columns, users or the version of the database",
        "privilege": "changes users, roles or grants",
        "boundary": "what may end a value, as in a quoted word before `and`, `;` or `#`",
        "quote": "holds a quote or a backslash, which a tool that does not bind values would trip over",
    },
    "url": {
        **_UNPARSED,
        "scheme": "another scheme than http, https, ws, wss",
        "metadata_host": "the metadata service of a cloud",
        "internal_host": "a loopback, private, link-local or reserved address, or a name that leads to one",
        "odd_address": "an address in a spelling that hides it: decimal, octal, hexadecimal, mapped",
        "userinfo": "something that reads like a host before the `@`, or an authority that programs end elsewhere",
        "backslash": "a backslash where programs disagree whether it is a slash",
        "odd_slashes": "more or fewer slashes than two: programs disagree where the host begins",
        "encoded_host": "percent-encoding within the host",
        "look_alike": "letters that look like others, or become others",
        "control": "a control character or a line break, encoded or not, or a blank",
        "invalid_host": "no host, or none that could be one",
        "embedded_domain": "a well-known ending in the middle of the name, as in `bank.com.example.net`",
        "internal_name": "a name without a public suffix",
        "nested_internal": "an internal address or name within its path or query, for a host that forwards",
        "service_port": "a port of databases, mail, remote shells or control planes",
        "user": "a user name before the host",
        "address": "an address instead of a name",
    },
}

# the longest text of each kind that is read; pathological ones of this length take tens of milliseconds
MAX_BYTES: Mapping[str, int] = {
    "shell": 8_192,
    "shell_word": 2_048,
    "path": 4_096,
    "sql": 4_096,
    "sql_value": 1_024,
    "url": 2_048,
}
