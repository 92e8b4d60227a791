"""Named statements as psycopg wants them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from jobmaster_postgres.arrays import ARRAYS, ArrayType
from jobmaster_sql import Batch, Queries, Query, Step, parameters, replace_parameters

_ARRAY: Final = re.compile(r":([a-z_][a-z0-9_]*)::([a-z]+)\[\]")


@frozen
class Statement:
    """A statement's text for psycopg, and which of its parameters are arrays of what."""

    text: str
    arrays: Mapping[str, ArrayType]

    def params(self, query: Query) -> Mapping[str, Any]:
        """Return a query's parameters as psycopg takes them."""
        if not self.arrays:
            return query.params
        encoded = {name: array.encode(query.params[name]) for name, array in self.arrays.items()}
        return {**query.params, **encoded}

    def columns(self, batch: Batch) -> Mapping[str, Any]:
        """Return a batch's rows as an array for each column."""
        columns = zip(batch.columns, zip(*batch.rows, strict=True), strict=True)
        return {name: self.arrays[name].encode(values) for name, values in columns}


class Statements:
    """The statements of one driver, translated when they are first used."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._known: dict[str, Statement] = {}

    def get(self, name: str) -> Statement:
        """Return a statement, or a statement with conditions, by its name."""
        statement = self._known.get(name)
        if statement is None:
            statement = _translate(self._queries.text(name))
            if "+" not in name:  # the others are as many as there are searches
                self._known[name] = statement
        return statement

    def is_one(self, step: Step) -> bool:
        """Whether a step is a single statement for the server."""
        return isinstance(step, Query) or (isinstance(step, Batch) and bool(self.get(step.name).arrays))


def _translate(text: str) -> Statement:
    places = {name: f"%({name})s" for name in parameters(text)}
    translated = replace_parameters(text.replace("%", "%%"), places)
    return Statement(translated, {name: ARRAYS[element] for name, element in _ARRAY.findall(text)})
