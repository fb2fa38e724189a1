import { Approvals } from '../src/actions/approvals.ts'
import { Desk } from '../src/actions/desk.ts'
import { type ActionExecutorDeps, ActionLanes } from '../src/actions/lanes.ts'
import { ActionSweeper } from '../src/actions/sweeper.ts'
import type { Target } from '../src/actions/target.ts'
import { githubActionTypes } from '../src/actions/targets/github.ts'
import { type ActionView, listActions, listApprovals, type ApprovalView } from '../src/actions/views.ts'
import type { CodexSnapshot } from '../src/codex/snapshot.ts'
import type { Database } from '../src/database/database.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { silentLog } from '../src/kernel/log.ts'
import { Secret } from '../src/kernel/secret.ts'
import { type Sandbox, sandboxLogin, sandboxToken } from '../src/sandbox/sandbox.ts'
import { githubTarget, HandClock, tableOutbox } from './actions.ts'
import { testCache } from './cache.ts'
import { Bench, type BenchSetup } from './executor-bench.ts'

/** The clock of the machine, which a test may set forward; nobody sleeps. */
export class ShiftedClock extends HandClock {
  #aheadMs = 0
  override now(): Date {
    return new Date(Date.now() + this.#aheadMs)
  }
  override advance(ms: number): void {
    this.#aheadMs += Math.max(0, ms)
  }
}

/** One run on the real executor, desk and lanes, writing to the sandbox GitHub: everything between a model's words and a comment. */
export class Line {
  readonly bench: Bench
  readonly desk: Desk
  readonly approvals: Approvals
  readonly clock: ShiftedClock
  readonly #sandbox: Sandbox
  /** the Codex that serves now; the run stays pinned to its own */
  serving: CodexSnapshot

  private constructor(bench: Bench, sandbox: Sandbox, clock: ShiftedClock) {
    this.bench = bench
    this.clock = clock
    this.#sandbox = sandbox
    this.serving = bench.snapshot
    const live = ['github']
    this.desk = new Desk({ systems: [{ system: 'github', types: githubActionTypes }], outbox: tableOutbox, live })
    const codex = { current: () => this.serving }
    this.approvals = new Approvals({ desk: this.desk, outbox: tableOutbox, codex, clock, live })
  }

  static async open(db: Database, sandbox: Sandbox, setup: BenchSetup, clock = new ShiftedClock()): Promise<Line> {
    return new Line(await Bench.open(db, setup), sandbox, clock)
  }

  /** One delivery of the run's message to an executor over `database`. */
  run(database: Database = this.bench.db) {
    return this.bench.deliver(this.bench.deps(database, { intake: this.desk }))
  }

  /** The run is delivered again and again until its message is acknowledged. */
  finish(): Promise<number> {
    return this.bench.finish(this.bench.deps(undefined, { intake: this.desk }))
  }

  target(timeoutMs = 15_000): Target {
    const token = async () => new Secret(sandboxToken)
    return githubTarget(this.#sandbox.url, systemClock, {
      token,
      botLogin: sandboxLogin,
      timeoutMs,
      probeAfterMs: [0, 0],
    })
  }

  worker(over: Partial<ActionExecutorDeps> = {}, target = this.target()) {
    const deps: ActionExecutorDeps = {
      db: this.bench.db,
      outbox: tableOutbox,
      codex: { current: () => this.serving },
      targetOf: () => target,
      live: ['github'],
      owner: 'test',
      cache: testCache(this.bench.db, this.clock),
      clock: this.clock,
      log: silentLog,
      random: () => 0.5,
      ...over,
    }
    const lanes = new ActionLanes(deps)
    const sweeper = new ActionSweeper(deps, lanes)
    const signal = new AbortController().signal
    return {
      drain: (id: string) => lanes.drain(id, signal),
      sweep: async () => {
        await sweeper.sweep(signal)
        await sweeper.settled()
      },
    }
  }

  /** Everything that is announced or due, carried out. */
  async carryOut(): Promise<void> {
    for (const { id, state } of await this.actions())
      if (/READY|RETRY|HELD|AMBIGUOUS/.test(state)) await this.worker().drain(id)
  }

  actions(): Promise<readonly ActionView[]> {
    return listActions(this.bench.db, { invocationId: this.bench.id, limit: 200 })
  }

  async approval(): Promise<ApprovalView> {
    const waiting = await listApprovals(this.bench.db, { state: 'PENDING', limit: 200 })
    const found = waiting.find(({ invocation_id }) => invocation_id === this.bench.id)
    if (!found) throw new Error('nothing waits for a person')
    return found
  }

  /** What the model was told last. */
  told(): string {
    const last = this.bench.llm.requests.at(-1)?.messages.at(-1)
    return last?.role === 'tool' ? last.results.map(({ text }) => text).join('\n') : JSON.stringify(last)
  }

  /** GitHub as anybody sees it. */
  async github<T>(path: string): Promise<T> {
    const response = await fetch(`${this.#sandbox.url}${path}`, {
      headers: { authorization: `Bearer ${sandboxToken}` },
    })
    return (await response.json()) as T // the test says what it expects to read
  }
}

export const ada = { by: 'ada', channel: 'cli' } as const
