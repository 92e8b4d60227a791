"""`python -m jobmaster_testing.simulation`: play one seed, or many."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from jobmaster_testing.simulation import Outcome, Scenario, simulate
from jobmaster_testing.simulation.situations import NAMES, made


def main() -> int:
    """Run the requested simulations; return 1 if a guarantee was broken."""
    options = _options()
    logging.disable(logging.CRITICAL)
    agents = {"any": None, "standalone": False, "distributed": True}[options.cluster]
    if options.seed is not None:
        return _play_one(options.seed, options, agents)
    return _play_many(options, agents)


def _scenario(seed: int, options: argparse.Namespace, agents: bool | None) -> Scenario:
    if options.situation is None:
        return Scenario.drawn(seed, agents=agents)
    name = NAMES[seed % len(NAMES)] if options.situation == "each" else options.situation
    return made(name, seed, agents=agents)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobmaster_testing.simulation", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, help="play this seed")
    add("--trace", action="store_true", help="print all that happens")
    add("--seeds", type=int, default=100, help="the number of seeds to play (default: 100)")
    add("--first", type=int, default=1, help="the first seed (default: 1)")
    add("--backend", choices=("asyncio", "trio"), default="asyncio")
    add(
        "--cluster",
        choices=("any", "standalone", "distributed"),
        default="any",
        help="default: the seed decides",
    )
    add(
        "--situation",
        choices=("each", *NAMES),
        help="play a situation that is made for the rule of sharing, or each of them in turn; default: none of them",
    )
    return parser.parse_args()


def _play_one(seed: int, options: argparse.Namespace, agents: bool | None) -> int:
    outcome = simulate(_scenario(seed, options, agents), options.backend)
    if options.trace:
        sys.stdout.writelines(f"{line}\n" for line in outcome.trace.lines())
    _say(outcome)
    return 1 if outcome.broken else 0


def _play_many(options: argparse.Namespace, agents: bool | None) -> int:
    started, failed, watched = time.monotonic(), [], []
    for seed in range(options.first, options.first + options.seeds):
        outcome = simulate(_scenario(seed, options, agents), options.backend)
        if outcome.longest_idle is not None:
            watched.append(outcome.longest_idle)
        if outcome.broken:
            failed.append(seed)
            _say(outcome)
    sys.stdout.write(
        f"{options.seeds} seeds in {time.monotonic() - started:.0f} s, failing: {failed or 'none'}\n"
        f"in {len(watched)} of them slots were watched, and idle beside due jobs for up to {max(watched, default=0):.2f} s\n"
    )
    return 1 if failed else 0


def _say(outcome: Outcome) -> None:
    sys.stdout.write(f"{outcome}\n")


if __name__ == "__main__":
    raise SystemExit(main())
