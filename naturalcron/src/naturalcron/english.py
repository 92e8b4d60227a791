"""Ordinary English that is not in the language: patterns, and what is written for them.

Spellings, phrases that have one meaning, phrases that have several, and phrases that nothing is written for. To teach
the hints another phrase is a line here, and one in the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from naturalcron.units import ordinal

Replacement: TypeAlias = str | Callable[[re.Match[str]], str]

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_D: Final = r"(?:sun|mon|tue|wed|thu|fri|sat)(?:[a-z]*day)?\b"
_M: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:tember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_UNIT: Final = r"(?:second|sec|minute|min|hour|hr|day|week|month|year)s?"
_NUMBERS: Final = {
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "eleven": "11",
    "twelve": "12",
    "fifteen": "15",
    "twenty": "20",
    "twenty-five": "25",
    "thirty": "30",
    "forty-five": "45",
    "sixty": "60",
    "ninety": "90",
}
_ORDINALS: Final = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "other": 2, "third": 3, "3rd": 3, "fourth": 4,
                    "4th": 4, "fifth": 5, "5th": 5, "sixth": 6, "6th": 6}  # fmt: skip
_NTH: Final = r"(?:first|1st|second|2nd|third|3rd|fourth|4th|fifth|5th|last)"
_CLOCK: Final = r"(?:\d{1,2}(?::\d\d){1,2}(?: ?[ap]m)?|\d{1,2} ?[ap]m)"
_DATE: Final = r"\d{1,2}(?:st|nd|rd|th)"
_OF_MONTH: Final = r"(?: (?:of|in) (?:the |each |every |a )?month)?"
_THE_MONTH: Final = r"of (?:the |each |every |a )?month\b"
_AND: Final = r"(?:,? (?:and|or|&) |, ?)"
_TO: Final = r" ?(?:to|until|till|through|thru|-) ?"
_NO_UNIT: Final = r"\b(?! ?(?:[ap]m|:|st|nd|rd|th))"
_BUT: Final = r"(?:except|but|excluding|not|without)(?: on| for)?"
_SOME_DAYS: Final = rf"(?P<days>(?:(?:weekends?|week ?days?|workdays?|{_D})(?:{_AND})?)+)"
_WORKDAYS: Final = r"(?:week ?days?|work(?:ing)? ?days?|business ?days?)"
_PER: Final = r"(?:a|an|per|every|each|the)"
_NOON: Final = 12
_HOURS_A_DAY: Final = 24
_PART: Final = r"(?:morning|afternoon|evening|night)s?\b"
_TIME: Final = r"(?:midnight|noon|\d{1,2}(?::\d\d)?(?: ?[ap]m)?)\b(?!:)"
_TIMES: Final = rf"(?P<times>{_TIME}(?:{_AND}(?:at )?{_TIME})*)"
_MORNINGS: Final = {
    "morning": "08:00",
    "afternoon": "14:00",
    "evening": "18:00",
    "night": "02:00",
    "nightly": "02:00",
}


_HOURS: Final = {
    "morning": {hour: hour for hour in range(1, 12)},
    "afternoon": {12: 12} | {hour: hour + 12 for hour in range(1, 7)},
    "evening": {hour: hour + 12 for hour in range(4, 12)},
    "night": {12: 0} | {hour: hour for hour in range(1, 6)} | {hour: hour + 12 for hour in range(6, 12)},
}
"""What an hour from 1 to 12 is on a clock of 24, in each part of the day; one that is left out is unclear."""

_WITHIN: Final = {
    "morning": range(12),
    "afternoon": range(12, 19),
    "evening": range(16, 24),
    "night": (*range(6), *range(18, 24)),
}
"""The hours on a clock of 24 that a part of the day may have; others contradict it."""


def _words(table: Mapping[str, object]) -> str:
    return "|".join(sorted(table, key=len, reverse=True))


def _listed(text: str) -> str:
    """Return `a, b and c` in brackets."""
    return "[" + ", ".join(re.split(r",? (?:and|or|&) | ?, ?(?:and |or )?", text, flags=re.IGNORECASE)) + "]"


def _minutes(match: re.Match[str]) -> str:
    """Return a number with a half in it in the next smaller unit: 1.5 hours are 90 minutes."""
    smaller = {"day": (24, "hours"), "hour": (60, "minutes"), "minute": (60, "seconds"), "week": (7, "days")}
    count, unit = smaller[match["unit"].lower()]
    number = float(match["number"]) * count
    return f"{number:.0f} {unit}" if number == int(number) else match[0]


def _all_but(match: re.Match[str]) -> str:
    """Return the days of the week without those that are excepted."""
    days = match["days"].lower()
    left_out = {day for day in _DAYS if re.search(rf"\b{day}", days)}
    if "weekend" in days or match["work"]:
        left_out |= {"sat", "sun"}
    if re.search("week ?day|workday", days):
        left_out |= set(_DAYS) - {"sat", "sun"}
    left = [day for day in _DAYS if day not in left_out]
    is_run = "".join(left) in "".join(_DAYS) and len(left) > 1
    return f"every day between {left[0]} and {left[-1]}" if is_run else f"every week on [{', '.join(left)}]"


def _sharp(clock: str) -> str:
    """Return a time of the day with its minutes: a range that ends at 5pm ends at 17:59, and one at 5:00pm does not."""
    return clock if ":" in clock else re.sub(r"^\d+", r"\g<0>:00", clock)


def _in_part(time: str, part: str) -> str | None:
    """Return a time of a part of the day on a clock of 24, or None if it is unclear or none of that part."""
    named = {"midnight": "00:00", "noon": "12:00"}.get(time, time)
    hours, minutes, half = re.fullmatch(r"(\d+)(:\d\d)? ?([ap]m)?", named).groups()  # type: ignore[union-attr]
    hour = int(hours)
    if half:
        found = hour % _NOON + (_NOON if half == "pm" else 0) if 1 <= hour <= _NOON else None
    elif hour == 0 or hour > _NOON or hours.startswith("0") or named != time:
        found = hour
    else:
        found = _HOURS[part].get(hour)
    return None if found not in _WITHIN[part] else f"{found:02}{minutes or ':00'}"


def _part_of_day(match: re.Match[str]) -> str:
    """Return the times of a part of the day, after the days that are named; if one is unclear, what was written."""
    groups, named = match.groupdict(), match["part"].lower()
    part = "night" if named == "nightly" else named.rstrip("s")
    times = re.split(rf"{_AND}(?:at )?", match["times"].lower())
    found = [clock for clock in (_in_part(time, part) for time in times) if clock]
    if len(found) < len(times):
        return match[0]
    is_daily = named == "nightly" or (groups.get("word") or "").lower() == "every"
    is_first = not match.string[: match.start()].strip()
    days = groups.get("days") or ("every day" if is_daily or is_first else "")
    return f"{days} at {found[0] if len(found) == 1 else '[' + ', '.join(found) + ']'}"


def _range_in_part(match: re.Match[str]) -> str:
    """Return a range from a time to one of a part of the day, the first in a part of its own or in the same."""
    late = match["part"].lower().rstrip("s")
    early = (match["early"] or late).lower().rstrip("s")
    first, last = _in_part(match["first"].lower(), early), _in_part(match["last"].lower(), late)
    return f"between {first} and {last}" if first and last else match[0]


def _mixed(match: re.Match[str]) -> str:
    """Return hours and minutes as times in a list: 9 and 17:30 are [9:00, 17:30]."""
    times = [_sharp(time) for time in re.split(rf"{_AND}(?:at )?", match[1], flags=re.IGNORECASE)]
    return f"at [{', '.join(times)}]"


def _halved(match: re.Match[str]) -> str:
    """Return hours of which the last is am or pm: 9 and 11am are both am, of 9 and 5pm the first is, 3 and 5pm unclear."""
    *early, _ = re.split(_AND, match[1], flags=re.IGNORECASE)
    is_pm, last = match[4].lower() == "pm", int(match[2])
    hours = [int(time.partition(":")[0]) for time in early]
    if _NOON in (*hours, last) or (is_pm and min(hours) <= last):
        return match[0]
    clocks = [*(_sharp(time) + "am" for time in early), f"{last}{match[3] or ':00'}{match[4]}"]
    return f"at [{', '.join(clocks)}]"


_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PLURALS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _added(match: re.Match[str]) -> str:
    """Return two counts of units as one, in the smaller unit: 1 hour 30 minutes are 90 minutes."""
    small = match["small"][0].lower()
    seconds = int(match["count"] or 1) * _SECONDS[(match["big"] or match["one"])[0].lower()]
    count, rest = divmod(seconds, _SECONDS[small])
    return match[0] if rest or count <= 1 else f"every {count + int(match['more'])} {_PLURALS[small]}"


def _nths(match: re.Match[str]) -> str:
    """Return `2nd and 4th friday` as a list; a number without a weekday has that of the next one."""
    found = re.findall(rf"({_NTH}) ?({_D})?", match["nths"], re.IGNORECASE)
    days = [day for _, day in found]
    for at in reversed(range(len(days))):
        days[at] = days[at] or days[at + 1]
    words = [
        f"{_GLUED.get(nth.lower(), nth.lower())}{day.title()}"
        for (nth, _), day in zip(found, days, strict=True)
    ]
    return f"on [{', '.join(words)}]{' in ' + match['month'] if match['month'] else ''}"


def _sharp_ends(match: re.Match[str]) -> str:
    """Return a range with the minutes of its times, if the interval is below an hour: only there 5pm lasts to 17:59."""
    if not re.search(r"\b(?:sec|min)", match.string, re.IGNORECASE):
        return match[0]
    return re.sub(_CLOCK, lambda clock: _sharp(clock[0]), match[0], flags=re.IGNORECASE)


def _between(match: re.Match[str]) -> str:
    return f"between {_sharp(match[1])} and {_sharp(match[2])}"


_LATE_ORDINALS: Final = dict(zip((
    "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth",
    "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth", "twenty-first",
    "twenty-second", "twenty-third", "twenty-fourth", "twenty-fifth", "twenty-sixth", "twenty-seventh",
    "twenty-eighth", "twenty-ninth", "thirtieth", "thirty-first",
), range(6, 32), strict=True))  # fmt: skip
_EARLY_ORDINALS: Final = {"first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th"}

SPELLING: Final[tuple[tuple[str, Replacement], ...]] = (
    (r"[\"'“”()]|[.!]+$", ""),
    (rf"({_D})/(?={_D})", r"\1, "),
    (r"\b(?:thurs|thur)\b", "thu"),
    (r"\btues\b", "tue"),
    (r"\b(?:weds|wednes)\b", "wed"),
    (r"\bsept\b", "sep"),
    (r"\b((?:sun|mon|tues|wednes|thurs|fri|satur)day)s\b", r"\1"),
    (r"\b([ap])\.m\.?", r"\1m"),
    (r"\bo'?clock\b", ":00"),
    (r"(\d) (:\d\d)\b", r"\1\2"),
    (r"\b(\d{1,2})[.h](\d\d)\b(?! ?(?:hour|day|minute|week))", r"\1:\2"),
    (r"\b(\d{4})/(\d\d)/(\d\d)\b", r"\1-\2-\3"),
    (r"\b(\d{4}-\d\d-\d\d)t(\d)", r"\1 \2"),
    (r"\b24:00\b", "00:00"),
    (r"\b(?:each|any|every single)\b", "every"),
    (r"\bevery-?day\b", "every day"),
    (r"\b(?:early|late) (?=morning|afternoon|evening|night)", ""),
    (r"\bevery (?=noon\b|midday\b|midnight\b)", "every day at "),
    (r"\b12 (?=noon\b|midnight\b)", ""),
    (r"\bone time\b", "once"),
    (r"\bthrice\b", "3 times"),
    (r"^(?:please |run |execute |start |repeat |do it |it runs |runs )+", ""),
    (r"\bonce (?=every\b|daily\b|weekly\b|monthly\b|yearly\b|hourly\b)", ""),
    (rf"\b({_words(_NUMBERS)})\b(?= {_UNIT}\b| times\b)", lambda match: _NUMBERS[match[1].lower()]),
    (rf"\bat ({_words(_NUMBERS)})\b(?!-)", lambda match: f"at {_NUMBERS[match[1].lower()]}"),
    (rf"\b({_words(_LATE_ORDINALS)})\b", lambda match: ordinal(_LATE_ORDINALS[match[1].lower()])),
    (
        (
            rf"\b((?:on |at )?(?:the )?)({_words(_EARLY_ORDINALS)})"
            rf"(?=(?: and |, )(?:the )?{_DATE}(?: at\b| of\b|$)| of {_M}| of (?:the |each |every |a )?month\b)"
        ),
        lambda match: f"{match[1]}{_EARLY_ORDINALS[match[2].lower()]}",
    ),
    (
        rf"\bon (?:the )?({_words(_EARLY_ORDINALS)})(?= at\b|$)",
        lambda match: f"on {_EARLY_ORDINALS[match[1].lower()]}",
    ),
    (
        (
            r"\bevery (?:(?P<count>\d+) ?(?P<big>weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|m)(?: and |, ?| )?"
            r"|(?P<one>week|day|hour|minute) and )(?P<more>\d+) ?"
            r"(?P<small>days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)\b"
        ),
        _added,
    ),
    (r"\b(\d+) ?x(?: ?/ ?| )?(?=\w)", r"\1 times "),
    (r"\btimes ?/ ?", "times a "),
    (rf"\b(\d+ times) (?={_UNIT}\b)", r"\1 a "),
    (r"\b1 times?\b", "once"),
    (r"\b(?:every |on )?alternat(?:e|ing)\b", "every other"),
    (r"\b(?:on )?all (?:the )?(second|minute|hour|day|week|month|year)s\b", r"every \1"),
    (rf"\b(?:on )?all (?:the )?({_D})", r"every \1"),
    (r"\bevery (\d+) ?m\b", r"every \1 minutes"),
    (r"\bevery (\d+) ?s\b", r"every \1 seconds"),
    (r"\bevery (\d+) ?h\b", r"every \1 hours"),
    (r"\bevery (\d+) ?d\b", r"every \1 days"),
    (r"\bevery (\d+) ?w\b", r"every \1 weeks"),
    (r"\bat half past (\d{1,2})\b", r"at \1:30"),
    (r"\bat (?:a )?quarter past (\d{1,2})\b", r"at \1:15"),
    # Parts of the day: which hour is meant
    (rf"\bevery (other|second|third|\d+) (?={_PART})", r"every \1 day in the "),
    (
        (
            rf"\b(?:between|from) (?P<first>{_TIME})(?: (?:in the |at )?(?P<early>{_PART}))?(?:{_TO}| and )"
            rf"(?P<last>{_TIME}) (?:in the |at )?(?P<part>{_PART})"
        ),
        _range_in_part,
    ),
    (
        rf"\bat {_TIMES},? (?P<days>(?:on |every )(?:the )?(?:{_D}|week ?days?|weekends?)) (?P<part>{_PART})",
        _part_of_day,
    ),
    (
        rf"\b(?:at )?{_TIMES},? (?:(?P<word>every)|(?:in|during) the|at|on|in) (?P<part>{_PART})",
        _part_of_day,
    ),
    (
        rf"\b(?:(?P<word>every|in the|during the|at|on) )?(?P<part>{_PART}|nightly\b),? (?:at )?{_TIMES}",
        _part_of_day,
    ),
)
"""Words that have another spelling, whatever stands around them."""

PHRASES: Final[tuple[tuple[str, Replacement], ...]] = (
    # Times of the day
    (r"\b(1[3-9]|2[0-3]) ?pm\b", r"\1:00"),
    (
        rf"\b((?:every hour|hourly)) at (?:min(?:ute)?s? )?(\d+(?:{_AND}\d+)+)(?: (?:min(?:ute)?s? )?past(?: the hour)?)?",
        lambda match: f"{match[1]} at min {_listed(match[2])}",
    ),
    (
        rf"\b(?:at|every) (?:min(?:ute)?s? )?(\d+(?:{_AND}\d+)+) (?:min(?:ute)?s? )?past(?: the hour)?",
        lambda match: f"at min {_listed(match[1])}",
    ),
    (rf"\bat min(?:ute)?s? (\d+(?:{_AND}\d+)+)", lambda match: f"at min {_listed(match[1])}"),
    (
        rf"({_D}) (night|morning|afternoon|evening)\b(?! (?:at|\d))",
        lambda match: f"{match[1]} at {_MORNINGS[match[2].lower()]}",
    ),
    (r"\bat (?:noon|midday)\b|\bnoon\b|\bmidday\b", "at 12:00"),
    (r"\bat midnight\b|\bmidnight\b", "at 00:00"),
    (r"\b(?:every hour )?on the hour\b|\bevery hour sharp\b", "every hour at min 0"),
    (r"\bat (?:a )?quarter past\b", "at min 15"),
    (r"\bat half past\b", "at min 30"),
    (r"\bat :(\d\d)\b", r"at min \1"),
    (r"\bat (\d{1,2}) ?(?:min(?:ute)?s? )?past(?: the hour| every hour)?\b", r"at min \1"),
    (rf"\b(every hour|hourly) at (\d{{1,2}}){_NO_UNIT}", r"\1 at min \2"),
    (
        rf"\bevery (\d+) hours? at (\d{{1,2}}(?:{_AND}\d{{1,2}})+){_NO_UNIT}",
        lambda match: f"every {match[1]} hours at min {_listed(match[2])}",
    ),
    (rf"\bevery (\d+) hours? at (\d{{1,2}}){_NO_UNIT}", r"every \1 hours at min \2"),
    (
        r"\bevery (night|morning|afternoon|evening)\b(?! (?:at|\d))|\b(nightly)\b(?! (?:at|\d))",
        lambda match: f"every day at {_MORNINGS[(match[1] or match[2]).lower()]}",
    ),
    (
        r"\b(?:(?:in|during) the (morning|afternoon|evening|night)|at (night))s?$",
        lambda match: f"at {_MORNINGS[(match[1] or match[2]).lower()]}",
    ),
    # Intervals
    (r"\bannually\b", "yearly"),
    (r"\bfortnightly\b|\bevery fortnight\b", "every 2 weeks"),
    (r"\bquarterly\b|\bevery quarter\b(?! (?:hour|of))", "every 3 months"),
    (r"\b(?:semi-?annually|biannually|half-?yearly)\b|\bevery half(?:-| a | )year\b", "every 6 months"),
    (r"\bevery half(?: an)?(?:-| )hour\b", "every 30 minutes"),
    (r"\bevery quarter(?: of an)?(?:-| )hour\b", "every 15 minutes"),
    (r"\bevery half a minute\b", "every 30 seconds"),
    (r"\bevery half a day\b", "every 12 hours"),
    (r"\bevery hour and a half\b", "every 90 minutes"),
    (r"\bevery minute and a half\b", "every 90 seconds"),
    (r"\bevery day and a half\b", "every 36 hours"),
    (r"\b(?P<number>\d+\.\d+) ?(?P<unit>day|hour|minute|week)s?\b", _minutes),
    (r"\bevery (?:a )?couple (?:of )?", "every 2 "),
    (rf"\bonce {_PER} (second|minute|hour|day|week|month|year)\b", r"every \1"),
    (
        rf"\bevery ({_words(_ORDINALS)}) ({_UNIT})\b",
        lambda match: f"every {_ORDINALS[match[1].lower()]} {match[2].rstrip('sS')}s",
    ),
    (r"\bevery (\d+)(?:st|nd|rd|th) (?!day)(second|minute|hour|week|month|year)s?\b", r"every \1 \2s"),
    (rf"\bevery other ({_D})\b", r"every 2 weeks on \1"),
    (rf"\bevery (\d+) ({_D})s?\b", r"every \1 weeks on \2"),
    # Days of the week
    (
        rf"\b(?:every day|daily|(?P<work>(?:every )?week ?days?)),? {_BUT} {_SOME_DAYS}",
        _all_but,
    ),
    (
        rf"\b(?:every month |monthly )?(?:on |at |every )?(?:the )?(first|last) {_WORKDAYS}{_OF_MONTH}",
        lambda match: f"on {match[1].title()}Weekday",
    ),
    (
        rf"^((?:every (?:\d+ )?{_UNIT}|daily|hourly)\b.*?) (?:on|every|during|over) (?:the |all )?{_WORKDAYS}\b",
        r"\1 between mon and fri",
    ),
    (
        (
            r"^((?:every (?:\d+ )?(?:sec(?:ond)?|min(?:ute)?|hr|hour|day)s?|daily|hourly)\b.*?),? "
            rf"(?:on |from |every )?({_D}){_TO}({_D})"
        ),
        r"\1 between \2 and \3",
    ),
    (rf"\b(?:(?:every|on|on all) )?{_WORKDAYS}\b", "every day between mon and fri"),
    (r"\bevery day (?=every day\b)", ""),
    (
        r"\b(?:every day |daily )?(?:every|on|at|over) (?:the )?weekends?\b|\bweekends\b|^weekend\b",
        "on [sat, sun]",
    ),
    (
        rf"\b(?:every day |daily |every )?(?:from )?({_D}){_TO}({_D})",
        r"every day between \1 and \2",
    ),
    # Days of the month
    (rf"\b(?:on )?(?:the )?(?:1st|first)(?: day)?{_AND}(?:the )?last day{_OF_MONTH}", "on [1st, LastDay]"),
    (
        (
            rf"\b(?:every month |monthly )?(?:on |every |in )?(?:the )?"
            rf"(?P<nths>(?:{_NTH} ?(?:{_D})?{_AND}(?:on )?(?:the )?)+{_NTH} ?{_D})"
            rf"(?: (?:of|in) (?P<month>{_M})\b|{_OF_MONTH})"
        ),
        _nths,
    ),
    (
        rf"\b(?:on )?(?:the )?({_NTH}) ({_D}) (?:of|in) ({_M})",
        lambda match: f"{_nth(match[1], match[2])} in {match[3]}",
    ),
    (
        rf"\b(?:every month |monthly )?(?:on |every )?(?:the )?({_NTH}) ({_D}){_OF_MONTH}",
        lambda match: _nth(match[1], match[2]),
    ),
    (
        rf"\b(?:every month )?(?:on |at |every )?(?:the )?(?:last day|end) {_THE_MONTH}",
        "on LastDay",
    ),
    (
        rf"\b(?:every month |monthly )?(?:on |at |every )?(?:the )?(?:first day|first|beginning|start) {_THE_MONTH}",
        "on 1st",
    ),
    (r"\b(?:every month |monthly )?on (?:the )?last day\b", "on LastDay"),
    (r"\b(?:every month |monthly )?on (?:the )?first day\b", "on 1st"),
    (rf"(?:\bevery |^the |^)(?=(?:{_DATE}(?:, | and |, and )?)+{_OF_MONTH}(?: at\b|$))", "on "),
    (rf"\b(?:on )?(?:the )?({_DATE}) (?:day )?{_THE_MONTH}", r"on \1"),
    (rf"\b({_DATE}) of ({_M})\b", r"\1 \2"),
    (rf"\bevery ({_DATE} {_M}|{_M} {_DATE})\b", r"on \1"),
    (
        rf"(?:^|\b(?:every|on) )({_M}) (\d{{1,2}})\b(?! ?[ap]m|:|st|nd|rd|th|-)",
        lambda match: f"on {_day(match[2])} {match[1]}",
    ),
    (rf"(?:^|\bon )(\d{{1,2}}) ({_M})\b", lambda match: f"on {_day(match[1])} {match[2]}"),
    (rf"^(?:the )?(?={_DATE} {_M}\b|{_M} {_DATE})", "on "),
    (rf"\bevery ({_M})\b", r"every year in \1"),
    (r"\bon (\d{1,2})\b(?= at\b|$)", lambda match: f"on {_day(match[1])}"),
    # Several of them
    (rf"^({_D}(?:(?:{_AND}| ){_D})+)", lambda match: f"every week on {_listed(_spaced(match[1]))}"),
    (
        rf"\bevery ({_D}(?:(?:{_AND}| ){_D})+)",
        lambda match: f"every week on {_listed(_spaced(match[1]))}",
    ),
    (
        rf"\bon ({_D}(?:(?:{_AND}| ){_D})+)",
        lambda match: f"on {_listed(_spaced(match[1]))}",
    ),
    (
        rf"\bon (?:the )?({_DATE}(?:{_AND}(?:the )?{_DATE})+)",
        lambda match: f"on {_listed(_without('the', match[1]))}",
    ),
    (rf"\bin ({_M}(?:{_AND}{_M})+)", lambda match: f"in {_listed(match[1])}"),
    (
        rf"\bat ({_CLOCK}(?:{_AND}(?:at )?{_CLOCK})+)",
        lambda match: f"at {_listed(_without('at', match[1]))}",
    ),
    (
        rf"\bat (\d{{1,2}}(?::\d\d)?(?:{_AND}(?:at )?\d{{1,2}}(?::\d\d)?)+)\b(?! ?(?:[ap]m|:|st|nd|rd|th|min|sec|h|past))",
        _mixed,
    ),
    (rf"\bat ((?:\d{{1,2}}(?::\d\d)?{_AND})+)(\d{{1,2}})(:\d\d)? ?([ap]m)\b", _halved),
    # Ranges
    (
        r"\b(?:from|between) (\d{1,2}) ?(?:to|and|until|till|-) ?(\d{1,2})\b(?! ?[ap]m|:)",
        lambda match: f"between {match[1]}:00 and {_afternoon(match[1], match[2])}:00",
    ),
    (rf"\b(?:from|between) ({_CLOCK}){_TO}({_CLOCK})", _between),
    (rf"\b(?:between \[[^\]]*\]|between {_CLOCK} and {_CLOCK}|upto {_CLOCK})", _sharp_ends),
    (rf"\b(?:from|between) ({_M}){_TO}({_M})", r"between \1 and \2"),
    (
        rf"\b(?:from|between) (?:the )?({_DATE}){_TO}(?:the )?({_DATE})",
        r"between \1 and \2",
    ),
    (
        rf"\b(?:from|between) ({_DATE} {_M}|{_M} {_DATE}){_TO}({_DATE} {_M}|{_M} {_DATE})",
        r"between \1 and \2",
    ),
    (rf"\bin ({_M}){_TO}({_M})", r"between \1 and \2"),
    (rf"(?<!between )(?<!from )(?<!and )\b({_CLOCK}){_TO}({_CLOCK})", _between),
    (rf"\b(?:until|till|before) ({_CLOCK})", lambda match: f"upto {_sharp(match[1])}"),
    (r"\b(?:until|till|before) (?=\d)", "upto "),
    (r"^(every .*) (?:after|since) (?=\d)", r"\1 from "),
    # What is missing, and what is too much
    (r"(?: and| or| every|,)+$", ""),
    (r"\bon (1[3-9]|2\d|3[01])-(0\d|1[0-2])\b", r"on \2-\1"),
    (r"\b(?:of|in) (?:the|each|every) (?:week|day|hour|minute)\b", ""),
    (r"\b(?:in|at) ([a-z_]+/[a-z_/+-]+)", r"tz \1"),
    (r"(?<!tz )\b(utc|gmt|[a-z]+/[a-z_/]+)$", r"tz \1"),
    (r"\b(?:the|a|an)\b", ""),
    (r"\bat (\d{1,2})\b(?! ?(?:[ap]m|:|st|nd|rd|th|min|sec|h|,|and))", r"at \1:00"),
    (rf"^(?:at )?({_CLOCK}) (every .*|daily|weekly.*|monthly.*)$", r"\2 at \1"),
    (r"^(daily|every day) (\d{1,2})$", r"\1 at \2:00"),
    (rf"^({_D})\b", r"every \1"),
    (rf"^(\d+ {_UNIT})$", r"every \1"),
    (
        rf"(?<!at )(?<!and )(?<!between )(?<!from )(?<!upto )(?<![\d:,\[-])(?<!, )(?<!\d )\b({_CLOCK})(?=$| tz\b)",
        r"at \1",
    ),
    (rf"\b(weekly|every \d+ weeks?|every week) ({_D})\b", r"\1 on \2"),
)
"""Phrases, tried one after the other on what the former have made of a text."""


def _afternoon(first: str, last: str) -> int:
    """Return the second of two hours on a clock of 24: of 9 and 5 it is 17."""
    return int(last) + _NOON if int(last) < int(first) <= _NOON else int(last)


def _nth(word: str, day: str) -> str:
    return f"on {_GLUED.get(word.lower(), word.lower())}{day.title()}"


_GLUED: Final = {
    "first": "1st",
    "second": "2nd",
    "third": "3rd",
    "fourth": "4th",
    "fifth": "5th",
    "last": "Last",
}


def _without(word: str, text: str) -> str:
    return re.sub(rf"\b{word} ", "", text, flags=re.IGNORECASE)


def _spaced(text: str) -> str:
    return re.sub(rf"({_D}) (?={_D})", r"\1, ", text, flags=re.IGNORECASE)


def _day(number: str) -> str:
    return ordinal(int(number))


class Choice(NamedTuple):
    """A phrase that may mean several things: what to write for each, and what that is."""

    pattern: str
    options: tuple[tuple[Replacement, str], ...]


_CHOSEN, _EVEN = "for {} that you choose", "for even gaps"


def _gaps(period: int, unit: str) -> dict[int, str]:
    """Return an interval for each number of times that divides a period of so many units, twice or more."""
    counts = (count for count in range(2, period + 1) if period % count == 0)
    return {
        count: f"every {unit}" if count == period else f"every {period // count} {unit}s" for count in counts
    }


OFTEN: Final[dict[str, tuple[tuple[dict[int, str], str], ...]]] = {
    "minute": ((_gaps(60, "second"), _EVEN),),
    "hour": ((_gaps(3_600, "second") | _gaps(60, "minute"), _EVEN),),
    "day": (
        (
            {
                2: "every day at [09:00, 17:00]",
                3: "every day at [08:00, 13:00, 18:00]",
                4: "every day at [00:00, 06:00, 12:00, 18:00]",
            },
            _CHOSEN.format("times"),
        ),
        (
            {count: gap for count, gap in _gaps(1_440, "minute").items() if count > _HOURS_A_DAY}
            | _gaps(_HOURS_A_DAY, "hour"),
            _EVEN,
        ),
    ),
    "week": (
        (
            {
                2: "every week on [mon, thu]",
                3: "every week on [mon, wed, fri]",
                4: "every week on [mon, tue, thu, fri]",
                5: "every day between mon and fri",
                6: "every day between mon and sat",
                7: "every day",
            },
            _CHOSEN.format("days"),
        ),
    ),
    "month": (
        (
            {2: "on [1st, 15th]", 3: "on [1st, 11th, 21st]", 4: "on [1st, 8th, 15th, 22nd]"},
            _CHOSEN.format("days"),
        ),
    ),
    "year": ((_gaps(12, "month"), _EVEN),),
}
"""What is written for so many times in a unit."""


def _counted(table: dict[int, str]) -> Callable[[re.Match[str]], str]:
    """Return what replaces `twice a day` or `3 times a day` by the words of a table."""

    def replaced(match: re.Match[str]) -> str:
        times = 2 if match[1].lower() == "twice" else int(match[1].split()[0])
        return table.get(times, match[0])

    return replaced


def _often(unit: str) -> Choice:
    adverb = "daily" if unit == "day" else f"{unit}ly"
    options = tuple((_counted(table), meaning) for table, meaning in OFTEN[unit])
    return Choice(rf"\b(twice|\d+ times) (?:{_PER} {unit}|{adverb})\b", options)


CHOICES: Final = (
    Choice(
        rf"\bevery (second|2nd|third|3rd|fourth|4th) ({_D})(?=$| at\b)",
        (
            (lambda match: _nth(match[1], match[2]), "in each month"),
            (
                lambda match: f"every {_ORDINALS[match[1].lower()]} weeks on {match[2]}",
                "counted from the start",
            ),
        ),
    ),
    Choice(
        rf"^(every (?:\d+ )?(?:hour|minute|second)s?) at ({_CLOCK})$",
        (
            (r"every day at \2", "for once a day"),
            (r"\1 from \2", "for what is left of each day"),
        ),
    ),
    Choice(
        r"\bbi-?weekly\b",
        (
            ("every 2 weeks", "for every other week"),
            ("every week on [mon, thu]", "for two days of each week"),
        ),
    ),
    *map(_often, OFTEN),
    Choice(
        r"\bbi-?monthly\b",
        (("every 2 months", "for every other month"), ("on [1st, 15th]", "for two days of each month")),
    ),
)
"""Phrases with more than one meaning."""


NOTHING: Final = (
    (
        rf"\b\d+ times (?:{_PER} (?:second|minute|hour)|hourly|minutely)\b",
        "there is no even gap for that; say how many minutes or seconds apart, or at which minutes",
    ),
    (
        rf"\b\d+ times (?:{_PER} day|daily)\b",
        "say when, as in 'every day at [9:00, 12:00]', or how far apart",
    ),
    (rf"\b\d+ times (?:{_PER}\b|week|month|year)", "say on which days, or how far apart"),
    (r"\b(?:ms|milliseconds?)\b", "nothing is shorter than a second, as in 'every second'"),
    (r"\bbusiness hours\b", "say which hours, as in 'every hour between 9:00 and 17:00'"),
    (r"\bholidays?\b", "there are no holidays and no other exclusions in the language"),
    (
        r"\b(?:except|excluding|but not|unless)\b",
        "there are no exclusions in the language; name what is meant, as in 'every day between mon and sat'",
    ),
    (
        r"\b(?:starting|beginning|start|effective|as of|since)\b",
        "there is no word for the start; pass it as an argument",
    ),
    (
        r"\b(?:today|tomorrow|now|tonight|next|in an|after \d+)\b",
        "a time that comes once is a date, as in 'at 2030-01-31 09:00'",
    ),
    (
        r"\bin \d+ (?:second|minute|hour|day|week|month|year)s?\b|\bfrom now\b",
        "a time that comes once is a date, as in 'at 2030-01-31 09:00'",
    ),
    (
        r"\b(?:christmas|easter|thanksgiving)\b",
        "there are no holidays in the language; write the date, as in 'on 25th dec'",
    ),
    (r"\b(?:few|some|several|sometimes|random|randomly|often)\b", "say how many, as in 'every 5 minutes'"),
    (
        r"\b(?:for \d+ (?:times|days|weeks)|\d+ times)\b",
        "occurrences are not counted; pass the end as an argument",
    ),
    (r"\b\d{1,2}/\d{1,2}(?:/\d{2,4})?\b", "a date is YYYY-MM-DD or MM-DD, as in 'on 2030-01-31'"),
    (
        r"(?<!tz )(?<!timezone )\b(?:utc|gmt) ?[+-] ?\d",
        "an offset is not a time zone; name a place that has it, as in 'every day at 9:00 tz Europe/Paris'",
    ),
    (r"\b(?:leap) years?\b", "leap years have no word; write the day, as in 'on 29th feb'"),
    (
        r"\b\d+ (?:week|work|business) ?days?\b",
        "workdays cannot be counted; write 'every day between mon and fri'",
    ),
    (
        r"\b(?:29|30|31)(?:st|th)\b",
        "not every month has that day; write 'on LastDay' for the last day of each month",
    ),
    (
        rf"\b(?:{_PART}|nightly\b)",
        "it is unclear which hour is meant; write the time alone, as in 'every day at 8:00' or 'every day at 20:00'",
    ),
)
"""Phrases that nothing is written for, and what to say about them."""
