import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import type { Hop, Message } from './hop.ts'

const batchMax = 200
const idleMs = 1

/** The least that hands rows from one to another without losing any: one table, one index, delete and handle in one transaction. */
export const skipLockedLoop: Hop = {
  name: 'SKIP LOCKED loop',
  async open(lab, onHandled) {
    const url = await (await lab.postgres()).newDatabase('empty')
    const pool = new Pool({ connectionString: url, max: 10 })
    await pool.query(
      'CREATE TABLE queue (id bigint GENERATED ALWAYS AS IDENTITY, lane smallint, body text); CREATE INDEX ON queue (lane, id)',
    )
    const stop = new AbortController()
    const consuming = (async () => {
      const client = await pool.connect()
      while (!stop.signal.aborted) {
        await client.query('BEGIN')
        const { rows } = await client.query<{ body: string }>(take)
        onHandled(rows.map(({ body }) => JSON.parse(body) as unknown).length)
        await client.query('COMMIT')
        if (rows.length === 0) await delay(idleMs)
      }
      client.release()
    })()
    return {
      async publish(messages) {
        await pool.query({
          name: 'put',
          text: 'INSERT INTO queue (lane, body) SELECT * FROM unnest($1::smallint[], $2::text[])',
          values: [messages.map(({ lane }) => lane), messages.map(({ body }) => JSON.stringify(body))],
        })
      },
      async [Symbol.asyncDispose]() {
        stop.abort()
        await consuming
        await pool.end()
      },
    }
  },
}

const take = {
  name: 'take',
  text: `DELETE FROM queue q USING (SELECT id, lane FROM queue ORDER BY lane, id LIMIT ${batchMax} FOR UPDATE SKIP LOCKED) AS first
         WHERE q.id = first.id AND q.lane = first.lane RETURNING q.body`,
}

/** One stream per lane, read in their order; acknowledged and deleted after the handler. */
export function streamLoop(appendfsync: 'everysec' | 'always'): Hop {
  return {
    name: 'XREADGROUP loop',
    async open(lab, onHandled) {
      const server = await lab.redis(appendfsync)
      if (server === null) throw new Error('no redis-server')
      const writer = new Redis(server.url, { enableAutoPipelining: true })
      const reader = new Redis(server.url)
      await server.flush()
      const lanes = [0, 1, 2, 3, 4].map((lane) => `lane:${lane}`)
      for (const lane of lanes) await reader.xgroup('CREATE', lane, 'g', '0', 'MKSTREAM')
      const stop = new AbortController()
      const consuming = (async () => {
        while (!stop.signal.aborted) onHandled(await readOnce(reader, lanes))
      })()
      return {
        async publish(messages: readonly Message[]) {
          const pipeline = writer.pipeline()
          for (const { lane, body } of messages) pipeline.xadd(`lane:${lane}`, '*', 'body', JSON.stringify(body))
          await pipeline.exec()
        },
        async [Symbol.asyncDispose]() {
          stop.abort()
          await consuming
          reader.disconnect()
          writer.disconnect()
        },
      }
    },
  }
}

type Streams = readonly (readonly [string, readonly (readonly [string, readonly string[]])[]])[]

async function readOnce(reader: Redis, lanes: readonly string[]): Promise<number> {
  const from = lanes.map(() => '>')
  const streams = (await reader.xreadgroup(
    'GROUP',
    'g',
    'c',
    'COUNT',
    batchMax,
    'BLOCK',
    100,
    'STREAMS',
    ...lanes,
    ...from,
  )) as Streams | null // the shape of XREADGROUP's answer
  if (streams === null) return 0
  const done = reader.pipeline()
  let count = 0
  for (const [lane, entries] of streams) {
    const ids = entries.map(([id, fields]) => {
      JSON.parse(fields[1] ?? '')
      return id
    })
    count += ids.length
    done.xack(lane, 'g', ...ids).xdel(lane, ...ids)
  }
  await done.exec()
  return count
}
