"""Connections to PostgreSQL, and what its errors mean."""

from __future__ import annotations

import ssl
from typing import Any

from sqlalchemy import URL, Dialect, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from pdp.core.errors import ConfigurationFault
from pdp.store.alchemy import READS, causes, sqlstate
from pdp.store.options import Place, StoreOptions

# Classes of SQLSTATE. What is wrong with one entry: bad data, a constraint, a limit of the program.
_ENTRY = {"22", "23", "54"}
# What may go by itself: the connection, the transaction's state (a standby reads only), rolled back, no resources, a
# lock or a time limit, an operator.
_HEALING = {"08", "25", "40", "53", "55", "57"}

_NO_TLS = "Server refuses SSL"  # pg8000's words; it has no code for that

# Why the server lets nobody in, in words.
_REFUSALS = {
    "28P01": "the password is wrong: store.password",
    "28000": "the server's pg_hba.conf lets this user not in from here",
    "3D000": "there is no database of this name",
    "42501": "the role may not make tables here; let it own the database",
    "53300": "the server has no connection left",
    "57P03": "the server is starting or stopping",
}

WRITING = (
    "SET synchronous_commit = on",  # a commit is durable when COMMIT returns
    "SET lock_timeout = '5s'",
    "SET statement_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = '10s'",  # who holds the head and hangs holds up everybody
)
READING = ("SET default_transaction_read_only = on", "SET statement_timeout = '3s'")
# Of silence on the socket; longer than the server's own limits. Bringing tables up to date takes what it takes.
OPEN_SECONDS, WRITE_SECONDS, READ_SECONDS = 600.0, 15.0, 4.0


def opening(options: StoreOptions, password: bytes, boot: str) -> Engine:
    """For making the tables and bringing them up to date."""
    return _engine(options, password, boot, WRITING[:1], OPEN_SECONDS, {"poolclass": NullPool})


def writing(options: StoreOptions, password: bytes, boot: str) -> Engine:
    """For one connection at a time; a lost one is opened anew."""
    return _engine(options, password, boot, WRITING, WRITE_SECONDS, {"poolclass": NullPool})


def reading(options: StoreOptions, password: bytes, boot: str) -> Engine:
    """A pool of connections that only read, each statement by itself."""
    each = {**READS, "isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
    return _engine(options, password, boot, READING, READ_SECONDS, each)


def _engine(
    options: StoreOptions, password: bytes, boot: str, session: tuple[str, ...], seconds: float, pool: dict[str, Any]
) -> Engine:
    place = Place.read(options.url or "")
    url = URL.create("postgresql+pg8000", place.user, None, place.host or None, place.port)
    arguments: dict[str, Any] = {"timeout": seconds, "application_name": application(boot)}
    arguments["password"] = password  # pg8000 takes bytes, and fails oddly where there is none
    if place.socket:
        arguments["unix_sock"] = f"{place.socket}/.s.PGSQL.{place.port}"
    arguments["ssl_context"] = False if place.socket or options.tls == "off" else _tls(options)
    url = url.set(database=place.database)
    engine = create_engine(url, connect_args=arguments, hide_parameters=True, **pool)

    @event.listens_for(engine, "do_connect")
    def _(dialect: Dialect, _record: object, given: Any, named: Any) -> Any:
        try:
            connection = dialect.connect(*given, **named)
            cursor = connection.cursor()
            for statement in session:
                cursor.execute(statement)
            connection.commit()
        except OSError as e:  # pg8000 lets some errors of the socket through as they are
            raise dialect.loaded_dbapi.InterfaceError(f"network error: {e}") from e
        return connection

    @event.listens_for(engine, "handle_error")
    def _(context: ExceptionContext) -> DBAPIError | None:
        error = context.original_exception
        if not isinstance(error, OSError):
            return None
        context.is_disconnect = True
        return OperationalError(context.statement, None, error, connection_invalidated=True)

    return engine


def _tls(options: StoreOptions) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=options.ca_file)
    except OSError as e:
        raise ConfigurationFault("store.ca_file", f"store.ca_file: cannot be read ({e.strerror}).") from None


def application(boot: str) -> str:
    """What a process is called among the server's sessions."""
    return f"pdp {boot}"


def state(error: DBAPIError) -> str:
    """The SQLSTATE; "" for an error that the server did not send."""
    return sqlstate(error.orig)


def why(error: SQLAlchemyError) -> str:
    """Why there is no connection, for operators: no text of the server's, which may say more than they should see."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return type(error).__name__
    chain = tuple(causes(error.orig))
    # pg8000 says good-bye to a server that refused it; where that has gone by then, its error hides the refusal
    if code := next(filter(None, map(sqlstate, chain)), ""):
        return _REFUSALS.get(code, f"the server refuses it, SQLSTATE {code}")
    if any(isinstance(cause, ssl.SSLError) or _NO_TLS in str(cause) for cause in chain):
        return "no TLS, or not the certificate that store.ca_file and the host's name ask for"
    return "nothing answers at its host and port"


def entrys(error: DBAPIError) -> bool:
    """True when only an entry is at fault."""
    return state(error)[:2] in _ENTRY


def lost(error: DBAPIError) -> bool:
    """True when the connection is gone, and with it what the server would have said."""
    return error.connection_invalidated or state(error)[:2] in {"", "08"} or state(error).startswith("57P")


def passing(error: DBAPIError) -> bool:
    """True when it may go by itself."""
    return lost(error) or state(error)[:2] in _HEALING
