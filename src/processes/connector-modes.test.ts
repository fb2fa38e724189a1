import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { PostgresBus } from '../bus/postgres/postgres-bus.ts'
import { PostgresOutbox } from '../bus/postgres/postgres-outbox.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import { systemClock } from '../kernel/clock.ts'
import { codexChanges } from './codex-changes.ts'
import { type LiveBy, liveConnectors } from './connector-modes.ts'
import { logger } from './logger.ts'

const log = logger({ logLevel: 'silent' })

function connectors(modes: Readonly<Record<string, 'live' | 'shadow'>>): Pick<CodexSnapshot, 'connectors'> {
  const file = (mode: string) => ({ spec: { system: 'github', mode } })
  const entries = Object.entries(modes).map(([name, mode]) => [name, file(mode)])
  // Of a connector's file only these two are read here.
  return { connectors: new Map(entries as never) }
}

describe('which connectors are live', () => {
  it.each([
    [[], {}, {}],
    [['github'], {}, { github: 'GUILD_LIVE' }],
    [['jira'], { hub: 'shadow' }, {}],
    [['github'], { hub: 'shadow', lab: 'live' }, { hub: 'GUILD_LIVE', lab: 'GUILD_LIVE' }],
    [['hub'], { hub: 'shadow', lab: 'live' }, { hub: 'GUILD_LIVE', lab: 'codex' }],
  ] as const)('GUILD_LIVE=%j and %j: %j', (live, modes, expected) => {
    expect(Object.fromEntries(liveConnectors({ live: [...live] }, connectors(modes)))).toEqual(expected)
  })
})

describe('going live', () => {
  let database: Database
  let bus: PostgresBus
  let now: ReadonlyMap<string, LiveBy>
  beforeEach(async () => {
    database = await openTestDatabase()
    bus = new PostgresBus({ database, clock: systemClock, log })
    now = new Map()
  })
  afterEach(async () => {
    await bus.close()
    await database.close()
  })

  function changes() {
    return codexChanges({ database, outbox: new PostgresOutbox(bus), log, live: () => now })
  }
  async function audited(): Promise<readonly string[]> {
    const messages = await bus.peek('guild.audit.log', { limit: 50 })
    const entries = messages.map(({ body }) => body as { event_type: string; payload: { connector?: string } })
    return entries.map(({ event_type, payload }) => [event_type, payload.connector].filter(Boolean).join(' ')).reverse()
  }
  const snapshot = (commit: string) =>
    ({ commit, hash: commit, agents: new Map(), routes: [], connectors: new Map() }) as unknown as CodexSnapshot

  it('leaves an audit entry at the start, with the commit that does it, and when it ends', async () => {
    const served = changes()
    now = new Map([['github', 'GUILD_LIVE']])
    await served.onChange(snapshot('c1'))
    now = new Map([...now, ['hub', 'codex']])
    await served.onChange(snapshot('c2'))
    now = new Map([['github', 'GUILD_LIVE']])
    await served.onChange(snapshot('c3'))
    expect(await audited()).toEqual([
      'CONNECTOR_LIVE github',
      'CODEX_LOADED',
      'CONNECTOR_LIVE hub',
      'CODEX_LOADED',
      'CONNECTOR_SHADOW hub',
      'CODEX_LOADED',
    ])
  })

  it('is said at each start, also with a commit that served before', async () => {
    now = new Map([['hub', 'codex']])
    await changes().onChange(snapshot('c1'))
    await changes().onChange(snapshot('c1'))
    expect(await audited()).toEqual(['CONNECTOR_LIVE hub', 'CODEX_LOADED', 'CONNECTOR_LIVE hub'])
  })
})
