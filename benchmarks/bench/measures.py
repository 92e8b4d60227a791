"""The measures. Each takes a system through one round on a new database and returns a sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from attrs import frozen

from bench import processes, sharing
from bench.sampling import Sampler
from bench.scripts import NotOfferedError, Reply
from bench.systems import System
from bench.trials import Bench, Sample, Trial, VerificationError

SETTLING = 2.0
"""Seconds for a worker to come to rest before it is watched."""
LATENCY_RATE = 50
COST_RATE = 500


@frozen
class Measure:
    """A measure: its name, its title, and how a round is run."""

    name: str
    title: str
    run: Callable[[Bench, System], Sample]
    repeats_itself: bool = False
    """Whether a round is long and compares within itself, so that one is enough."""


def call_by_call(bench: Bench, system: System) -> Sample:
    """A: one caller that awaits each call."""
    return _schedule(bench, system, "one", bench.sizes.calls)


def call_concurrently(bench: Bench, system: System) -> Sample:
    """A100: the same from 100 concurrent callers in one process."""
    return _schedule(bench, system, "concurrent", bench.sizes.concurrent_calls)


def call_in_bulk(bench: Bench, system: System) -> Sample:
    """B: many jobs in one call."""
    return _schedule(bench, system, "bulk", bench.sizes.jobs)


def _schedule(bench: Bench, system: System, mode: str, jobs: int) -> Sample:
    with bench.trial(system) as trial:
        reply = trial.schedule(mode, jobs)
        return {"rate": jobs / reply["seconds"], "seconds": reply["seconds"]}


def drain_alone(bench: Bench, system: System) -> Sample:
    """C: one worker process drains a store that was filled before it started."""
    return _drain(bench, system, 1)


def drain_together(bench: Bench, system: System) -> Sample:
    """D: the same by two worker processes."""
    return _drain(bench, system, 2)


def _drain(bench: Bench, system: System, workers: int) -> Sample:
    with bench.trial(system) as trial:
        trial.fill(bench.sizes.jobs)
        return trial.drain(workers)


def latency(bench: Bench, system: System) -> Sample:
    """E: from a scheduling call to the start of the handler, with an idle worker in another process."""
    jobs = LATENCY_RATE * bench.sizes.latency_seconds
    with bench.trial(system) as trial, trial.worker_waiting("latency-worker") as worker:
        time.sleep(SETTLING)
        _produce(trial, LATENCY_RATE, jobs)
        trial.await_empty()
        reply = worker.end()
        trial.drained(reply["handled"])
        return _latency_sample(reply)


def idleness(bench: Bench, system: System) -> Sample:
    """F: peak memory over a drain, and the cost of an idle worker afterwards."""
    with bench.trial(system) as trial:
        trial.fill(bench.sizes.jobs)
        peak = trial.drain()["peak_mb"]
        with trial.worker_waiting("idle") as worker:
            time.sleep(SETTLING)
            watched = _watch_idle(bench, trial, worker.pid)
            return {**watched, "peak_mb": max(peak, watched["idle_mb"]), "drain_mb": peak}


def _watch_idle(bench: Bench, trial: Trial, pid: int) -> dict[str, float]:
    queries, cpu, started = trial.database.queries(), processes.cpu_seconds(pid), time.monotonic()
    time.sleep(bench.sizes.idle_seconds)
    seconds = time.monotonic() - started
    sample = {
        "idle_cpu_percent": 100 * (processes.cpu_seconds(pid) - cpu) / seconds,
        "idle_mb": processes.peak_mb(pid),
    }
    now = trial.database.queries()
    if queries is not None and now is not None:
        sample["idle_queries_per_s"] = (now - queries) / seconds
    return sample


def drain_with_history(bench: Bench, system: System) -> Sample:
    """G: C with many finished jobs in the tables, alternating with C on empty tables."""
    sizes = bench.sizes
    with bench.trial(system) as trial:
        while trial.finished < sizes.history:
            trial.fill(min(100_000, sizes.history - trial.finished))
            trial.drain()
        with_history, without = [], []
        for _ in range(3):
            without.append(drain_alone(bench, system)["rate"])
            trial.fill(sizes.jobs)
            with_history.append(trial.drain()["rate"])
    rate, control = median(with_history), median(without)
    return {
        "rate": rate,
        "control": control,
        "ratio": rate / control,
        "rates": with_history,
        "controls": without,
    }


def steady_load(bench: Bench, system: System) -> Sample:
    """H: a steady load while another session holds a snapshot, so that dead rows cannot be vacuumed."""
    sizes = bench.sizes
    jobs = sizes.steady_rate * sizes.steady_seconds
    with bench.trial(system) as trial, trial.worker_waiting("latency-worker") as worker:
        time.sleep(SETTLING)
        with trial.database.held_snapshot(), Sampler(trial.database.dead_tuples).running() as sampler:
            _produce(trial, sizes.steady_rate, jobs)
        trial.await_empty()
        reply = worker.end()
        trial.drained(reply["handled"])
        dead = {"dead_tuples": sampler.most, "dead_over_time": sampler.seen}
        return {**_latency_sample(reply), **_growth(reply["tenths_p99"]), **dead}


def recovery(bench: Bench, system: System) -> Sample:
    """R: one of two workers is killed under load; how long its jobs wait for the other one.

    The clock runs from the kill to the first and to the last start of a job that waited for a second or more: nothing else
    makes a job of this load wait that long.
    """
    jobs = LATENCY_RATE * bench.sizes.recovery_seconds
    with (
        bench.trial(system) as trial,
        trial.worker_waiting("latency-worker") as victim,
        trial.worker_waiting("latency-worker") as other,
    ):
        time.sleep(SETTLING)
        with trial.producing(LATENCY_RATE, jobs):
            time.sleep(SETTLING)
            killed = time.monotonic_ns()
            victim.kill()
        trial.await_empty()
        reply = other.end()
        trial.emptied()
    return _recovery_sample([(start - killed) / 1e9 for start in reply["late_starts"]])


def _recovery_sample(waits: Sequence[float]) -> dict[str, float]:
    if not waits:
        raise VerificationError("no job waited for the worker that was killed")
    return {"first_s": min(waits), "last_s": max(waits), "stranded": len(waits)}


def cost_on_master(bench: Bench, system: System) -> Sample:
    """M: the cost of a short job for the master while a worker runs jobs as they come: statements, and rows written."""
    jobs = LATENCY_RATE * bench.sizes.latency_seconds
    with bench.trial(system) as trial, trial.worker_waiting("latency-worker") as worker:
        time.sleep(SETTLING)
        before = _written(trial)
        _produce(trial, COST_RATE, jobs)
        trial.await_empty()
        time.sleep(SETTLING)
        statements, rows = (now - then for now, then in zip(_written(trial), before, strict=True))
        trial.drained(worker.end()["handled"])
    return {"statements_per_job": statements / jobs, "rows_per_job": rows / jobs}


def _written(trial: Trial) -> tuple[int, int]:
    """Return the numbers of statements run and rows written so far."""
    statements, rows = trial.database.queries(), trial.database.written_rows()
    if statements is None or rows is None:
        raise NotOfferedError("nobody counts statements and rows here")
    return statements, rows


def _produce(trial: Trial, rate: int, jobs: int) -> None:
    with trial.producing(rate, jobs):
        pass


def _latency_sample(reply: Reply) -> dict[str, float]:
    return {name: reply[name] for name in ("p50", "p95", "p99", "max", "tenths_p99", "handled", "peak_mb")}


def _growth(tenths: Sequence[float]) -> dict[str, float]:
    """Return the p99 early and late: medians over three tenths of the time, the first one being warm-up."""
    early, late = median(tenths[1:4]), median(tenths[-3:])
    return {"early_p99": early, "late_p99": late, "growth": late / early}


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("A", "one caller awaiting each call", call_by_call),
        Measure("A100", "100 concurrent callers in one process", call_concurrently),
        Measure("B", "bulk calls", call_in_bulk),
        Measure("C", "drain by one worker process", drain_alone),
        Measure("D", "drain by two worker processes", drain_together),
        Measure("E", "call to handler start, 50 jobs/s", latency),
        Measure("F", "memory, and cost when idle", idleness),
        Measure("G", "C with a long history", drain_with_history, repeats_itself=True),
        Measure("M", "what a short job costs the master, at 500 jobs/s", cost_on_master),
        Measure("R", "recovery after one of two workers is killed, at 50 jobs/s", recovery),
        Measure("S-late", "three workers join one that has a backlog", sharing.late_joiners),
        Measure("S-mixed", "mixed durations, four workers", sharing.mixed_durations),
        Measure("S-long", "quick jobs beside long ones, two workers", sharing.long_among_quick),
        Measure("S-kill", "one of two workers is killed, at 200 jobs/s", sharing.killed_worker),
        Measure("S-scale", "1, 8, then 1 worker during a backlog", sharing.scaled),
        Measure("H", "steady load under a held snapshot", steady_load, repeats_itself=True),
    )
}
