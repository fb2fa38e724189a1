import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { aSnapshot } from '../../test/dispatch.ts'
import { loadSettings } from '../config/settings.ts'
import type { Database } from '../database/database.ts'
import { SweepLog } from '../database/sweep-log.ts'
import { silentLog } from '../kernel/log.ts'
import { houseclean, housekeeping, type HousekeepingDeps } from './housekeeping.ts'

describe('housekeeping', () => {
  let database: Database
  let atMs = Date.now()
  const trims: number[] = []
  beforeAll(async () => {
    database = await openTestDatabase()
  })
  afterAll(() => database.close())

  function deps(over: Partial<HousekeepingDeps> = {}): HousekeepingDeps {
    const clock = {
      now: () => new Date(atMs),
      sleep: (ms: number) => {
        atMs += ms
        return Promise.resolve()
      },
    }
    return {
      bus: { trim: () => Promise.resolve(0) },
      artifacts: { remove: () => Promise.resolve(), removeOlderThan: () => Promise.resolve(0) },
      database,
      codex: { current: () => aSnapshot([], []) },
      keep: loadSettings({}),
      clock,
      sweeps: new SweepLog(database, clock),
      log: silentLog,
      ...over,
    }
  }
  const sweeps = async () =>
    (
      await database.query<{ name: string; ok: boolean; error: string | null; runs: number; failures: number }>({
        name: '',
        text: 'SELECT name, ok_at IS NOT NULL AS ok, error, runs, failures FROM guild_core.sweeps ORDER BY name',
      })
    ).rows

  it('cleans up a minute after the start, then every hour: a process may not live for one', async () => {
    const stop = new AbortController()
    const startMs = atMs
    const bus = {
      trim: () => {
        trims.push((atMs - startMs) / 60_000)
        if (trims.length === 3) stop.abort()
        return Promise.resolve(0)
      },
    }
    await housekeeping(deps({ bus })).run(stop.signal)
    expect(trims).toEqual([1, 61, 121])
  })

  it('goes on with the next task when one fails, and leaves a note of both', async () => {
    const bus = { trim: () => Promise.reject(new Error('no bus today')) }
    await houseclean(deps({ bus }), new AbortController().signal)
    const rows = await sweeps()
    expect(rows.map(({ name }) => name)).toEqual([
      'audit',
      'expired',
      'journals',
      'messages',
      'partitions',
      'stories',
      'transcripts',
    ])
    expect(rows.find(({ name }) => name === 'messages')).toMatchObject({ error: 'no bus today', failures: 1 })
    expect(rows.filter(({ ok, error }) => ok && error === null)).toHaveLength(6)
    await houseclean(deps(), new AbortController().signal)
    expect((await sweeps()).find(({ name }) => name === 'messages')).toMatchObject({ error: null, failures: 1 })
  })

  it('keeps everything when it is told to', async () => {
    const keep = loadSettings({
      GUILD_RETENTION_EVENTS_DAYS: 'off',
      GUILD_RETENTION_STEPS_DAYS: 'off',
      GUILD_RETENTION_AUDIT_DAYS: 'off',
      GUILD_RETENTION_TRANSCRIPTS_DAYS: 'off',
    })
    const removals: string[] = []
    const artifacts = {
      remove: () => Promise.resolve(),
      removeOlderThan: (prefix: string) => {
        removals.push(prefix)
        return Promise.resolve(0)
      },
    }
    atMs += 10_000 * 86_400_000
    await houseclean(deps({ keep, artifacts }), new AbortController().signal)
    expect(removals).toEqual([])
    expect(() => loadSettings({ GUILD_RETENTION_AUDIT_DAYS: '3' })).toThrow('at least 14')
  })
})
