import type { Database, Statement } from '../database/database.ts'
import { type Migration, loadMigrations, schemaState } from '../database/migrate.ts'
import { type Clock, systemClock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { LoopWatch } from './loop-watch.ts'
import type { Health } from './run-services.ts'

/** Not the lag of the bus: counting a backlog of many thousands for every probe would make it longer. */
const ping: Statement = { name: 'ping', text: 'SELECT 1' }
/** Shorter than the patience of any prober, longer than a busy store takes. */
const answerMs = 2_000
const schemaEveryMs = 15_000

export interface ReadinessDeps {
  readonly database: Database
  readonly health: Pick<Health, 'problems'>
  readonly loop: Pick<LoopWatch, 'stuckMs'>
  /** why what lives from the bus cannot work; absent: this process can do its work without (a gateway stores in the database) */
  readonly bus?: () => readonly string[]
  readonly log: Log
  readonly clock?: Clock
  readonly migrations?: readonly Migration[]
}

/**
 * Why this process should get no traffic, each reason led by the name of the check; none when it should. Anybody may ask, so reasons
 * carry no detail (it is in the log), and many questions at once cost one look.
 */
export class Readiness {
  readonly #deps: ReadinessDeps
  readonly #clock: Clock
  readonly #migrations: readonly Migration[]
  readonly #logged = new Map<string, string>()
  #leaving = false
  #looking: Promise<readonly string[]> | null = null
  #schema: { readonly reason: string | null; readonly atMs: number } | null = null

  constructor(deps: ReadinessDeps) {
    this.#deps = deps
    this.#clock = deps.clock ?? systemClock
    this.#migrations = deps.migrations ?? loadMigrations()
  }

  /** From now on it is not ready: it was told to stop. */
  leave(): void {
    this.#leaving = true
  }

  async reasons(): Promise<readonly string[]> {
    if (this.#leaving) return ['draining: the process was told to stop']
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  async #look(): Promise<readonly string[]> {
    const { health, loop, bus } = this.#deps
    const stuckMs = loop.stuckMs()
    const database = await this.#databaseReason()
    const schema = database === null ? await this.#schemaReason() : null
    const stuck = stuckMs > 0 ? `event loop: it stood still for ${stuckMs} ms` : null
    return [
      ...[stuck, database, schema].filter((reason) => reason !== null),
      ...(bus?.() ?? []).map((reason) => `bus: ${reason}`),
      ...health.problems(),
    ]
  }

  async #databaseReason(): Promise<string | null> {
    const enough = new AbortController()
    const silence = this.#clock.sleep(answerMs, enough.signal).then(() => {
      throw new Error(`no answer within ${answerMs} ms`)
    })
    const asked = this.#deps.database.query(ping)
    asked.catch(() => undefined) // may fail long after the answer was given up; told below while it was not
    silence.catch(() => undefined) // when the answer came first
    try {
      await Promise.race([asked, silence])
      this.#logged.delete('database')
      return null
    } catch (error) {
      this.#tell('database', reasonOf(error))
      return 'database: it does not answer; see the log'
    } finally {
      enough.abort()
    }
  }

  /**
   * Behind: somebody has put an old backup back, and nothing works on it. Ahead is what every rolling upgrade looks like to the processes
   * that are replaced last; they are told in the log and go on, for else an upgrade would take all of them out at once.
   */
  async #schemaReason(): Promise<string | null> {
    const nowMs = this.#clock.now().getTime()
    if (this.#schema && nowMs - this.#schema.atMs < schemaEveryMs) return this.#schema.reason
    try {
      const { have, need } = await schemaState(this.#deps.database, this.#migrations)
      if (have > need) this.#tell('schema', `it is at ${have}, this version knows ${need}: replace this process`)
      const reason = have < need ? `schema: it is at ${have}, this version needs ${need}` : null
      this.#schema = { reason, atMs: nowMs }
      return reason
    } catch (error) {
      this.#tell('schema', reasonOf(error))
      return 'schema: it cannot be read; see the log'
    }
  }

  /** Probes come every few seconds: the same line again would bury the others. */
  #tell(check: string, why: string): void {
    if (this.#logged.get(check) === why) return
    this.#logged.set(check, why)
    this.#deps.log.warn({ check, why }, 'readiness check failed')
  }
}
