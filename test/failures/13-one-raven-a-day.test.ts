/*
 * Mutations, each made by hand and seen to fail here:
 * - scheduler.sql claimDue without FOR UPDATE SKIP LOCKED: both schedulers fire every slot ("one Raven per user per day", on the server).
 * - due.ts without `again`: a second raven in New York on the day of the flight ("nothing is repeated or lost").
 * - due.ts fires slots before the horizon too: a raven in the evening of the 25th ("nothing is repeated or lost").
 * - scheduler.ts tick writes the old `since`: slots that fired are counted as missed ("nothing is repeated or lost").
 */
import { afterAll, describe, expect, it } from 'vitest'
import { loadCodex } from '../../src/codex/load.ts'
import type { CodexSnapshot } from '../../src/codex/snapshot.ts'
import type { Database } from '../../src/database/database.ts'
import { dispatcher } from '../../src/dispatcher/dispatcher.ts'
import { reconcile } from '../../src/dispatcher/reconcile.ts'
import type { Clock } from '../../src/kernel/clock.ts'
import type { GuildEvent } from '../../src/kernel/event.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { topics } from '../../src/kernel/topics.ts'
import { planAll, type SchedulerDeps, tick } from '../../src/scheduler/scheduler.ts'
import { openTestDatabase } from '../database.ts'
import { RecordingOutbox, text } from '../dispatch.ts'
import { openTestPostgres } from '../postgres.ts'

const zones = { ada: 'Europe/Berlin', ben: 'America/New_York', chi: 'Asia/Kathmandu', dot: 'Australia/Lord_Howe' }
const server = await openTestPostgres()
const databases: (Database | null)[] = [await openTestDatabase(), server]
afterAll(async () => {
  for (const db of databases) await db?.close()
})

describe.each([
  ['embedded', databases[0]],
  ['server', server],
])('13. two schedulers, clock jump, DST, on the %s database', (_, db) => {
  it.skipIf(!db)('one Raven per user per day', { timeout: 120_000 }, async () => {
    if (!db) return
    const guild = new Guild(db, codex(zones))
    await guild.plan()
    // Four weeks over both changes of Europe and America, in steps of seven minutes to nine hours; the clocks disagree by a minute,
    // and now and then one of them is set back by up to three hours.
    const random = mulberry(20_261_122)
    let now = Date.parse('2026-10-18T00:00:00Z')
    const end = Date.parse('2026-11-15T00:00:00Z')
    while (now < end) {
      now += random() < 0.1 ? -random() * 3 * hour : 7 * minute + random() * random() * 3.5 * hour
      await guild.tick(new Date(now), new Date(now + (random() - 0.5) * minute))
    }
    const ravens = guild.ravens()
    for (const [person, zone] of Object.entries(zones)) {
      const days = ravens.filter((raven) => raven.person === person).map((raven) => raven.local_date)
      expect(days).toEqual([...new Set(days)])
      // Four weeks of local dates, without the first and the last, which the range cuts.
      expect(days).toEqual(expect.arrayContaining(localDates('2026-10-19', '2026-11-13')))
      expect(ravens.find((raven) => raven.person === person)?.timezone).toBe(zone)
    }
    // The event is the same whoever fires it: the dispatcher makes one run of each.
    const { received, dispositions, difference } = await guild.dispatchTwice()
    expect({ received, difference }).toEqual({ received: ravens.length, difference: 0 })
    expect(dispositions).toEqual({ ROUTED: ravens.length })
    const { rows } = await db.query<{ runs: number }>(text('SELECT count(*)::int AS runs FROM guild_core.invocations'))
    expect(rows).toEqual([{ runs: ravens.length }])
  })

  it.skipIf(!db)(
    'nothing is repeated or lost for who changes zone, and a long pause brings one and not seven',
    async () => {
      if (!db) return
      await db.query(text('DELETE FROM guild_core.schedules'))
      const guild = new Guild(db, codex({ eve: 'Europe/Berlin' }))
      await guild.at('2026-11-16T07:00Z', 'Europe/Berlin')
      await guild.at('2026-11-16T07:31Z', 'Europe/Berlin') // 08:31 in Berlin: Monday's
      await guild.at('2026-11-16T10:00Z', 'America/New_York') // flies west; 08:30 comes again there
      await guild.at('2026-11-16T13:31Z', 'America/New_York')
      await guild.at('2026-11-17T13:31Z', 'America/New_York') // Tuesday's
      await guild.at('2026-11-18T05:00Z', 'America/New_York')
      await guild.at('2026-11-18T09:00Z', 'Europe/Berlin') // flies east: 08:30 was two and a half hours ago
      await guild.at('2026-11-24T07:35Z', 'Europe/Berlin') // the platform was off for six days
      await guild.at('2026-11-25T20:00Z', 'Europe/Berlin') // and off over the whole morning
      await guild.at('2026-11-26T07:31Z', 'Europe/Berlin')
      expect(guild.ravens().map(({ local_date, late }) => `${local_date}${late ? ' late' : ''}`)).toEqual([
        '2026-11-16',
        '2026-11-17',
        '2026-11-18 late',
        '2026-11-24 late',
        '2026-11-26',
      ])
      // The 19th to the 23rd, and the 25th.
      const { rows } = await db.query<{ missed: number }>(text('SELECT missed FROM guild_core.schedules'))
      expect(rows).toEqual([{ missed: 6 }])
    },
  )

  it.skipIf(!db)('a scheduler that dies in its transaction has fired nothing, and the other fires it', async () => {
    if (!db) return
    await db.query(text('DELETE FROM guild_core.schedules'))
    const guild = new Guild(db, codex({ fay: 'UTC' }))
    await guild.at('2026-11-16T08:00Z', 'UTC')
    const dying = {
      ...guild.scheduler(new Date('2026-11-16T08:30Z')),
      outbox: { add: () => Promise.reject(new Error('killed')) },
    }
    await expect(tick(dying)).rejects.toThrow('killed')
    expect(guild.ravens()).toEqual([])
    await guild.at('2026-11-16T08:30Z', 'UTC')
    expect(guild.ravens().map(({ local_date }) => local_date)).toEqual(['2026-11-16'])
  })
})

const minute = 60_000
const hour = 60 * minute

interface Raven {
  readonly person: string
  readonly local_date: string
  readonly timezone: string
  readonly late: boolean
}

class Guild {
  readonly #db: Database
  #snapshot: CodexSnapshot
  readonly #outbox = new RecordingOutbox()

  constructor(db: Database, snapshot: CodexSnapshot) {
    this.#db = db
    this.#snapshot = snapshot
  }

  scheduler(now: Date): SchedulerDeps {
    const clock: Clock = { now: () => now, sleep: () => Promise.resolve() }
    return { database: this.#db, outbox: this.#outbox, codex: { current: () => this.#snapshot }, clock, log: silentLog }
  }

  plan(): Promise<void> {
    return planAll(this.scheduler(new Date('2026-10-18T00:00:00Z')), this.#snapshot)
  }

  /** Two schedulers at once, each with its own idea of the time. */
  async tick(one: Date, other: Date): Promise<void> {
    await Promise.all([tick(this.scheduler(one)), tick(this.scheduler(other))])
  }

  async at(now: string, zone: string): Promise<void> {
    const people = [...this.#snapshot.people.keys()]
    this.#snapshot = codex(Object.fromEntries(people.map((person) => [person, zone])))
    await planAll(this.scheduler(new Date(now)), this.#snapshot)
    await this.tick(new Date(now), new Date(now))
  }

  ravens(): readonly Raven[] {
    return this.#events().map(({ payload }) => payload as unknown as Raven) // what scheduleEvent wrote
  }

  async dispatchTwice() {
    const consumer = dispatcher({
      database: this.#db,
      outbox: new RecordingOutbox(),
      codex: { current: () => this.#snapshot },
      clock: { now: () => new Date('2026-11-15T00:00:00Z'), sleep: () => Promise.resolve() },
      log: silentLog,
      echoes: { confirm: () => Promise.resolve(null) },
    })
    const deliveries = this.#events().map((body) => ({
      id: body.id,
      topic: topics.inbound,
      key: null,
      priority: 'NORMAL' as const,
      body,
      attempt: 1,
      publishedAt: new Date(),
    }))
    for (let start = 0; start < deliveries.length; start += 64) {
      const batch = deliveries.slice(start, start + 64)
      const refused = [
        ...((await consumer.handle(batch, new AbortController().signal)) ?? []),
        ...((await consumer.handle(batch, new AbortController().signal)) ?? []),
      ]
      if (refused.length > 0) throw new Error(JSON.stringify(refused))
    }
    return reconcile(this.#db)
  }

  #events(): readonly GuildEvent[] {
    return this.#outbox.on(topics.inbound).map(({ body }) => body as GuildEvent) // what the scheduler published
  }
}

function codex(people: Readonly<Record<string, string>>): CodexSnapshot {
  const files = new Map([
    [
      'agents/crier.yaml',
      `apiVersion: guild/v1
kind: Agent
metadata: { name: crier, type: TownCrier, version: 1.0.0, owner: us }
spec:
  prompt: { system: prompts/crier.md }
  rules: rules/crier.yaml
  triggers:
    - { cron: '30 8 * * *', timezone: user, intent: DAILY_RAVEN }
`,
    ],
    ['prompts/crier.md', 'You cry.\n'],
    ['rules/crier.yaml', 'apiVersion: guild/v1\nkind: Rules\nmetadata: { name: crier }\nspec: { rules: [] }\n'],
    ...Object.entries(people).map(([name, zone]): [string, string] => [
      `people/${name}.yaml`,
      `apiVersion: guild/v1\nkind: Person\nmetadata: { name: ${name} }\nspec: { timezone: ${zone} }\n`,
    ]),
  ])
  const loaded = loadCodex(
    { commit: 'c'.repeat(40), files, problems: [] },
    { loadedAt: new Date('2026-10-18T00:00:00Z'), actionTypes: [] },
  )
  if (!loaded.snapshot) throw new Error(JSON.stringify(loaded.problems))
  return loaded.snapshot
}

function localDates(from: string, to: string): string[] {
  const dates: string[] = []
  for (let day = Date.parse(from); day <= Date.parse(to); day += 24 * hour)
    dates.push(new Date(day).toISOString().slice(0, 10))
  return dates
}

/** A small generator with a seed: the same weeks each time. */
function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
