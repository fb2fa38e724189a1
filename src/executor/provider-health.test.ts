// Mutations (each made by hand, seen to fail, put back):
// - provider-health.sql, startTrial without its `retry_at` condition: 'lets one call of one process try' (two trials)
// - provider-health.sql, lockBreaker that returns no row on conflict: 'counts failures that happen at the same moment', and five others
// - provider-health.ts, the age check of `#refresh`: 'costs a sound provider one statement a second' (20)
// - provider-health.ts, `pauseMsMax`: 'and no longer than an hour'
// - provider-health.ts, `endTrial` in `leave`: 'gives a trial that was not made … to another call'
// - provider-health.ts, the `wait` branch of `enter`: the same (null instead of a block)
// - call-model.ts, `waitFor` for a pick that waits: 'without another model waits for the trial', 'whose rate is limited'
// - call-model.ts, `health.succeeded` with the answer: 'and so brings the provider back'
// - call-model.ts, `health.succeeded` in noteHealth: 'that is refused or too long says nothing against its provider'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { Bench, MortalDatabase } from '../../test/executor-bench.ts'
import type { Database } from '../database/database.ts'
import { systemClock } from '../kernel/clock.ts'
import { type ErrorCode, GuildError } from '../kernel/errors.ts'
import { ProviderHealth } from './provider-health.ts'

let db: Database
let family = ''
let count = 0
let now = new Date()
const clock = { ...systemClock, now: () => now }
const later = (ms: number) => (now = new Date(now.getTime() + ms))

beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())
beforeEach(() => {
  family = `health-${(count += 1)}`
  now = new Date('2026-11-22T08:00:00Z')
})

const aProcess = (database: Database = db) => new ProviderHealth({ database, clock, family })
const fail = (health: ProviderHealth, retryAfterMs?: number) =>
  db.transaction((tx) => health.failed(tx, 'acme', '529 Overloaded', retryAfterMs))
const succeed = (health: ProviderHealth) => db.transaction((tx) => health.succeeded(tx, 'acme'))
async function cutOff(health: ProviderHealth): Promise<void> {
  for (let n = 0; n < 5; n += 1) await fail(health)
}

describe('the breaker of a provider', () => {
  it('opens for all processes after five failures in a row, and not after four', async () => {
    const [one, other] = [aProcess(), aProcess()]
    for (let n = 0; n < 4; n += 1) expect(await fail(n % 2 === 0 ? one : other)).toBeNull()
    expect(await other.blocked(['acme'])).toEqual(new Map())
    expect(await fail(one)).toMatchObject({ state: 'OPEN' })
    later(1_000)
    expect((await other.blocked(['acme', 'else'])).get('acme')).toEqual({
      until: new Date('2026-11-22T08:00:30Z'),
      why: 'acme is cut off after failures: 529 Overloaded',
      open: true,
    })
  })

  it('counts failures that happen at the same moment', async () => {
    await Promise.all(Array.from({ length: 5 }, () => fail(aProcess())))
    expect((await aProcess().blocked(['acme'])).size).toBe(1)
  })

  it('lets one call of one process try, closes with its answer, and waits twice as long after its failure', async () => {
    const [one, other] = [aProcess(), aProcess()]
    await cutOff(one)
    later(30_000)
    for (const health of [one, other]) expect((await health.blocked(['acme'])).size).toBe(0)
    const entered = await Promise.all([one.enter('acme'), other.enter('acme')])
    expect(entered.filter((blocked) => blocked === null)).toHaveLength(1)
    later(1_000)
    expect((await other.blocked(['acme'])).get('acme')).toMatchObject({ open: true })
    await one.blocked(['acme'])
    await fail(one)
    later(59_000)
    expect((await other.blocked(['acme'])).size).toBe(1)
    later(2_000)
    expect((await one.blocked(['acme'])).size).toBe(0)
    expect(await one.enter('acme')).toBeNull()
    await one.blocked(['acme'])
    await succeed(one)
    later(1_000)
    expect((await other.blocked(['acme'])).size).toBe(0)
    expect(await other.enter('acme')).toBeNull()
    expect(await fail(other)).toBeNull()
  })

  it('gives a trial that was not made, or whose process died, to another call', async () => {
    const [one, other] = [aProcess(), aProcess()]
    await cutOff(one)
    later(30_000)
    await one.blocked(['acme'])
    expect(await one.enter('acme')).toBeNull()
    await one.blocked(['acme'])
    await one.leave('acme')
    expect((await other.blocked(['acme'])).size).toBe(0)
    expect(await other.enter('acme')).toBeNull()
    await one.blocked(['acme'])
    expect(await one.enter('acme')).toMatchObject({ open: true })
    later(200_001)
    expect((await one.blocked(['acme'])).size).toBe(0)
    expect(await one.enter('acme')).toBeNull()
  })

  it('stops all runs until the time that a rate limit names, and no longer than an hour', async () => {
    const [one, other] = [aProcess(), aProcess()]
    expect(await fail(one, 12_000)).toBeNull()
    expect((await other.blocked(['acme'])).get('acme')).toEqual({
      until: new Date('2026-11-22T08:00:12Z'),
      why: 'acme limits the rate: 529 Overloaded',
      open: false,
    })
    later(12_001)
    expect((await other.blocked(['acme'])).size).toBe(0)
    await fail(one, 90 * 86_400_000)
    expect((await one.blocked(['acme'])).get('acme')?.until).toEqual(new Date(now.getTime() + 3_600_000))
  })

  it('costs a sound provider one statement a second, however many calls are made, and rules none', async () => {
    const counted = new MortalDatabase(db)
    const health = aProcess(counted)
    for (let n = 0; n < 20; n += 1) {
      await health.blocked(['acme'])
      expect(await health.enter('acme')).toBeNull()
      await counted.transaction((tx) => health.succeeded(tx, 'acme'))
    }
    expect(counted.statements).toHaveLength(1)
    later(1_000)
    await health.blocked(['acme'])
    expect(counted.statements).toHaveLength(2)
    later(1_000)
    await health.blocked(['rules', 'replay'])
    expect(counted.statements).toHaveLength(2)
  })
})

describe('a run', () => {
  const throwing = (code: ErrorCode, retryAfterMs?: number) => {
    throw new GuildError(
      code,
      { provider: 'a', why: 'down', ms: 1 },
      retryAfterMs === undefined ? {} : { retryAfterMs },
    )
  }

  it('takes the next in prefer at once where others have found the provider dead', async () => {
    const bench = await Bench.open(db, {
      spec: { model: { prefer: ['a/one', 'b/two'] } },
      script: () => ({ text: 'b answers' }),
    })
    for (let n = 0; n < 5; n += 1) await db.transaction((tx) => bench.health.failed(tx, 'a', 'ECONNREFUSED'))
    expect(await bench.deliver()).toBeNull()
    expect(bench.llm.requests.map(({ provider }) => provider)).toEqual(['b'])
    expect(await bench.decisions()).toContainEqual(
      'MODEL_SKIPPED: b/two answers instead of a/one: a is cut off after failures: ECONNREFUSED',
    )
  })

  it('without another model waits for the trial, makes it, and so brings the provider back', async () => {
    const bench = await Bench.open(db, { script: () => ({ text: 'ok' }) })
    for (let n = 0; n < 5; n += 1) await db.transaction((tx) => bench.health.failed(tx, 'a', 'ECONNREFUSED'))
    const nack = await bench.deliver()
    expect(nack?.delayMs).toBeGreaterThan(25_000)
    expect(bench.llm.requests).toHaveLength(0)
    expect(await bench.row()).toMatchObject({ state: 'WAITING_RATE', lease_owner: null })
    expect(await bench.ledger()).toMatchObject({ open: 0, reserved: 0, charged: 0 })
    await bench.finish()
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', summary: 'ok' })
    bench.health.forget()
    expect((await bench.health.blocked(['a'])).size).toBe(0)
  })

  it('whose rate is limited stops the others of its provider, and releases its reservation meanwhile', async () => {
    const bench = await Bench.open(db, {
      script: (_, call) => (call === 1 ? throwing('GUILD_LLM_OVERLOADED', 12_000) : { text: 'ok' }),
    })
    expect((await bench.deliver())?.delayMs).toBeGreaterThanOrEqual(11_000)
    expect((await bench.health.blocked(['a'])).get('a')).toMatchObject({ open: false })
    expect(await bench.ledger()).toMatchObject({ open: 0, reserved: 0 })
    // As if the bus had redelivered it early: it is not asked before its time.
    await db.query({ name: 'early', text: 'UPDATE guild_core.invocations SET not_before = now() WHERE id = $1' }, [
      bench.id,
    ])
    expect((await bench.deliver())?.reason).toContain('a limits the rate')
    expect(bench.llm.requests).toHaveLength(1)
    await bench.finish()
    expect(bench.llm.requests).toHaveLength(2)
  })

  it('opens the breaker with its own failures, and says so on record', async () => {
    const bench = await Bench.open(db, { script: () => throwing('GUILD_LLM_UNAVAILABLE') })
    await bench.finish()
    expect(await bench.row()).toMatchObject({ state: 'FAILED', reason: 'PROVIDER' })
    expect(await bench.decisions()).toContainEqual(expect.stringMatching(/^PROVIDER_CUT_OFF: a is cut off until 20/))
  })

  it('that is refused or too long says nothing against its provider', async () => {
    for (const code of ['GUILD_LLM_REFUSED', 'GUILD_LLM_REJECTED', 'GUILD_LLM_CONTEXT_OVERFLOW'] as const) {
      const bench = await Bench.open(db, { script: () => throwing(code) })
      for (let n = 0; n < 4; n += 1) await db.transaction((tx) => bench.health.failed(tx, 'a', 'x'))
      await bench.finish()
      expect(await bench.health.blocked(['a'])).toEqual(new Map())
      await db.transaction((tx) => bench.health.failed(tx, 'a', 'x'))
      bench.health.forget()
      expect(await bench.health.blocked(['a'])).toEqual(new Map())
    }
  })
})
