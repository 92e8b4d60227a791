"""A place in the tokens of one clause, and the ways to move it."""

from __future__ import annotations

from collections.abc import Sequence

from naturalcron.errors import ErrorCode, quoted
from naturalcron.lexer import Fault, Token
from naturalcron.words import Kind


class Cursor:
    """Reads tokens from left to right; beyond the last one it sees an `END`."""

    def __init__(self, tokens: Sequence[Token], end: int) -> None:
        self._tokens = tokens
        self._end = Token(Kind.END, "", None, end, end)
        self._place = 0

    def peek(self, ahead: int = 0) -> Token:
        """Return a token without moving."""
        place = self._place + ahead
        return self._tokens[place] if place < len(self._tokens) else self._end

    def take(self) -> Token:
        """Return the token at the cursor and move behind it."""
        token = self.peek()
        self._place += 1
        return token

    def take_if(self, *kinds: Kind) -> Token | None:
        """Return the token and move if it is of one of these kinds."""
        return self.take() if self.peek().kind in kinds else None

    def expect(self, kind: Kind, what: str) -> Token:
        """Return the token and move; a `Fault` says that `what` was expected if it is of another kind."""
        if self.peek().kind is not kind:
            raise self.wrong(what)
        return self.take()

    def wrong(self, expected: str) -> Fault:
        """Return the fault that something else was expected at the cursor."""
        token = self.peek()
        if token.kind is Kind.END:
            return Fault(ErrorCode.MISSING, f"expected {expected}", token.start, token.end)
        message = f"expected {expected}, not {quoted(token.text)}"
        return Fault(ErrorCode.UNEXPECTED, message, token.start, token.end)

    def finish(self, expected: str) -> None:
        """Check that nothing is left; a `Fault` says what was expected instead of the rest."""
        if self.peek().kind is not Kind.END:
            raise self.wrong(expected)
