import { recordDecisions, type Decision } from '../audit/decisions.ts'
import type { Database, Queryable } from '../database/database.ts'
import { gathered } from '../database/gathered.ts'
import { statements } from '../database/statements.ts'
import { type Redactor, standardRedactor } from '../guards/privacy/redact.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError, isGuildError } from '../kernel/errors.ts'
import type { JsonValue } from '../kernel/json.ts'
import { type Entry, together } from './entry.ts'
import type { Invocation } from './invocation.ts'
import { cleanRow, cleanStep } from './clean-step.ts'
import { storableText, type Step } from './step.ts'

const plain = statements(import.meta.url, './journal.sql', [
  'claim',
  'claimMany',
  'load',
  'loadMany',
  'look',
  'hear',
  'hearMany',
  'write',
  'writeMany',
  'beat',
  'noteUsage',
  'over',
  'forgetTranscript',
])
/** Many runs are under way in one executor, and their journals are written together. */
const sql = {
  ...plain,
  claim: gathered(plain.claim, plain.claimMany),
  load: gathered(plain.load, plain.loadMany),
  hear: gathered(plain.hear, plain.hearMany),
  write: gathered(plain.write, plain.writeMany, {
    merge: (calls) => [
      calls.map(([id]) => String(id)),
      calls.map(([, epoch]) => Number(epoch)),
      `[${calls.map(([, , steps]) => String(steps)).join(',')}]`,
      `[${calls.map(([, , , entry]) => String(entry)).join(',')}]`,
    ],
  }),
}
/** The claim is in invocation.ts. */
export const claimStatements = sql

type Granted = Pick<Invocation, 'granted_tokens' | 'granted_cost_micros'>

interface Written extends Granted {
  readonly own: number
  readonly written: number
  readonly cancel: string | null
}

/** `beside` writes what the rest need not wait for, and what locks nothing that others hold. */
type Work = (tx: Queryable) => Promise<Entry & { readonly beside?: (tx: Queryable) => Promise<void> }>

interface Held {
  readonly entry: Entry
  /** set: an answer that was paid for, with what its commit owes to the ledger */
  readonly settle: ((tx: Queryable) => Promise<void>) | null
}

/**
 * The journal of one run, as its owner holds it. Every write carries the epoch of the lease: zero rows mean that another worker has
 * taken over (or a person has cancelled), and reject with GUILD_LEASE_LOST, upon which the caller stops at once.
 */
export class Journal {
  readonly invocation: Invocation
  readonly #db: Database
  readonly #clock: Clock
  readonly #redactor: Redactor
  readonly #steps: Map<string, Step>
  #inOrder: readonly Step[] | null = null
  #doneInOrder: readonly Step[] | null = null
  readonly #held: Held[] = []
  readonly #heldDecisions: Decision[] = []
  #cancelled: string | null
  #granted: Granted

  constructor(
    db: Database,
    clock: Clock,
    invocation: Invocation,
    steps: readonly Step[],
    redactor: Redactor = standardRedactor,
  ) {
    this.#db = db
    this.#clock = clock
    this.#redactor = redactor
    this.invocation = invocation
    this.#cancelled = invocation.cancel
    this.#granted = invocation
    this.#steps = new Map(steps.map((step) => [keyOf(step), step]))
  }

  /** Every attempt, in order of `seq` and attempt; the same list until one is added. */
  get all(): readonly Step[] {
    this.#inOrder ??= [...this.#steps.values()].sort((a, b) => a.seq - b.seq || a.attempt - b.attempt)
    return this.#inOrder
  }
  get done(): readonly Step[] {
    this.#doneInOrder ??= this.all.filter((step) => step.status === 'DONE')
    return this.#doneInOrder
  }
  attemptsAt(seq: number): readonly Step[] {
    return this.all.filter((step) => step.seq === seq)
  }
  doneAt(seq: number): Step | null {
    return this.attemptsAt(seq).find((step) => step.status === 'DONE') ?? null
  }
  nextAttempt(seq: number): number {
    return (this.attemptsAt(seq).at(-1)?.attempt ?? 0) + 1
  }
  /** The first step that is not done: what an attempt that ends now has failed at. */
  get firstUnfinished(): number {
    return Math.max(-1, ...this.done.map((step) => step.seq)) + 1
  }
  /** Set: the run is to end at its next edge, for this reason. As of the last write. */
  get cancelled(): string | null {
    return this.#cancelled
  }
  /** What people have given on top of the manifest's limits, also while it runs. As of the last write. */
  get granted(): Granted {
    return this.#granted
  }
  /** Now, as steps and decisions carry it. */
  get at(): string {
    return this.#clock.now().toISOString()
  }

  /** Written with the next write: saves a round trip for what may be lost without harm, because it would be done again. */
  hold(given: Entry): void {
    this.#hold(given, null)
  }

  /**
   * An answer that was paid for: `settle` comes first in the next transaction, whatever that is for. Nobody may wait for anything outside
   * the database before then (`flush`); and when that transaction fails, the answer is kept all the same.
   */
  holdAnswer(given: Entry, settle: (tx: Queryable) => Promise<void>): void {
    this.#hold(given, settle)
  }
  get holdsAnswer(): boolean {
    return this.#held.some(({ settle }) => settle !== null)
  }

  /** Writes what is held. */
  async flush(): Promise<void> {
    if (this.#held.length > 0) await this.write({})
  }

  /** What people have said while the answer that is held was made; else the last write has told. */
  async hear(): Promise<void> {
    if (!this.holdsAnswer) return
    const { rows } = await this.#db.query<Granted & Pick<Written, 'cancel'>>(sql.hear, [this.invocation.id])
    const [news] = rows
    if (!news) return
    this.#cancelled = news.cancel
    this.#granted = news
  }

  /** A decision record, written with the next write. */
  note(decision: Pick<Decision, 'stage' | 'outcome' | 'reason'> & Partial<Decision>): void {
    const { id, event_id, agent_id, codex_commit } = this.invocation
    this.#heldDecisions.push({ at: this.at, event_id, agent_id, invocation_id: id, codex_commit, ...decision })
  }

  /** One statement, or a transaction of two when decisions are held. */
  async write(given: Entry): Promise<void> {
    if (this.#heldDecisions.length > 0 || this.holdsAnswer) return this.transact(() => Promise.resolve(given))
    const entry = this.#clean(given)
    const held = this.#held.length
    await this.#write(this.#db, entry)
    this.#committed(entry, held, 0)
  }

  /**
   * Commits what `work` did together with the steps it returns. `work` comes first, so that everybody locks budgets and actions before
   * the row of a run; it may run again after a deadlock. It does not see what a held answer has cost.
   */
  async transact(work: Work): Promise<void> {
    const { holdsAnswer } = this
    try {
      await this.#transact(work)
    } catch (error) {
      const over = isGuildError(error, 'GUILD_LEASE_LOST') || isGuildError(error, 'GUILD_DATABASE_UNAVAILABLE')
      if (!holdsAnswer || over) throw error
      // What an answer has set off must not cost the answer.
      await this.#transact(() => Promise.resolve({}))
      await this.#transact(work)
    }
  }

  async #transact(work: Work): Promise<void> {
    const [held, decisions] = [this.#held.length, this.#heldDecisions.length]
    const entry = await this.#db.transaction(async (tx) => {
      // All that needs no answer is asked in one breath, in this order: budgets, what the work locks, the row of the run.
      const settled = this.#held.slice(0, held).map(({ settle }) => settle?.(tx))
      const written = work(tx).then(async ({ beside, ...given }) => {
        const result = this.#clean(given)
        await Promise.all([
          this.#write(tx, result),
          recordDecisions(tx, this.#heldDecisions.slice(0, decisions), this.#redactor),
          beside?.(tx),
        ])
        return result
      })
      const [result] = await Promise.all([written, ...settled])
      return result
    })
    this.#committed(entry, held, decisions)
  }

  /** Keeps what the provider reported at the start of its answer: it is charged if the rest never comes. */
  async noteUsage(step: Step, usage: JsonValue): Promise<void> {
    await this.#db.query(sql.noteUsage, [...this.#own, step.seq, step.attempt, storableText(usage)])
  }

  /** Extends the lease. @returns false: it is no longer ours */
  async beat(leaseMs: number): Promise<boolean> {
    const { rows } = await this.#db.query(sql.beat, [...this.#own, leaseMs])
    return rows.length === 1
  }

  /** No secret reaches a row, whoever put it into a step; and what is kept in memory is what the row says. */
  #clean({ steps, row }: Entry): Entry {
    return {
      ...(steps && { steps: steps.map((step) => cleanStep(step, this.#redactor)) }),
      ...(row && { row: cleanRow(row, this.#redactor) }),
    }
  }

  get #own(): readonly [string, number] {
    return [this.invocation.id, this.invocation.lease_epoch]
  }

  async #write(tx: Queryable, entry: Entry): Promise<void> {
    const { steps, row } = together([...this.#held.map((held) => held.entry), entry])
    const { rows } = await tx.query<Written>(sql.write, [...this.#own, storableText(steps), storableText(row)])
    if (rows[0]?.own !== 1) throw new GuildError('GUILD_LEASE_LOST', { id: this.invocation.id })
    this.#cancelled = rows[0].cancel
    this.#granted = rows[0]
    if (rows[0].written !== steps.length) {
      const names = steps.map(({ seq, kind, name }) => `${seq} ${kind} ${name}`).join(', ')
      throw new GuildError('GUILD_INTERNAL', {
        why: `a finished step of ${this.invocation.id} was to be written: ${names}`,
      })
    }
  }

  #hold(given: Entry, settle: Held['settle']): void {
    const entry = this.#clean(given)
    this.#held.push({ entry, settle })
    for (const step of entry.steps ?? []) this.#keep(step)
  }

  #committed(entry: Entry, held: number, decisions: number): void {
    for (const step of entry.steps ?? []) this.#keep(step)
    this.#held.splice(0, held)
    this.#heldDecisions.splice(0, decisions)
  }

  #keep(step: Step): void {
    this.#steps.set(keyOf(step), step)
    this.#inOrder = null
    this.#doneInOrder = null
  }
}

function keyOf({ seq, attempt }: Step): string {
  return `${seq}:${attempt}`
}
