"""Named statements in the server's format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from jobmaster_postgres.arrays import ARRAYS, ArrayType
from jobmaster_postgres.schema import named
from jobmaster_postgres.wire import Message
from jobmaster_sql import Batch, Queries, Query, Script, parameters, replace_parameters

_ARRAY: Final = re.compile(r":([a-z_][a-z0-9_]*)::([a-z]+)\[\]")


@frozen
class Statement:
    """A statement's text, the names of its parameters in order, and the types of its array parameters."""

    text: bytes
    names: Sequence[str]
    arrays: Mapping[str, ArrayType]
    kept: bool

    def messages(self, step: Query | Batch) -> Sequence[Message]:
        """Return the messages for a step: one, or one for each row if the statement takes no arrays."""
        if isinstance(step, Query):
            return (self._message(step.params),)
        if self.arrays:
            return (self._message(dict(zip(step.columns, zip(*step.rows, strict=True), strict=True))),)
        return [self._message(dict(zip(step.columns, row, strict=True))) for row in step.rows]

    def _message(self, params: Mapping[str, Any]) -> Message:
        values = [params[name] for name in self.names]
        if self.arrays:
            arrays = self.arrays
            values = [
                arrays[name].encode(value) if name in arrays else value
                for name, value in zip(self.names, values, strict=True)
            ]
        return Message(self.text, values, self.kept)


class Statements:
    """The statements of one driver, translated on first use."""

    def __init__(self, queries: Queries, *, keep: bool = True) -> None:
        """`keep` says whether the server may keep statements prepared."""
        self._queries = queries
        self._keep = keep
        self._schema: str | None = None
        self._known: dict[str, Statement] = {}

    def settle(self, schema: str) -> None:
        """Use the tables in a schema from now on."""
        if schema != self._schema:
            self._schema, self._known = schema, {}

    def rename_tables(self, before: str, after: str) -> None:
        """Change how the names of tables begin."""
        self._queries.rename_tables(before, after)
        self._known = {}

    def script(self, script: Script) -> str:
        """Return the text to send for statements of a migration."""
        return named(script.text, self._schema)

    def messages(self, step: Query | Batch) -> Sequence[Message]:
        """Return the messages to send for a step."""
        return self.get(step.name).messages(step)

    def get(self, name: str) -> Statement:
        """Return a statement, or a statement with conditions, by its name."""
        statement = self._known.get(name)
        if statement is None:
            lasting = "+" not in name  # the others are as varied as searches
            statement = _translate(self._queries.text(name), self._schema, kept=self._keep and lasting)
            if lasting:
                self._known[name] = statement
        return statement


def _translate(text: str, schema: str | None, *, kept: bool) -> Statement:
    names = list(dict.fromkeys(parameters(text)))
    places = {name: f"${place}" for place, name in enumerate(names, start=1)}
    arrays = {name: ARRAYS[element] for name, element in _ARRAY.findall(text)}
    # The schema comes last: characters in its name are not parameters.
    return Statement(named(replace_parameters(text, places), schema).encode(), names, arrays, kept)
