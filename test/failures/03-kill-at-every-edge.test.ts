// Mutations, each tried by hand:
// - src/executor/executor.ts, a run that is over is acknowledged without `restoreTranscript`: "before the transcript" finds none.
// - src/executor/call-model.ts, without `chargeLost`: a run does not end with its books closed.
// - src/executor/journal.sql, `load` without the model's finished steps: the run never ends, its journal refuses to write them again.
// - src/actions/targets/github, a probe that finds nothing and comments without the mark of their thread: "before the transcript", when an
//   effect was under way too, makes a second comment. With the mark alone the second one edits the first.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { PostgresBus } from '../../src/bus/postgres/postgres-bus.ts'
import type { Database } from '../../src/database/database.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { agentTopic } from '../../src/kernel/topics.ts'
import { takeOver } from '../../src/processes/take-over.ts'
import { openTestDatabase } from '../database.ts'
import { Bench } from '../executor-bench.ts'
import { serveDatabase } from '../ipc-database.ts'
import { drive, Mortal, outcome, runSetup, type Surroundings } from '../small-guild.ts'
import { FakeGithub } from '../fake-github.ts'
import { executorTrips, journalEdges } from '../journal-edges.ts'
import { startAnthropicFake } from '../wire/anthropic.ts'
import type { Fake, FakeRequest } from '../wire/fake.ts'

const script = fileURLToPath(new URL('../executor-child.ts', import.meta.url))
const modelCalls = 3
const bodies = ['one', 'two']

let github: FakeGithub
let model: Fake
let db: Database
let artifacts: string

beforeAll(async () => {
  db = await openTestDatabase()
  artifacts = await mkdtemp(join(tmpdir(), 'guild-edges-'))
  github = await FakeGithub.open()
  model = await startAnthropicFake((request) => {
    const turn = turnOf(request)
    if (turn === 0) return { kind: 'say', calls: [{ id: 'toolu_s', name: 'github__search', args: { q: 'x' } }] }
    if (turn > 1) return { kind: 'say', text: 'Done.' }
    const number = numberOf(request)
    return {
      kind: 'say',
      // Two subjects: a second comment of one agent on one subject would replace the first.
      calls: bodies.map((body, index) => ({
        id: `toolu_${body}`,
        name: 'GITHUB_COMMENT',
        args: { repo: 'octo/shop', number: number + index * 10_000, body },
      })),
    }
  })
})
afterAll(async () => {
  await Promise.all([github[Symbol.asyncDispose](), model.close(), db.close()])
  await rm(artifacts, { recursive: true, force: true, maxRetries: 5 })
})

describe('kill -9 of an executor', { timeout: 300_000 }, () => {
  it('the list of edges is complete: a whole run makes exactly these round trips, in this order', async () => {
    const bench = await newRun(1_000)
    const immortal = new Mortal(null)
    await drive(surroundings(), bench, immortal)
    expect(immortal.trips.map(nameOf)).toEqual(executorTrips.map(kindOf))
  })

  it(`at each of ${journalEdges.length} edges → no completed model call repeated, no action repeated, none lost, the ledger adds up`, async () => {
    let next: Child | null = await Child.ready()
    for (const [index, edge] of journalEdges.entries()) {
      const number = index + 1
      const bench = await newRun(number)
      const child: Child = next ?? (await Child.ready())
      next = null
      expect({ edge: edge.name, signal: await child.live(number, edge.at) }).toEqual({
        edge: edge.name,
        signal: 'SIGKILL',
      })
      // The next one starts while this process does what a guild does that finds the work of a dead one.
      const starting = index + 1 < journalEdges.length ? Child.ready() : null
      await takeOver(db)
      await drive(surroundings(), bench, new Mortal(null))
      const { lost, ...run } = await outcome(surroundings(), bench)
      const asked = model.requests.filter((request) => numberOf(request) === number).length
      const comments = github.things.filter(({ place }) =>
        [number, number + 10_000].some((subject) => place === `/repos/octo/shop/issues/${subject}/comments`),
      )
      expect({
        edge: edge.name,
        ...run,
        comments: comments.map((comment) => String(comment['body']).split('\n')[0] ?? '').toSorted(),
        // Of the calls only the one whose answer was not stored is made again, and then it is in the books twice.
        repeatedMost: asked - modelCalls <= lost && lost <= 1,
      }).toEqual({
        edge: edge.name,
        state: 'COMPLETED',
        actions: ['SUCCEEDED', 'SUCCEEDED'],
        ledger: { open: 0, charged: modelCalls + lost, reserved: 0, balanced: true },
        problems: [],
        audited: 1,
        transcript: true,
        comments: bodies,
        repeatedMost: true,
      })
      next = starting && (await starting)
    }
  })
})

function surroundings(): Surroundings {
  return { db, artifacts, github: github.url, llm: model.url }
}

async function newRun(number: number): Promise<Bench> {
  const bench = await Bench.open(db, runSetup(number), { is: number, made: false })
  const bus = new PostgresBus({ database: db, clock: systemClock, log: silentLog })
  await bus.publish(agentTopic(bench.agent.id), [{ id: bench.id, body: { invocation_id: bench.id } }])
  await bus.close()
  return bench
}

/** A process that waits for the run in which it will die. */
class Child {
  readonly #process: ChildProcess
  readonly #stderr: Promise<string>

  private constructor(child: ChildProcess) {
    this.#process = child
    this.#stderr = child.stderr ? text(child.stderr) : Promise.resolve('')
  }

  static async ready(): Promise<Child> {
    const child = spawn(process.execPath, [script], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
      signal: AbortSignal.timeout(120_000),
      // The same modules thirty times: compiled once.
      env: { ...process.env, NODE_COMPILE_CACHE: join(artifacts, 'compiled') },
    })
    const started = new Child(child)
    const exit = once(child, 'exit').then(async () => Promise.reject(new Error(await started.#stderr)))
    await Promise.race([once(child, 'message'), exit])
    exit.catch(() => undefined) // from here on it is expected
    return started
  }

  /** @returns the signal that ended it; null: it lived to the end of the run */
  async live(run: number, dieAt: string): Promise<unknown> {
    const exit = once(this.#process, 'exit')
    serveDatabase(db, this.#process)
    const { github: at, llm } = { github: github.url, llm: model.url }
    this.#process.send({ run, dieAt, artifacts, github: at, llm })
    const [code, signal] = (await exit) as [number | null, string | null]
    if (code) throw new Error(await this.#stderr)
    return signal
  }
}

/** How often the model has answered before. */
function turnOf(request: FakeRequest): number {
  const { messages } = z.object({ messages: z.array(z.object({ role: z.string() })) }).parse(request.body)
  return messages.filter(({ role }) => role === 'assistant').length
}

function numberOf(request: FakeRequest): number {
  return Number(/Change (\d+)\./.exec(JSON.stringify(request.body))?.[1] ?? 0)
}

/** What an entry of the list must look like from the statements that it makes. */
function kindOf(name: string): string {
  if (name.endsWith('written')) return 'written'
  return name.split(',')[0] ?? name
}

function nameOf(statements: readonly string[]): string {
  const has = (name: string) => statements.includes(name)
  if (has('journal.claim')) return 'claim'
  if (has('ledger.reserve')) return 'T1'
  if (has('journal.noteUsage')) return 'usage noted'
  if (has('journal.hear')) return 'heard'
  if (!has('journal.write')) return statements.join(' ')
  if (!has('ledger.settle')) return 'written'
  if (has('desk.insertAction')) return 'T2 and actions'
  return has('relay-outbox.add') ? 'T2 and finish' : 'T2'
}
