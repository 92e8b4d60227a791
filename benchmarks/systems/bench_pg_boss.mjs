// pg-boss on PostgreSQL, with LISTEN/NOTIFY and batches.

import { pathToFileURL } from "node:url";

import { main, packages, parseOptions, versions } from "./_protocol.mjs";

const { PgBoss } = await import(pathToFileURL(packages.resolve("pg-boss")));
const pg = packages("pg");

const BATCH = 500;
const QUEUE = "noop";

const options = parseOptions();

function boss(more = {}) {
  const made = new PgBoss({ connectionString: options.url, max: 20, schedule: false, ...more });
  made.on("error", (error) => console.error(error));
  return made;
}

const system = {
  versions: versions("pg-boss"),
  settings: { batchSize: BATCH, burstWhenBatchFull: true, useListenNotify: true, pool: "20 connections" },
  history: "kept: the job row, 7 days",

  async setup() {
    const made = boss();
    await made.start();
    await made.createQueue(QUEUE, { notify: true });
    await made.stop();
  },

  async openProducer() {
    this.producer = boss({ supervise: false });
    await this.producer.start();
  },

  async schedule(data) {
    await this.producer.send(QUEUE, data);
  },

  async scheduleMany(batch) {
    await this.producer.insert(QUEUE, batch.map((data) => ({ data })));
  },

  async prepare() {
    this.store = new pg.Client({ connectionString: options.url });
    await this.store.connect();
  },

  async work(onJob) {
    this.worker = boss({ useListenNotify: true });
    await this.worker.start();
    await this.worker.work(QUEUE, { batchSize: BATCH, burstWhenBatchFull: true }, async (jobs) => {
      for (const job of jobs) onJob(job.data);
    });
  },

  async drained() {
    const query = "SELECT 1 FROM pgboss.job WHERE name = $1 AND state < 'completed' LIMIT 1";
    return (await this.store.query(query, [QUEUE])).rowCount === 0;
  },

  async count() {
    const query = `SELECT count(*) FILTER (WHERE state = 'completed')::int AS finished,
        count(*) FILTER (WHERE state < 'completed')::int AS unfinished FROM pgboss.job WHERE name = $1`;
    return (await this.store.query(query, [QUEUE])).rows[0];
  },
};

await main(system, options);
