"""Keywords of scheduling calls that are most likely meant as options: they must not silently become data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from jobmaster._text.showing import shown
from jobmaster.errors import InvalidArgumentsError

JOB_OPTIONS: Final = frozenset({"timeout", "max_retries", "priority", "lane", "metadata"})
"""Options of a call for the settings of its job."""
RULE_NAMES: Final = frozenset({"kind", "time_zone", "starts_after", "ends_before", "overlap", "misfire"})
"""Options of `recurring` for the schedule itself."""
_CALL: Final = JOB_OPTIONS | {"key", "confirm"}
OPTION_NAMES: Final = _CALL | {"at", "after", "cluster"} | RULE_NAMES
"""The options of `with_options`: those of all verbs."""


class Verb(NamedTuple):
    """A kind of call: which keywords are its options. Other keywords are arguments of the handler.

    A parameter of the handler with the name of an option takes the keyword, unless the verb has `options_first`.
    """

    name: str
    options: frozenset[str]
    options_first: bool = False


ONCE_NOW: Final = Verb("once_now", _CALL | {"cluster"})
ONCE_AT: Final = Verb("once_at", ONCE_NOW.options)
ONCE_AFTER: Final = Verb("once_after", ONCE_NOW.options)
REQUEST: Final = Verb("request", _CALL | {"at", "after"})
RECURRING: Final = Verb("recurring", JOB_OPTIONS | {"key", "cluster"} | RULE_NAMES)
UPDATE: Final = Verb("update_recurring", RECURRING.options, options_first=True)
STATIC: Final = Verb("StaticSchedule", JOB_OPTIONS, options_first=True)

_AFTER: Final = "for a delay, use once_after(handler, delay) or request(after=delay)"
_AT: Final = "for a moment, use once_at(handler, moment) or request(at=moment)"
_RECURS: Final = "it is an option of recurring(handler, expression)"
_REPEATS: Final = "for a recurring job, use recurring(handler, expression)"
_LANE: Final = "use lane=... to choose the lane of a job"
_TIMEOUT: Final = "use timeout=... to limit the time of an attempt"
_RETRIES: Final = "use max_retries=... to limit how often a failed job is retried"
_BACKOFF: Final = 'the definition says when a failed job is retried: @handler("SomeId", retry=...)'
_KEY: Final = "use key=... to make a call repeatable"
_EXPIRY: Final = (
    "jobs do not expire; let the handler check job.scheduled_at, or set timeout=... for the attempt"
)
_VALUES: Final = "pass values for the handler as keywords of the call, or as a mapping"

MEANT: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("countdown", "delay", "defer", "defer_by", "run_in", "enqueue_in", "schedule_in"), _AFTER
    ),
    **dict.fromkeys(
        ("eta", "run_at", "run_date", "start_at", "enqueue_at", "schedule_at", "defer_until"), _AT
    ),
    **dict.fromkeys(("scheduled_at", "scheduled_for", "not_before"), _AT),
    **dict.fromkeys(RULE_NAMES, _RECURS),
    **dict.fromkeys(("timezone", "misfire_grace_time", "coalesce", "max_instances"), _RECURS),
    **dict.fromkeys(("every", "cron", "crontab"), _REPEATS),
    **dict.fromkeys(("queue", "queue_name", "routing_key"), _LANE),
    **dict.fromkeys(("time_limit", "soft_time_limit", "job_timeout", "execution_timeout"), _TIMEOUT),
    **dict.fromkeys(("retries", "max_retry", "max_retrys", "max_attempts", "max_tries"), _RETRIES),
    **dict.fromkeys(("retry", "retry_delay", "retry_policy", "backoff", "retry_backoff"), _BACKOFF),
    **dict.fromkeys(("default_retry_delay", "autoretry_for"), _BACKOFF),
    **dict.fromkeys(("idempotency_key", "unique_key", "dedupe_key", "queueing_lock"), _KEY),
    **dict.fromkeys(
        ("expires", "expires_in", "expire", "ttl", "job_ttl", "result_ttl", "failure_ttl"), _EXPIRY
    ),
    **dict.fromkeys(("args", "kwargs"), _VALUES),
    "prio": "use priority=... to say how urgent a job is",
    "meta": "use metadata=... for facts to search by",
}
"""Options of other verbs and of other systems, and what to write instead."""

_LONG: Final = 5
"""The minimum length of a name in letters at which a misspelling can be told from another word."""


def check_meant(definition_id: str, keywords: Iterable[str]) -> None:
    """Raise `InvalidArgumentsError` for a keyword that is most likely a misspelt or misplaced option.

    None of the keywords is a parameter of the handler: those are always its arguments.
    """
    for name in keywords:
        if (hint := _hint(name)) is not None:
            msg = (
                f"{name}: there is no such option for scheduling {definition_id!r}; {hint} If it is data for the "
                f"handler, put it in the mapping: {{{shown(name)}: ...}}"
            )
            raise InvalidArgumentsError(msg)


def check_options(definition_id: str, given: Iterable[str]) -> None:
    """Raise `InvalidArgumentsError` for the first name given to `with_options` that is not an option of any verb."""
    for name in given:
        if name not in OPTION_NAMES:
            hint = _hint(name) or f"there are: {', '.join(sorted(OPTION_NAMES))}"
            raise InvalidArgumentsError(
                f"{name}: there is no such option for scheduling {definition_id!r}; {hint}"
            )


def misplaced(definition_id: str, name: str, value: Any, verb: Verb) -> InvalidArgumentsError:
    """Return the error for an option that belongs to another verb."""
    if name in RULE_NAMES:
        msg = f"{name}: there is no such option for {verb.name}() of {definition_id!r}; {_RECURS}"
    elif verb is STATIC:
        msg = f"a static schedule has no setting {name!r}: it has a name, and fires by its expression"
    elif verb is REQUEST:
        msg = (
            f"{name}: there is no such option for a request of {definition_id!r}; the cluster is chosen by the call "
            "that schedules, for example once_many(requests, cluster=...)"
        )
    elif name == "confirm":
        msg = f"confirm: {verb.name}() always waits for the master, which keeps the schedule; leave it out"
    elif verb is RECURRING or verb is UPDATE:
        msg = "at, after: the expression says when a recurring schedule fires; use starts_after for its start"
    else:
        msg = (
            f"{name}: {verb.name}() does not take {name}=...; call once_{name}(handler, {shown(value)}, ...)"
        )
    return InvalidArgumentsError(msg)


@lru_cache(maxsize=1024)  # callers use few names, and each takes 0.1 ms
def _hint(name: str) -> str | None:
    if name in MEANT:
        return f"{MEANT[name]}."
    meant = next((option for option in sorted(OPTION_NAMES) if _is_slip(_plain(name), _plain(option))), None)
    return None if meant is None else f"did you mean {meant!r}?"


def _plain(name: str) -> str:
    """Return a name without differences of style: `maxRetries` equals `max_retries`."""
    return name.replace("_", "").lower()


def _is_slip(name: str, option: str) -> bool:
    """Whether a name is an option, or one with a single typo; in a short option, only two swapped letters."""
    if name == option or name in _swapped(option):
        return True
    return len(option) >= _LONG and _differ_by_one(name, option)


def _swapped(word: str) -> set[str]:
    return {word[:n] + word[n + 1] + word[n] + word[n + 2 :] for n in range(len(word) - 1)}


def _differ_by_one(first: str, second: str) -> bool:
    """Whether one letter has been added, left out or changed."""
    short, long = sorted((first, second), key=len)
    start = next((n for n, letter in enumerate(short) if letter != long[n]), len(short))
    rest = long[start + 1 :]
    return rest == (short[start:] if len(short) < len(long) else short[start + 1 :])
