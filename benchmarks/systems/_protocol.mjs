// What the scripts for Node have in common: the same commands and JSON lines as _protocol.py.
// Moments are process.hrtime, the monotonic clock that the processes of one Linux machine share.

import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const PAYLOAD_BYTES = 200;
const ENVELOPE = '{"sent":,"text":""}'.length;
const TEXT = "x".repeat(PAYLOAD_BYTES);
const BRIEFLY = 5_000_000n;

const now = () => process.hrtime.bigint();
const seconds = (moment) => Number(moment) / 1e9;
export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Packages are in the folder named by BENCH_NODE_MODULES, an environment of its own for each system.
const folder = process.env.BENCH_NODE_MODULES;
export const packages = createRequire(join(folder, "package.json"));

export function versions(name) {
  const manifest = JSON.parse(readFileSync(join(folder, "node_modules", name, "package.json"), "utf8"));
  return { [name]: manifest.version, node: process.versions.node };
}

export function payload(sent = 0n) {
  return { sent: Number(sent), text: TEXT.slice(0, PAYLOAD_BYTES - ENVELOPE - String(sent).length) };
}

export function parseOptions() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      url: { type: "string" },
      mode: { type: "string", default: "one" },
      jobs: { type: "string", default: "0" },
      callers: { type: "string", default: "100" },
      batch: { type: "string", default: "1000" },
      rate: { type: "string", default: "50" },
      backend: { type: "string", default: "asyncio" },
      worker: { type: "string", default: "0" },
      workers: { type: "string", default: "1" },
    },
  });
  const numbers = Object.fromEntries(
    ["jobs", "callers", "batch", "rate"].map((name) => [name, Number(values[name])]),
  );
  return { ...values, ...numbers, command: positionals[0] };
}

function emit(fields) {
  writeSync(1, JSON.stringify(fields) + "\n");
}

function finish(fields) {
  emit(fields);
  process.exit(0);
}

function peakMb() {
  const line = readFileSync("/proc/self/status", "ascii").split("\n").find((text) => text.startsWith("VmHWM:"));
  return Number(line.split(/\s+/)[1]) / 1024;
}

function inputEnds(untilLine) {
  return new Promise((resolve) => {
    const lines = createInterface({ input: process.stdin });
    if (untilLine) lines.once("line", resolve);
    lines.once("close", resolve);
  });
}

class Drain {
  constructor(jobs) {
    Object.assign(this, { jobs, handled: 0, first: null, last: 0n, go: now(), cpu: process.cpuUsage() });
  }

  onJob() {
    this.last = now();
    this.first ??= this.last;
    this.handled += 1;
  }

  mayBeOver() {
    if (this.handled >= this.jobs) return true;
    const gap = this.first === null ? 0n : (5n * (this.last - this.first)) / BigInt(this.handled);
    return now() - this.last > (gap > BRIEFLY ? gap : BRIEFLY);
  }

  result() {
    const cpu = process.cpuUsage(this.cpu);
    return {
      go: seconds(this.go),
      first: this.first === null ? null : seconds(this.first),
      end: seconds(now()),
      handled: this.handled,
      cpu_s: (cpu.user + cpu.system) / 1e6,
      peak_mb: peakMb(),
    };
  }
}

// The time (ms) that `share` percent of `times` (ns) do not exceed: nearest rank.
function percentile(times, share) {
  if (times.length === 0) return 0;
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil((sorted.length * share) / 100)) - 1] / 1e6;
}

function tenths(pairs) {
  if (pairs.length === 0) return [];
  const start = pairs[0][0];
  const span = Math.max(1, pairs.at(-1)[0] - start);
  const parts = Array.from({ length: 10 }, () => []);
  for (const [sent, time] of pairs) parts[Math.min(9, Math.floor(((sent - start) * 10) / span))].push(time);
  return parts.map((part) => percentile(part, 99));
}

function latencies(pairs) {
  const sorted = [...pairs].sort((a, b) => a[0] - b[0]);
  const times = sorted.map(([, time]) => time);
  const shares = Object.fromEntries([50, 95, 99].map((share) => [`p${share}`, percentile(times, share)]));
  return { handled: times.length, ...shares, max: percentile(times, 100), tenths_p99: tenths(sorted) };
}

const schedulers = {
  async one(system, jobs) {
    for (let number = 0; number < jobs; number += 1) await system.schedule(payload());
  },
  async concurrent(system, jobs, { callers }) {
    const share = (number) => Math.floor(jobs / callers) + (number < jobs % callers ? 1 : 0);
    await Promise.all(Array.from({ length: callers }, (_, number) => schedulers.one(system, share(number))));
  },
  async bulk(system, jobs, { batch }) {
    for (let done = 0; done < jobs; done += batch) {
      await system.scheduleMany(Array.from({ length: Math.min(batch, jobs - done) }, () => payload()));
    }
  },
};

const commands = {
  async setup(system) {
    await system.setup();
    const { versions, settings, history } = system;
    finish({ versions, settings, history, bulk: true });
  },

  async schedule(system, options) {
    await system.openProducer();
    const started = now();
    await schedulers[options.mode](system, options.jobs, options);
    finish({ jobs: options.jobs, seconds: seconds(now() - started) });
  },

  async work(system, options) {
    await system.prepare();
    emit({ ready: true });
    await inputEnds(true);
    const drain = new Drain(options.jobs);
    await system.work(() => drain.onJob(), { idle: false });
    while (!(drain.mayBeOver() && (await system.drained()))) await sleep(5);
    finish(drain.result());
  },

  async "latency-worker"(system) {
    const pairs = [];
    await system.prepare();
    await system.work(({ sent }) => pairs.push([sent, Number(now()) - sent]), { idle: true });
    emit({ ready: true });
    await inputEnds(false);
    finish({ ...latencies(pairs), peak_mb: peakMb() });
  },

  async "latency-producer"(system, { rate, jobs }) {
    await system.openProducer();
    const started = now();
    const calls = [];
    while (calls.length < jobs) {
      const due = Math.min(jobs, Math.floor(seconds(now() - started) * rate) + 1);
      while (calls.length < due) calls.push(system.schedule(payload(now())));
      await sleep(Math.max(0, (calls.length / rate - seconds(now() - started)) * 1000));
    }
    await Promise.all(calls);
    finish({ jobs, seconds: seconds(now() - started) });
  },

  async idle(system) {
    await system.prepare();
    await system.work(() => {}, { idle: true });
    emit({ ready: true });
    await inputEnds(false);
    finish({ peak_mb: peakMb() });
  },

  async count(system) {
    await system.prepare();
    finish(await system.count());
  },
};

export async function main(system, options) {
  await commands[options.command](system, options);
}
