"""How long parsing and searching take on this machine: `python naturalcron/benchmarks.py`.

Each figure is the best of several runs, in microseconds of one thread. `first` is the first answer of a fresh
expression, which works out what later answers reuse; `next` is the mean of the 50 that follow. Old schedules are asked
on the clock of Paris, each as a fresh expression.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from zoneinfo import ZoneInfo

from naturalcron import parse

START = datetime(2024, 1, 1, tzinfo=UTC)
COMMON = [
    "every 30 seconds",
    "every 5 minutes",
    "every 25 minutes between 09:00 and 17:30",
    "daily at 09:00",
    "daily at 09:00 tz Europe/Lisbon",
    "every 5 minutes between 09:00 and 17:00 tz America/New_York",
    "every day between mon and fri at 18:00",
    "every 2 weeks on [mon, fri] at 09:00",
    "at [9:00, 17:00] on [mon, fri]",
    "every month on LastWeekday at 17:00",
    "every 2 months anchoredOn aug on ClosestWeekdayTo 10",
    "every year on feb 29th 14:00 on friday",
]
OLD = [
    "every 7 seconds",
    "every 7 minutes between 9:00 and 17:00",
    "every 25 minutes between min 0 and 50",
    "every 13 seconds between sec 10 and 20",
    "every 2 weeks on [mon, fri] at 09:00",
    "every 17 days on mon",
    "every 3 days between 1st and 29th",
]
IMPOSSIBLE = [
    "on feb-30",
    "every day between 12:00 and 13:00 at 14:00",
    "every month on 5thMon on tue",
    "every 2 seconds anchoredAt 1 between sec 10 and 10",
    "every 7 years anchoredOn 2020 on feb-30",
]
RUNS = 7


def best(work: Callable[[], object], repeats: int = 1) -> float:
    """Return the shortest of several runs, divided by the repetitions inside one, in microseconds."""
    times = []
    for _ in range(RUNS):
        began = perf_counter()
        for _ in range(repeats):
            work()
        times.append((perf_counter() - began) / repeats * 1e6)
    return min(times)


def measure(text: str) -> tuple[float, float, float]:
    """Return the microseconds of parsing, of the first answer, and of one that follows."""
    expression = parse(text)
    starts = [START, *expression.upcoming(49, START)]

    def walk() -> None:
        for start in starts:
            expression.next(start)

    both = best(lambda: parse(text).next(START))
    parsing = best(lambda: parse(text), 200)
    return parsing, both - parsing, best(walk) / len(starts)


def main() -> None:
    """Print both tables."""
    print(f"{'microseconds':62}{'parse':>8}{'first':>8}{'next':>8}")
    for text in COMMON:
        parsing, first, following = measure(text)
        print(f"{text:62}{parsing:8.0f}{first:8.0f}{following:8.1f}")
    print(f"\n{'ten years after the start, in milliseconds':62}{'answer':>8}")
    begin, after = START.astimezone(ZoneInfo("Europe/Paris")), START.replace(year=2034)
    for text in OLD:
        answer = best(lambda text=text: parse(text).resume(begin, after))  # type: ignore[misc]  # as below
        print(f"{text:62}{answer / 1000:8.1f}")
    print(f"\n{'impossible, in milliseconds':62}{'answer':>8}")
    for text in IMPOSSIBLE:
        answer = best(lambda text=text: parse(text).next(START))  # type: ignore[misc]  # bound in the loop
        print(f"{text:62}{answer / 1000:8.1f}")


if __name__ == "__main__":
    main()
