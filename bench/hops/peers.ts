import { Queue, Worker } from 'bullmq'
import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { PgBoss } from 'pg-boss'
import type { Hop } from './hop.ts'

/** Batched fetch without pause while batches come back full, woken by NOTIFY, bulk insert; its monitors and schedules off. */
export const pgBoss: Hop = {
  name: 'pg-boss',
  async open(lab, onHandled) {
    const connectionString = await (await lab.postgres()).newDatabase('empty')
    const boss = new PgBoss({ connectionString, max: 10, useListenNotify: true, supervise: false, schedule: false })
    boss.on('error', (error) => lab.say(`  pg-boss: ${String(error)}`))
    await boss.start()
    await boss.createQueue('bench', { notify: true, retryLimit: 10 })
    await boss.work(
      'bench',
      { batchSize: 200, localConcurrency: 2, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
      async (jobs) => onHandled(jobs.length),
    )
    return {
      async publish(messages) {
        const [first] = messages
        if (messages.length === 1 && first) await boss.send('bench', first.body, { priority: 4 - first.lane })
        else
          await boss.insert(
            'bench',
            messages.map(({ lane, body }) => ({ data: body, priority: 4 - lane })),
          )
      },
      [Symbol.asyncDispose]: () => boss.stop({ graceful: true, timeout: 5_000 }),
    }
  },
}

/** Local queue of 200 jobs, completions in batches, 64 jobs at a time: its page on performance. Bulk insert by `addJobs`. */
export const graphileWorker: Hop = {
  name: 'graphile-worker',
  async open(lab, onHandled) {
    const connectionString = await (await lab.postgres()).newDatabase('empty')
    const logger = new Logger(() => () => undefined)
    const utils = await makeWorkerUtils({ connectionString, maxPoolSize: 10, logger })
    await utils.migrate()
    const worker = {
      concurrentJobs: 64,
      maxPoolSize: 10,
      pollInterval: 500,
      localQueue: { size: 200 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    }
    const runner = await run({
      connectionString,
      logger,
      noHandleSignals: true,
      taskList: { bench: async () => onHandled(1) },
      preset: { worker },
    })
    return {
      async publish(messages) {
        const [first] = messages
        if (messages.length === 1 && first) await utils.addJob('bench', first.body, { priority: first.lane })
        else
          await utils.addJobs(
            messages.map(({ lane, body }) => ({ identifier: 'bench', payload: body, priority: lane })),
          )
      },
      async [Symbol.asyncDispose]() {
        await runner.stop()
        await utils.release()
      },
    }
  },
}

/** 64 jobs at a time, finished jobs removed, `addBulk` for batches. */
export function bullmq(appendfsync: 'everysec' | 'always'): Hop {
  return {
    name: 'BullMQ',
    async open(lab, onHandled) {
      const server = await lab.redis(appendfsync)
      if (server === null) throw new Error('no redis-server')
      const options = { host: '127.0.0.1', port: server.port, maxRetriesPerRequest: null }
      await server.flush()
      const queue = new Queue('bench', {
        connection: { ...options, enableAutoPipelining: true },
        defaultJobOptions: { removeOnComplete: true, attempts: 10 },
      })
      const worker = new Worker('bench', async () => onHandled(1), { connection: options, concurrency: 64 })
      await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
      return {
        async publish(messages) {
          const jobs = messages.map(({ lane, body }) => ({ name: 'hop', data: body, opts: { priority: lane + 1 } }))
          const [first] = jobs
          if (jobs.length === 1 && first) await queue.add(first.name, first.data, first.opts)
          else await queue.addBulk(jobs)
        },
        async [Symbol.asyncDispose]() {
          await worker.close()
          await queue.close()
        },
      }
    },
  }
}
