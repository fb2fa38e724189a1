import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { anAgent, aSnapshot, RecordingOutbox, text } from '../../test/dispatch.ts'
import { openTestDatabase } from '../../test/database.ts'
import { agent as agentSchema } from '../codex/kinds.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Clock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import { planAll, scheduler } from './scheduler.ts'
import { getSchedule, listSchedules, setSchedule } from './schedules.ts'

const database = await openTestDatabase()
afterAll(() => database.close())
beforeEach(() => database.query(text('DELETE FROM guild_core.schedules')))

const now = new Date('2026-10-23T12:00:00Z')
const by = { by: 'person:ada', note: 'holidays' }

describe('schedules', () => {
  it('name their next slots, and the day on which the clocks change', async () => {
    await plan(codex('30 8 * * *'))
    const [found] = await listSchedules(database, {}, now)
    expect(found).toMatchObject({
      id: 'crier#RAVEN',
      next_run: new Date('2026-10-24T06:30:00Z'),
      enabled: true,
      missed: 0,
    })
    expect(found?.upcoming.map(({ wall, clock_change }) => `${wall}${clock_change ? ' !' : ''}`)).toEqual([
      '2026-10-24T08:30',
      '2026-10-25T08:30 !',
      '2026-10-26T08:30',
      '2026-10-27T08:30',
      '2026-10-28T08:30',
    ])
    await expect(getSchedule(database, 'nobody#RAVEN', now)).rejects.toMatchObject({ code: 'GUILD_NOT_FOUND' })
  })

  it('stay paused over a new Codex, are audited once, and make up for nothing when they go on', async () => {
    const outbox = new RecordingOutbox()
    await plan(codex('30 8 * * *'))
    await setSchedule({ database, outbox }, 'crier#RAVEN', false, by, now)
    await setSchedule({ database, outbox }, 'crier#RAVEN', false, by, now)
    await plan(codex('0 9 * * *'))
    expect(await getSchedule(database, 'crier#RAVEN', now)).toMatchObject({
      enabled: false,
      cron_expression: '0 9 * * *',
    })
    const later = new Date('2026-11-22T12:00:00Z')
    await setSchedule({ database, outbox }, 'crier#RAVEN', true, by, later)
    expect(await getSchedule(database, 'crier#RAVEN', later)).toMatchObject({
      next_run: new Date('2026-11-23T08:00:00Z'),
    })
    expect(outbox.on(topics.audit).map(({ body }) => (body as { event_type: string }).event_type)).toEqual([
      'SCHEDULE_PAUSED',
      'SCHEDULE_RESUMED',
    ])
  })

  it('end when the trigger goes, and begin anew when it comes back', async () => {
    await plan(codex('30 8 * * *'))
    await plan(aSnapshot([], []))
    expect(await listSchedules(database, {}, now)).toEqual([])
    await plan(codex('30 8 * * *'))
    expect(await listSchedules(database, { agent: 'crier' }, now)).toHaveLength(1)
  })

  it('a running scheduler plans, fires at the time, and sees a new Codex', async () => {
    const outbox = new RecordingOutbox()
    const stop = new AbortController()
    let at = Date.parse('2026-10-24T06:29:00Z')
    let current = codex('30 8 * * *')
    const fired = () => outbox.on(topics.inbound).map(({ body }) => (body as { timestamp: string }).timestamp)
    const clock: Clock = {
      now: () => new Date(at),
      // Each sleep is as long as it says, at once; two slots of the old plan, then one of the new.
      sleep: (ms) => {
        at += ms
        if (fired().length === 2) current = codex('0 12 * * *')
        if (fired().length === 3) stop.abort()
        return Promise.resolve()
      },
    }
    await scheduler({ database, outbox, codex: { current: () => current }, clock, log: silentLog }).run(stop.signal)
    expect(fired()).toEqual(['2026-10-24T06:30:00.000Z', '2026-10-25T07:30:00.000Z', '2026-10-25T11:00:00.000Z'])
  })
})

function plan(snapshot: CodexSnapshot): Promise<void> {
  const clock: Clock = { now: () => now, sleep: () => Promise.resolve() }
  return planAll(
    { database, outbox: new RecordingOutbox(), codex: { current: () => snapshot }, clock, log: silentLog },
    snapshot,
  )
}

function codex(cron: string): CodexSnapshot {
  const agent = anAgent('crier')
  const { metadata } = agent.manifest
  const manifest = agentSchema.parse({
    ...agent.manifest,
    metadata,
    spec: { ...agent.manifest.spec, triggers: [{ cron, timezone: 'Europe/Berlin', intent: 'RAVEN' }] },
  })
  return aSnapshot([{ ...agent, manifest }], [])
}
