"""Named statements in files: read, completed and checked once, at start.

A file holds blocks that begin with `-- name: some_name`, followed by comments that explain the shape of the statement, and
the statement. A provider's folder overrides base statements by using their names.

* `:param` is a parameter. Nothing else ever varies with user input.
* `{macro}` is filled in at load: `{prefix}`, `{now}` and whatever else the dialect defines; `{macro:x:y}` passes arguments,
  which the macro's text refers to as `{0}`, `{1}`.
* `{where}` marks where conditions are inserted. Conditions are named blocks too: `find+by_lane+by_a|by_b` is the statement
  `find` where `by_lane` holds, and one of `by_a` and `by_b`. In a condition, `{i}` becomes its place in the list, so that it
  can be used twice with parameters of its own, and `{op}` becomes the comparison that is named after a dot: `by_number.lt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from jobmaster.errors import ConfigurationError

_NAME = re.compile(r"^-- name: ([a-z_0-9]+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$\n?", re.MULTILINE)
_MACRO = re.compile(r"\{([a-z_]+)((?::[^{}:]+)*)\}")
_LEFT_FOR_LATER = frozenset({"where", "i", "op"})
_COMPARISONS = {"": "", "eq": "=", "in": "=", "ne": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PARAM = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,20}")


def check_prefix(prefix: str) -> str:
    """Return a table prefix; raises `ConfigurationError` for one that cannot start a table's name."""
    if not _PREFIX.fullmatch(prefix):
        msg = (
            f"table_prefix: {prefix!r} cannot start a table name; "
            "use up to 21 small letters, digits and underscores, beginning with a letter, e.g. 'jm_'"
        )
        raise ConfigurationError(msg)
    return prefix


class Queries:
    """The statements of one dialect, complete except for their parameters."""

    def __init__(
        self, packages: Iterable[str], macros: Mapping[str, str], sources: Sequence[str] = ("queries",)
    ) -> None:
        """Read the sources, folders or single files, of each package that has them.

        A later package overrides statements of an earlier one.
        """
        self._macros = macros
        self._texts: dict[str, str] = {}
        for package in packages:
            for source in sources:
                for name, text in _blocks(files(package).joinpath(*source.split("/"))):
                    self._texts[name] = self._complete(name, text)
        # Bounded, because users choose the search conditions.
        self._cached = lru_cache(maxsize=512)(self._compose)

    def _complete(self, name: str, text: str) -> str:
        def fill(match: re.Match[str]) -> str:
            macro, arguments = match[1], match[2].split(":")[1:]
            if macro in _LEFT_FOR_LATER:
                return match[0]
            if macro not in self._macros:
                msg = f"statement {name!r} uses the unknown macro {{{macro}}}"
                raise LookupError(msg)
            return self._macros[macro].format(*arguments)

        return _MACRO.sub(fill, text)

    def rename_tables(self, before: str, after: str) -> None:
        """Make the names of tables begin with one prefix instead of another."""
        names = re.compile(rf"\b{re.escape(before)}(?=\w)")
        self._texts = {name: names.sub(after, text) for name, text in self._texts.items()}
        self._cached.cache_clear()

    def require(self, names: Iterable[str]) -> None:
        """Raise `LookupError` unless all these statements exist."""
        missing = sorted(set(names) - self._texts.keys())
        if missing:
            msg = f"no statement named {', '.join(missing)} in the query files"
            raise LookupError(msg)

    def text(self, name: str) -> str:
        """Return a statement, or a statement with conditions; raises `LookupError` for an unknown name."""
        return self._cached(name)

    def _compose(self, name: str) -> str:
        statement, *conditions = name.split("+")
        place, clauses = 0, ""
        for condition in conditions:
            alternatives = condition.split("|")
            texts = [self._condition(each, place + n) for n, each in enumerate(alternatives)]
            clauses += f"\n  AND ({' OR '.join(texts)})"
            place += len(alternatives)
        return self._texts[statement].replace("{where}", clauses)

    def _condition(self, name: str, place: int) -> str:
        block, _, comparison = name.partition(".")
        return self._texts[block].replace("{i}", str(place)).replace("{op}", _COMPARISONS[comparison])


def parameters(text: str) -> list[str]:
    """Return the names of a statement's parameters in the order in which they appear, including repeated ones."""
    return _PARAM.findall(text)


def replace_parameters(text: str, places: Mapping[str, str]) -> str:
    """Return a statement with each parameter in the driver's own notation."""
    return _PARAM.sub(lambda match: places[match[1]], text)


def _blocks(source: Traversable) -> Iterable[tuple[str, str]]:
    files_in = source.iterdir() if source.is_dir() else [source] if source.is_file() else []
    for file in sorted(files_in, key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
            for name, body in zip(parts[::2], parts[1::2], strict=True):
                yield name, _COMMENT.sub("", body).strip().rstrip(";")
