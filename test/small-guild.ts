import { actionExecutor } from '../src/actions/execute.ts'
import { Desk } from '../src/actions/desk.ts'
import type { Target } from '../src/actions/target.ts'
import { githubActionTypes } from '../src/actions/targets/github.ts'
import { FileArtifacts } from '../src/artifacts/file.ts'
import type { Bus } from '../src/bus/bus.ts'
import { PostgresBus } from '../src/bus/postgres/postgres-bus.ts'
import { RelayOutbox } from '../src/bus/relay-outbox.ts'
import type { Database, Queryable } from '../src/database/database.ts'
import { executor } from '../src/executor/executor.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { silentLog } from '../src/kernel/log.ts'
import { Secret } from '../src/kernel/secret.ts'
import { topics } from '../src/kernel/topics.ts'
import { verifyLedger } from '../src/ledger/verify-ledger.ts'
import type { Llm } from '../src/llm/llm.ts'
import { vercelLlm } from '../src/llm/vercel/vercel-llm.ts'
import { githubTarget } from './actions.ts'
import { testCache } from './cache.ts'
import { Bench, type BenchSetup, statement } from './executor-bench.ts'

export interface Surroundings {
  readonly db: Database
  /** folder of the artifacts */
  readonly artifacts: string
  /** loopback servers that speak as GitHub and Anthropic do */
  readonly github: string
  readonly llm: string
}

/** A context item, a read, two actions in one answer, a closing word; the model is asked over the wire. */
export function runSetup(number: number): BenchSetup {
  return {
    payload: { number, title: `Change ${number}.` },
    spec: {
      context: [{ id: 'pr', tool: 'github.get_pr', required: true }],
      tools: { allow: [{ name: 'github.search' }], actions: [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 3 }] },
    },
    reads: { 'github.get_pr': { text: 'a pull request' }, 'github.search': { text: 'found' } },
  }
}

/** What the parts of this process do, in order, until it is its turn to die. */
export class Mortal {
  readonly #counts = new Map<string, number>()
  readonly #dieAt: string | null
  readonly trips: string[][] = []

  constructor(dieAt: string | null) {
    this.#dieAt = dieAt
  }

  point(actor: string): void {
    const count = (this.#counts.get(actor) ?? 0) + 1
    this.#counts.set(actor, count)
    if (`${actor}#${count}` !== this.#dieAt) return
    process.kill(process.pid, 'SIGKILL')
    for (;;); // nothing more happens here
  }

  /** The executor's database: heartbeats come when they like, everything else is a point. */
  database(db: Database): Database {
    const trip = <T>(names: string[], work: () => Promise<T>): Promise<T> => {
      this.trips.push(names)
      this.point('executor')
      return work()
    }
    return {
      kind: db.kind,
      query: (asked, params) =>
        asked.name === 'journal.beat' ? db.query(asked, params) : trip([asked.name], () => db.query(asked, params)),
      transaction: (work) => {
        const names: string[] = []
        const counted = (tx: Queryable): Queryable => ({
          query: (asked, params) => {
            names.push(asked.name)
            return tx.query(asked, params)
          },
        })
        return trip(names, () => db.transaction((tx) => work(counted(tx))))
      },
      listen: db.listen.bind(db),
      close: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
  }

  /** The relay's bus and database. */
  relay(bus: PostgresBus, database: Database): { readonly bus: Bus; readonly database: Database } {
    const watched: Bus = {
      ...boundTo<Bus>(bus),
      publish: async (topic, messages) => {
        this.point('relay')
        await bus.publish(topic, messages)
        this.point('relay')
      },
    }
    const query: Database['query'] = async (asked, params) => {
      const result = await database.query(asked, params)
      if (asked.name === 'relay-outbox.remove') this.point('relay')
      return result as never // the row type is the caller's
    }
    return { bus: watched, database: over(database, query) }
  }

  /** The bus as the executor's consumer has it: its acknowledgement. */
  acks(database: Database): Database {
    const query: Database['query'] = async (asked, params) => {
      if (asked.name === 'bus.settle') this.point('ack')
      const result = await database.query(asked, params)
      if (asked.name === 'bus.settle') this.point('ack')
      return result as never // the row type is the caller's
    }
    return over(database, query)
  }

  llm(inner: Llm): Llm {
    return {
      call: async (request, options) => {
        const answer = await inner.call(request, options)
        this.point('answer')
        return answer
      },
    }
  }

  target(inner: Target): Target {
    return {
      ...boundTo(inner),
      execute: async (...args: Parameters<Target['execute']>) => {
        this.point('effect')
        const outcome = await inner.execute(...args)
        this.point('effect')
        return outcome
      },
    }
  }
}

function over(database: Database, query: Database['query']): Database {
  return { ...boundTo(database), query }
}

/** All that an object has, methods of its class too, as they are called on it. */
function boundTo<T extends object>(inner: T): T {
  const members: Record<string, unknown> = {}
  for (
    let owner: object | null = inner;
    owner && owner !== Object.prototype;
    owner = Object.getPrototypeOf(owner) as object | null
  ) {
    for (const key of Reflect.ownKeys(owner)) {
      if (key in members || key === 'constructor') continue
      const value: unknown = Reflect.get(inner, key)
      Reflect.set(members, key, typeof value === 'function' ? value.bind(inner) : value)
    }
  }
  return members as T // every member of T is there
}

/** All parts at work until nothing of the run is left to do. */
export async function drive({ db, ...at }: Surroundings, bench: Bench, mortal: Mortal): Promise<void> {
  const artifacts = new FileArtifacts(at.artifacts)
  const clock = systemClock
  const log = silentLog
  const stop = new AbortController()
  const bus = new PostgresBus({ database: db, clock, log })
  const executorBus = new PostgresBus({ database: mortal.acks(db), clock, log })
  const outbox = new RelayOutbox({ ...mortal.relay(bus, db), clock, log, leaseMs: 200 })
  const live = ['github']
  const intake = new Desk({ systems: [{ system: 'github', types: githubActionTypes }], outbox, live })
  const endpoint = { api: 'anthropic', baseUrl: `${at.llm}/v1`, nativeOutput: true, key: new Secret('key') } as const
  const consumer = executor(
    bench.deps(mortal.database(db), {
      outbox,
      intake,
      llm: mortal.llm(vercelLlm({ endpoint: () => endpoint })),
      artifacts: {
        ...bench.deps().artifacts,
        read: (path) => artifacts.read(path),
        write: async (path, content) => {
          mortal.point('artifact')
          await artifacts.write(path, content)
          mortal.point('artifact')
        },
      },
      owner: `process-${process.pid}`,
    }),
  )
  const target = githubTarget(at.github, clock, { probeAfterMs: [0, 0] })
  const actions = actionExecutor({
    db,
    outbox,
    codex: { current: () => bench.snapshot },
    targetOf: () => mortal.target(target),
    live,
    owner: `process-${process.pid}`,
    cache: testCache(db),
    clock,
    log,
    random: () => 0.5,
  })
  const work = [
    outbox.relay(stop.signal),
    executorBus.consume(consumer.subscription, consumer.handle, stop.signal),
    bus.consume(actions.consumer.subscription, actions.consumer.handle, stop.signal),
    actions.sweeper.run(stop.signal),
  ]
  const until = Date.now() + 30_000
  while (!(await idle(db, bench))) {
    if (Date.now() > until) throw new Error(`not done: ${JSON.stringify(await outcome({ db, ...at }, bench))}`)
    await clock.sleep(20)
  }
  stop.abort()
  await Promise.all(work)
  await Promise.all([bus.close(), executorBus.close()])
}

async function idle(db: Database, bench: Bench): Promise<boolean> {
  const { rows } = await db.query<{ open: number }>(statement('idle', idleSql), [bench.id])
  return rows[0]?.open === 0
}

export interface Outcome {
  readonly state: unknown
  readonly lost: number
  readonly actions: readonly unknown[]
  readonly ledger: object
  readonly problems: readonly string[]
  readonly audited: number
  readonly transcript: boolean
}

export async function outcome({ db, ...at }: Surroundings, bench: Bench): Promise<Outcome> {
  const artifacts = new FileArtifacts(at.artifacts)
  const { state, transcript_ref } = await bench.row()
  const { open, charged, reserved, consumed, tokens } = await bench.ledger()
  const { rows } = await db.query<{ state: string }>(statement('states', statesSql), [bench.id])
  return {
    state,
    lost: (await bench.journal()).filter((line) => line.endsWith('LOST')).length,
    actions: rows.map((row) => row.state),
    ledger: { open, charged, reserved, balanced: consumed === tokens },
    problems: (await verifyLedger(db)).problems,
    audited: await audited(db, bench),
    transcript: typeof transcript_ref === 'string' && (await artifacts.read(transcript_ref)) !== null,
  }
}

async function audited(db: Database, bench: Bench): Promise<number> {
  const { rows } = await db.query<{ n: number }>(statement('audited', auditedSql), [topics.audit, bench.id])
  return rows[0]?.n ?? 0
}

const idleSql = `
SELECT (SELECT count(*) FROM guild_core.invocations WHERE id = $1 AND state NOT IN ('COMPLETED', 'STOPPED', 'FAILED', 'DEAD'))::integer
  + (SELECT count(*) FROM guild_core.actions WHERE invocation_id = $1
     AND state NOT IN ('SUCCEEDED', 'FAILED', 'DENIED', 'EXPIRED', 'SHADOWED'))::integer
  + (SELECT count(*) FROM guild_core.outbox)::integer + (SELECT count(*) FROM guild_bus.deliveries)::integer
  + (SELECT count(*) FROM guild_bus.held)::integer AS open`
const statesSql = 'SELECT state FROM guild_core.actions WHERE invocation_id = $1 ORDER BY lane'
const auditedSql = `
SELECT count(DISTINCT message_id)::integer AS n FROM guild_bus.messages
WHERE topic = $1 AND body ->> 'event_type' = 'AGENT_INVOCATION' AND body ->> 'invocation_id' = $2`
