import { statements } from '../database/statements.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Service } from '../kernel/service.ts'
import type { ActionExecutorDeps, ActionLanes } from './lanes.ts'
import { type RecordedAction, recordAction } from './records.ts'

const sql = statements(import.meta.url, './sweeper.sql', ['survey', 'expire', 'expireApprovals', 'freeMeanings'])

const pollMs = 3_000
const pollMsMin = 50
/** A look costs more the more is open: the next one comes no sooner than so many times what the last one took. */
const restPerLook = 4
/** `LIMIT` of the survey. */
const lookMax = 512
/** A READY action younger than this has a message on its way. */
const lostAfterMs = 5_000

/** Finds what is due in one statement every 3 s, sooner when something is known to fall due. */
export class ActionSweeper implements Service {
  readonly name = 'action-sweeper'
  readonly #deps: ActionExecutorDeps
  readonly #lanes: ActionLanes
  readonly #running = new Map<string, Promise<void>>()
  /** Found due by the last look, and no room for them yet. */
  #waiting: string[] = []
  /** The last look was cut off: there may be more to find. */
  #more = false
  #lookMs = 0
  #nextAt = 0
  #wake: AbortController = new AbortController()

  constructor(deps: ActionExecutorDeps, lanes: ActionLanes) {
    this.#deps = deps
    this.#lanes = lanes
  }

  /** Something falls due then: look at it no later. */
  wakeAt(at: Date): void {
    if (at.getTime() >= this.#nextAt) return
    this.#nextAt = at.getTime()
    this.#wake.abort()
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#nextAt = this.#deps.clock.now().getTime() + pollMs
      try {
        const swept = await this.sweep(signal)
        await this.#deps.sweeps?.done('actions', pollMs, swept)
      } catch (error) {
        this.#deps.log.warn({ error: reasonOf(error) }, 'action sweep failed')
        await this.#deps.sweeps?.failed('actions', pollMs, error)
      }
      await this.#sleep(signal)
    }
    await Promise.all(this.#running.values())
  }

  /** One look. Starts lanes that are due and does not wait for them. @returns what it found */
  async sweep(signal: AbortSignal): Promise<Swept> {
    const now = this.#deps.clock.now()
    const began = performance.now()
    const { rows } = await this.#deps.db.query<Due>(sql.survey, [now, lostAfterMs, lookMax])
    this.#lookMs = performance.now() - began
    const expired = rows.filter(({ kind }) => kind === 'expired')
    if (expired.length > 0)
      await this.#expire(
        expired.map(({ id }) => id),
        now,
      )
    this.#more = rows.length >= lookMax
    this.#waiting = []
    for (const { id, kind, at } of rows) {
      if (kind !== 'due') continue
      if (at > now) this.wakeAt(at)
      else if (!this.#running.has(id)) this.#waiting.push(id)
    }
    return { started: this.#startWaiting(signal), expired: expired.length }
  }

  /** Resolves when what the last looks have found is over, also what had to wait for room. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values())
  }

  /** As many as there is room for. What became of them since they were found their lanes will see. */
  #startWaiting(signal: AbortSignal): number {
    let started = 0
    while (this.#running.size < (this.#deps.maxInFlight ?? 16) && !signal.aborted) {
      const id = this.#waiting.shift()
      if (id === undefined) break
      this.#start(id, signal)
      started += 1
    }
    return started
  }

  #start(id: string, signal: AbortSignal): void {
    const work = this.#lanes
      .drain(id, signal)
      .catch((error: unknown) => this.#deps.log.warn({ actionId: id, error: reasonOf(error) }, 'action lane failed'))
      .finally(() => {
        this.#running.delete(id)
        // After an outage everything is due at once, and no message announces it: the next one follows when there is room.
        this.#startWaiting(signal)
        if (this.#more && this.#waiting.length === 0) this.wakeAt(this.#deps.clock.now())
      })
    this.#running.set(id, work)
  }

  /** Until something falls due or is announced, and no sooner than the last look allows. */
  async #sleep(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps
    this.#wake = new AbortController()
    const restedAt = clock.now().getTime() + Math.min(pollMs, restPerLook * this.#lookMs)
    for (;;) {
      const ms = Math.max(this.#nextAt, restedAt) - clock.now().getTime()
      if (ms <= 0 || signal.aborted) break
      await clock.sleep(Math.max(pollMsMin, ms), AbortSignal.any([signal, this.#wake.signal]))
      if (!this.#wake.signal.aborted) break
      this.#wake = new AbortController()
    }
  }

  async #expire(ids: readonly string[], now: Date): Promise<void> {
    const { db, outbox } = this.#deps
    await db.transaction(async (tx) => {
      const { rows } = await tx.query<RecordedAction>(sql.expire, [ids, now])
      const gone = rows.map(({ id }) => id)
      if (gone.length === 0) return
      await tx.query(sql.expireApprovals, [gone, now])
      await tx.query(sql.freeMeanings, [gone])
      const reason = 'its time ran out'
      const audit = { event_type: 'ACTION_EXPIRED', actor: 'system:actions', result: 'FAILURE', error: reason } as const
      for (const action of rows)
        await recordAction(tx, outbox, action, { at: now, stage: 'action', outcome: 'EXPIRED', reason, audit })
    })
  }
}

interface Swept extends Readonly<Record<string, number>> {
  readonly started: number
  readonly expired: number
}

interface Due {
  readonly id: string
  readonly kind: 'due' | 'expired'
  readonly at: Date
}
