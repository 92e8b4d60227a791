// graphile-worker on PostgreSQL, with the preset of its own performance tests.

import { main, packages, parseOptions, versions } from "./_protocol.mjs";

const { Logger, makeWorkerUtils, run, runMigrations } = packages("graphile-worker");
const pg = packages("pg");

const CONCURRENCY = 24;
const BATCHED = {
  localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

const options = parseOptions();
const quiet = new Logger(() => () => {});
const noSchedule = { noHandleSignals: true, crontab: "", logger: quiet };

const system = {
  versions: versions("graphile-worker"),
  settings: {
    concurrentJobs: CONCURRENCY,
    drains: "localQueue 500, refetchDelay 10 ms, completeJobBatchDelay 0",
    "latency, idle": "no local queue, no batching: its lowest latency",
  },
  history: "none: a finished job is deleted",

  async setup() {
    await runMigrations({ connectionString: options.url, logger: quiet });
  },

  async openProducer() {
    this.utils = await makeWorkerUtils({ connectionString: options.url, maxPoolSize: 20, logger: quiet });
  },

  async schedule(data) {
    await this.utils.addJob("noop", data);
  },

  async scheduleMany(batch) {
    await this.utils.addJobs(batch.map((data) => ({ identifier: "noop", payload: data })));
  },

  async prepare() {
    this.store = new pg.Client({ connectionString: options.url });
    await this.store.connect();
  },

  async work(onJob, { idle }) {
    const worker = { concurrentJobs: CONCURRENCY, maxPoolSize: CONCURRENCY + 1, ...(idle ? {} : BATCHED) };
    const taskList = { noop: async (data) => onJob(data) };
    await run({ ...noSchedule, connectionString: options.url, taskList, preset: { worker } });
  },

  async drained() {
    return (await this.store.query("SELECT 1 FROM graphile_worker._private_jobs LIMIT 1")).rowCount === 0;
  },

  async count() {
    const { rows } = await this.store.query("SELECT count(*)::int AS jobs FROM graphile_worker._private_jobs");
    return { finished: null, unfinished: rows[0].jobs };
  },
};

await main(system, options);
