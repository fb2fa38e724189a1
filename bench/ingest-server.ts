// A child process of `ingest.ts`: the gateway, or the least that does the same, on the store it is told. Tells its port when it listens.
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { fastify } from 'fastify'
import { aSnapshot } from '../test/dispatch.ts'
import { PostgresBus } from '../src/bus/postgres/postgres-bus.ts'
import { loadSettings } from '../src/config/settings.ts'
import type { Database, Statement } from '../src/database/database.ts'
import { openHomeDatabase } from '../src/database/pglite/home-database.ts'
import { PostgresDatabase } from '../src/database/postgres/postgres-database.ts'
import { metrics } from '../src/http/metrics.ts'
import { httpServer } from '../src/http/server.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { type Log, silentLog } from '../src/kernel/log.ts'
import { everyAgentTopic, topics } from '../src/kernel/topics.ts'
import { gateway } from '../src/processes/gateway.ts'
import { instanceName } from '../src/processes/instance.ts'
import { logger } from '../src/processes/logger.ts'
import { processRedactor } from '../src/processes/own-secrets.ts'
import { noTracer } from '../src/traces/tracer.ts'
import type { Store } from './case.ts'

export interface IngestServer {
  readonly who: 'guild' | 'floor' | 'insert'
  readonly at: Store['at']
  readonly secret: string
}

const told = JSON.parse(process.argv[2] ?? '') as IngestServer // written by ingest.ts
const database: Database =
  'url' in told.at ? await PostgresDatabase.open({ url: told.at.url }) : (await openHomeDatabase(told.at.home)).db
const app = told.who === 'guild' ? await guild(database) : await bare(await appendOf(told.who, database))
await app.listen({ port: 0, host: '127.0.0.1' })
process.send?.((app.server.address() as AddressInfo).port)
// Whoever started this is gone, or wants it to end.
process.on('disconnect', () => {
  void (async () => {
    await app.close()
    await database.close()
    process.exit()
  })()
})

/** The server and the gateway as a process of production composes them, with the log written as there (to nowhere). */
async function guild(db: Database) {
  const env = { GITHUB_WEBHOOK_SECRET: told.secret }
  const settings = loadSettings(env)
  const process = { role: 'gateway', instance: instanceName() }
  const log = logger(settings, processRedactor({ settings, env }), undefined, process)
  const bus = await busOf(db, log)
  const snapshot = aSnapshot([], [])
  const codex = { current: () => snapshot, at: () => Promise.resolve(snapshot), problems: () => null }
  const measured = metrics({ database: db, bus })
  const server = httpServer(log)
  await server.register(gateway({ settings, env, bus, codex, log, metrics: measured, tracer: noTracer }))
  return server
}

async function busOf(database: Database, log: Log) {
  const bus = new PostgresBus({ database, clock: systemClock, log })
  for (const [topic, group] of [
    [topics.inbound, 'dispatcher'],
    [everyAgentTopic, 'executor'],
    [topics.audit, 'audit'],
  ] as const)
    await bus.ensureGroup({ topic, group })
  return bus
}

type Append = (id: string, event: string, body: string) => Promise<void>

/** `floor`: the durable append of the gateway, of the body as it came; `insert`: one row in a table without an index. */
async function appendOf(who: 'floor' | 'insert', db: Database): Promise<Append> {
  if (who === 'floor') {
    const bus = await busOf(db, silentLog)
    return (id, event, body) => bus.publish(topics.inbound, [{ id, key: id, body: { event, body } }])
  }
  const make =
    'CREATE TABLE inbox (id text NOT NULL, event text NOT NULL, body text NOT NULL, at timestamptz DEFAULT now())'
  await db.query({ name: '', text: make })
  const insert: Statement = { name: 'floor.insert', text: 'INSERT INTO inbox (id, event, body) VALUES ($1, $2, $3)' }
  return async (...row) => {
    await db.query(insert, row)
  }
}

/** Raw body, HMAC in constant time, one commit, 202. It neither parses the body nor knows what it says. */
async function bare(append: Append) {
  const server = fastify()
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  server.post('/webhooks/github', async (request, reply) => {
    const { headers, body } = request
    if (!Buffer.isBuffer(body)) return reply.code(400).send()
    const expected = Buffer.from(`sha256=${createHmac('sha256', told.secret).update(body).digest('hex')}`)
    const given = Buffer.from(String(headers['x-hub-signature-256']))
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return reply.code(401).send()
    const id = String(headers['x-github-delivery'])
    await append(id, String(headers['x-github-event']), body.toString('utf8'))
    return reply.code(202).send({ id })
  })
  return server
}
