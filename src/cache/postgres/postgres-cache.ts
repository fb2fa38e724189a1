import type { Database, Param } from '../../database/database.ts'
import { statements } from '../../database/statements.ts'
import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import {
  checkFields,
  checkKey,
  checkKeys,
  checkTtl,
  checkValue,
  limitToWire,
  tooManyFields,
  toWire,
} from '../cache-rules.ts'
import {
  bounds,
  type Cache,
  type Counted,
  type CountedWrite,
  type Counter,
  type Hash,
  holdMs,
  type RateLimit,
  type RateRequest,
  type RateState,
  type RateVerdict,
} from '../cache.ts'
import { type CounterStore, Counting, type Opened, rebuildMs } from '../counting.ts'

const sql = statements(import.meta.url, './cache.sql', [
  'take',
  'peek',
  'get',
  'set',
  'extend',
  'delete',
  'putHash',
  'hashes',
  'counterOpen',
  'counterFill',
  'counterSettle',
  'sweep',
  'vacuum',
])

export interface PostgresCacheDeps {
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
  /** Whose time decides. Default `database`, which all processes share; `clock` is for tests that move time. */
  readonly time?: 'database' | 'clock'
}

/** Of each table, in one statement. */
const sweepMax = 1_000

/** The cache in schema `guild_cache` of the product's own database (migrations/0016_cache.sql). One statement per call. */
export class PostgresCache implements Cache {
  readonly kind = 'postgres'
  readonly #deps: PostgresCacheDeps
  readonly #counting: Counting

  constructor(deps: PostgresCacheDeps) {
    this.#deps = deps
    const { database, clock, log } = deps
    this.#counting = new Counting(
      counterStore(database, () => this.#now()),
      clock,
      log,
    )
  }

  async take(requests: readonly RateRequest[]): Promise<readonly RateVerdict[]> {
    const wire = toWire(requests)
    return wire.length === 0 ? [] : this.#rows<RateVerdict>(sql.take, [JSON.stringify(wire), this.#now()])
  }

  async peek(limits: readonly RateLimit[]): Promise<readonly RateState[]> {
    const wire = limits.map(limitToWire)
    return wire.length === 0 ? [] : this.#rows<RateState>(sql.peek, [JSON.stringify(wire), this.#now()])
  }

  async get(key: string): Promise<string | null> {
    checkKey(key)
    return (await this.#rows<{ value: string | null }>(sql.get, [key, this.#now()]))[0]?.value ?? null
  }

  async set(key: string, value: string, options: { ttlMs: number; ifAbsent?: boolean }): Promise<boolean> {
    const { ttlMs, ifAbsent = false } = options
    checkKey(key)
    checkValue(key, value)
    checkTtl(key, ttlMs)
    const { count } = await this.#deps.database.query(sql.set, [key, value, ttlMs, ifAbsent, this.#now()])
    return count > 0
  }

  async extend(key: string, value: string, ttlMs: number): Promise<boolean> {
    checkKey(key)
    checkTtl(key, ttlMs)
    checkValue(key, value)
    return (await this.#deps.database.query(sql.extend, [key, value, ttlMs, this.#now()])).count > 0
  }

  async delete(key: string, value?: string): Promise<boolean> {
    checkKey(key)
    if (value !== undefined) checkValue(key, value)
    return (await this.#rows(sql.delete, [key, value ?? null, this.#now()])).length > 0
  }

  async putHash(key: string, fields: Record<string, string | null>, { ttlMs }: { ttlMs: number }): Promise<void> {
    checkKey(key)
    checkFields(key, fields)
    checkTtl(key, ttlMs)
    const put = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
    const gone = Object.keys(fields).filter((name) => fields[name] === null)
    const params = [key, JSON.stringify(put), gone, ttlMs, bounds.fieldsMax, bounds.valueBytesMax, this.#now()]
    const { count } = await this.#deps.database.query(sql.putHash, params)
    if (count === 0) throw tooManyFields(key)
  }

  async hashes(keys: readonly string[]): Promise<readonly (Hash | null)[]> {
    checkKeys(keys)
    if (keys.length === 0) return []
    const rows = await this.#rows<{ key: string; fields: Hash }>(sql.hashes, [keys, this.#now()])
    const found = new Map(rows.map(({ key, fields }) => [key, fields]))
    return keys.map((key) => found.get(key) ?? null)
  }

  count(counter: Counter): Promise<number> {
    return this.#counting.count(counter)
  }

  counted<T>(counter: Counter, id: string, write: CountedWrite<T>): Promise<Counted<T>> {
    return this.#counting.counted(counter, id, write)
  }

  async sweep(): Promise<number> {
    const { database } = this.#deps
    const { rows } = await database.query<{ count: number }>(sql.sweep, [sweepMax, this.#now()])
    const count = rows[0]?.count ?? 0
    // The embedded engine has no autovacuum: without this a limit that is used all day would leave its every state behind.
    if (database.kind === 'pglite') await database.query(sql.vacuum)
    return count
  }

  /** The database is not closed with it. */
  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  async #rows<Row>(statement: (typeof sql)[keyof typeof sql], params: readonly Param[]): Promise<readonly Row[]> {
    return (await this.#deps.database.query<Row>(statement, params)).rows
  }

  #now(): Date | null {
    return this.#deps.time === 'clock' ? this.#deps.clock.now() : null
  }
}

function counterStore(database: Database, now: () => Date | null): CounterStore {
  return {
    async open(key, id, ticket) {
      const params = [key, id, holdMs, rebuildMs, bounds.operationsMax, ticket, now()]
      const { rows } = await database.query<CounterRow>(sql.counterOpen, params)
      return openedOf(rows[0])
    },
    async fill(key, ticket, count, ttlMs) {
      const { rows } = await database.query<{ filled: boolean }>(sql.counterFill, [key, ticket, count, ttlMs, now()])
      return rows[0]?.filled ?? false
    },
    async settle(key, id, added) {
      const { rows } = await database.query<{ count: number | null }>(sql.counterSettle, [key, id, added, now()])
      return rows[0]?.count ?? null
    },
  }
}

interface CounterRow {
  readonly kind: 'open' | 'rebuild' | 'wait'
  readonly count: number | null
  readonly except: readonly string[] | null
}

function openedOf(row: CounterRow | undefined): Opened {
  if (row?.kind === 'open') return { kind: 'open', count: row.count ?? 0 }
  if (row?.kind === 'rebuild') return { kind: 'rebuild', except: row.except ?? [] }
  return { kind: 'wait' }
}
