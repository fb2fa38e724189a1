import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Database } from '../src/database/database.ts'
import { why } from '../src/dispatcher/why.ts'
import { claimInvocation } from '../src/executor/invocation.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { GuildError } from '../src/kernel/errors.ts'
import type { GuildEvent } from '../src/kernel/event.ts'
import type { JsonObject } from '../src/kernel/json.ts'
import { reconcile } from '../src/dispatcher/reconcile.ts'
import { budgetId, periodOf } from '../src/ledger/period.ts'
import { openTestDatabase } from './database.ts'
import { anEvent, aRoute, text } from './dispatch.ts'
import { AdmissionLine as Line, lineAgent, linePolicy, type LineSetup } from './admission-line.ts'
import { openTestPostgres } from './postgres.ts'
import type { Script } from './scripted-llm.ts'

// Who may start, who waits for whom, and what becomes of the rest: dispatcher, executor and sweeper together.
const agentTopic = 'guild.events.agent.scribe'
const postgres = await openTestPostgres()
let db: Database

beforeAll(async () => {
  db = await openTestDatabase()
})
beforeEach(async () => {
  for (const each of [db, postgres]) {
    await each?.query(
      text(
        `TRUNCATE guild_core.events, guild_core.event_keys, guild_core.receipts, guild_core.decisions, guild_core.invocations, guild_core.agent_breakers CASCADE`,
      ),
    )
  }
})
afterAll(async () => {
  await db.close()
  await postgres?.close()
})

describe('overlap: queue', () => {
  it('lets one run of a ticket at a time work; the others wait as rows with reason, holder and likely start', async () => {
    const gate = Promise.withResolvers<void>()
    const line = open({ max: 1 }, async (_, call) => {
      if (call === 1) await gate.promise
      return { text: 'Done.' }
    })
    await line.dispatch([onTicket('PAY-1'), onTicket('PAY-1'), onTicket('PAY-1'), onTicket('PAY-2')])
    const delivered = line.deliver(agentTopic)
    await expect
      .poll(() => states(line, 'PAY-1').then((all) => all.filter((state) => state === 'RUNNING')))
      .toHaveLength(1)
    await expect.poll(() => line.decisions('WAITS')).toHaveLength(2)
    const held = (await line.runs()).filter((run) => run['held_at'] !== null)
    const holder = (await line.runs()).find((run) => run['state'] === 'RUNNING' && run['slot_key'] === 'PAY-1')
    expect(held.map((run) => [run['held_by'], run['held_reason']])).toEqual([
      [holder?.['id'], '1 of 1 runs of scribe for PAY-1 are under way (limits.concurrency)'],
      [holder?.['id'], '1 of 1 runs of scribe for PAY-1 are under way, 1 before it in line (limits.concurrency)'],
    ])
    expect(held.every((run) => run['predicted_start'] instanceof Date)).toBe(true)
    gate.resolve()
    // Nothing was bounced: the messages of the waiting runs are done with, and the run that ends wakes the next.
    expect(await delivered).toBe(0)
    await line.deliver(agentTopic)
    await line.deliver(agentTopic)
    expect(await states(line, 'PAY-1')).toEqual(['COMPLETED', 'COMPLETED', 'COMPLETED'])
    expect(line.waiting.filter(({ topic }) => topic === agentTopic)).toEqual([])
  })

  it('serves by priority, then age', async () => {
    const line = open({ max: 1 })
    const events = ['LOW', 'NORMAL', 'CRITICAL', 'HIGH', 'NORMAL'] as const
    for (const priority of events) await line.dispatch([onTicket('PAY-1', { priority })])
    await line.settle()
    const order = (await line.runs())
      .toSorted((a, b) => Number(a['started_at']) - Number(b['started_at']))
      .map((run) => run['priority'])
    expect(order).toEqual(['CRITICAL', 'HIGH', 'NORMAL', 'NORMAL', 'LOW'])
  })

  it('frees the slot of a dead holder when its lease lapses, and fences the holder off', async () => {
    const gate = Promise.withResolvers<void>()
    const line = open({ max: 1 }, async (_, call) => {
      if (call === 1) await gate.promise
      return { text: `call ${call}` }
    })
    await line.dispatch([onTicket('PAY-1')])
    const frozen = line.deliver(agentTopic)
    await expect.poll(() => line.llm.requests.length).toBe(1)
    await line.dispatch([onTicket('PAY-1')])
    await line.deliver(agentTopic)
    await line.sweep()
    expect(line.waiting.filter(({ topic }) => topic === agentTopic)).toEqual([])
    await db.query(
      text(`UPDATE guild_core.invocations SET lease_until = now() - interval '1 ms' WHERE state = 'RUNNING'`),
    )
    await line.sweep()
    await line.deliver(agentTopic)
    gate.resolve()
    await frozen
    const [first, second] = await line.runs()
    expect(second).toMatchObject({ state: 'COMPLETED' })
    // What the frozen worker wanted to write changed nothing; its run goes on from the journal when it is sent again.
    expect(first).toMatchObject({ state: 'RUNNING', model_calls: 0 })
  })
})

describe('overlap: coalesce', () => {
  it('joins the run that waits, which then works on the newest event; every event says whom it joined', async () => {
    const line = open({ max: 1, overlap: 'coalesce' })
    const first = onTicket('PAY-1', { occurred_at: '2026-11-22T10:00:00Z' })
    const newest = onTicket('PAY-1', { occurred_at: '2026-11-22T10:00:09Z' })
    const late = onTicket('PAY-1', { occurred_at: '2026-11-22T10:00:04Z' })
    await line.dispatch([first, newest])
    await line.dispatch([late, onTicket('PAY-2')])
    await line.settle()
    const [run] = await line.runs()
    expect(await line.runs()).toHaveLength(2)
    expect(run).toMatchObject({ state: 'COMPLETED', event_id: first.id, coalesced: 2, latest_event_id: newest.id })
    const story = await why(db, late.id)
    expect(story.event).toMatchObject({
      disposition: 'COALESCED',
      reason: expect.stringContaining(String(run?.['id'])),
    })
    expect(story.invocations).toMatchObject([{ id: run?.['id'] }])
    expect(await reconcile(db)).toEqual({ received: 4, dispositions: { ROUTED: 2, COALESCED: 2 }, difference: 0 })
  })

  it('never joins a run that has started: it would not see the event', async () => {
    const gate = Promise.withResolvers<void>()
    const line = open({ max: 1, overlap: 'coalesce' }, async () => {
      await gate.promise
      return { text: 'Done.' }
    })
    await line.dispatch([onTicket('PAY-1')])
    const running = line.deliver(agentTopic)
    await expect.poll(() => line.llm.requests.length).toBe(1)
    await line.dispatch([onTicket('PAY-1')])
    gate.resolve()
    await running
    await line.settle()
    expect(await states(line, 'PAY-1')).toEqual(['COMPLETED', 'COMPLETED'])
  })
})

it('overlap: drop ends what comes while the key is busy as RATE_LIMITED, with the runs that are in its way', async () => {
  const line = open({ max: 2, overlap: 'drop' })
  await line.dispatch([onTicket('PAY-1'), onTicket('PAY-1'), onTicket('PAY-1'), onTicket('PAY-2')])
  expect(await reconcile(db)).toEqual({ received: 4, dispositions: { ROUTED: 3, RATE_LIMITED: 1 }, difference: 0 })
  const [dropped] = await line.decisions('DROPPED')
  expect(dropped).toMatch(/^dropped: 2 of 2 runs of scribe for PAY-1 are not over \(inv_\w+, inv_\w+\); overlap: queue/)
  await line.settle()
  await line.dispatch([onTicket('PAY-1')])
  expect(await states(line, 'PAY-1')).toEqual(['COMPLETED', 'COMPLETED', 'QUEUED'])
})

it('overlap: cancel_old stops the older run at its next edge; the newer one takes its place', async () => {
  const gate = Promise.withResolvers<void>()
  const line = open({ max: 1, overlap: 'cancel_old' }, async (_, call) => {
    if (call > 1) return { text: 'Done.' }
    await gate.promise
    return { toolCalls: [{ id: 'c1', name: 'GITHUB_COMMENT', args: {} }] }
  })
  await line.dispatch([onTicket('PAY-1')])
  const running = line.deliver(agentTopic)
  await expect.poll(() => line.llm.requests.length).toBe(1)
  // One that waits and one that runs: both are older than the last.
  await line.dispatch([onTicket('PAY-1')])
  await line.dispatch([onTicket('PAY-1')])
  gate.resolve()
  await running
  await line.settle()
  const runs = await line.runs()
  expect(runs.map((run) => [run['state'], run['reason']])).toEqual([
    ['STOPPED', 'CANCELLED'],
    ['STOPPED', 'CANCELLED'],
    ['COMPLETED', null],
  ])
  expect(runs.map((run) => run['tool_calls'])).toEqual([0, 0, 0])
  expect(runs[0]?.['reason_detail']).toContain(String(runs[1]?.['id']))
  expect(line.llm.requests).toHaveLength(2)
})

it('overlap: cancel_old ends an older run that waits for its action, too, and not only when its wait is over', async () => {
  const line = open({ max: 1, overlap: 'cancel_old' })
  await line.dispatch([onTicket('PAY-1')])
  line.waiting.splice(0)
  await db.query(
    text(`UPDATE guild_core.invocations SET state = 'WAITING_ACTION', waiting_since = now(), attempts = 1,
      queued_at = now() - interval '1 minute', started_at = now(), not_before = now() + interval '24 hours'`),
  )
  await line.dispatch([onTicket('PAY-1')])
  await line.settle()
  expect((await line.runs()).map((run) => [run['state'], run['reason']])).toEqual([
    ['STOPPED', 'CANCELLED'],
    ['COMPLETED', null],
  ])
})

it.each(['WAITING_RATE', 'RUNNING'])(
  'a run that was %s and finds its place taken stands in line: the run that ends wakes it before all that came later',
  async (state) => {
    const gate = Promise.withResolvers<void>()
    const line = open({ max: 1 }, async (_, call) => {
      if (call === 1) await gate.promise
      return { text: 'Done.' }
    })
    const [first] = await line.dispatch([onTicket('PAY-1')])
    line.waiting.splice(0)
    // Its provider is to be asked again, or its worker has died, while another has the place.
    await db.query(
      text(`UPDATE guild_core.invocations SET state = $1::text, queued_at = now() - interval '1 minute', started_at = now(), attempts = 1,
        lease_owner = CASE $1::text WHEN 'RUNNING' THEN 'gone' END, lease_until = now() + interval '1 minute', running_since = now()`),
      [state],
    )
    await line.dispatch([onTicket('PAY-1')])
    await db.query(text(`UPDATE guild_core.invocations SET lease_until = now() - interval '1 s' WHERE id = $1`), [
      String(first?.id),
    ])
    const running = line.deliver(agentTopic)
    await expect.poll(() => line.llm.requests.length).toBe(1)
    await line.dispatch([onTicket('PAY-1')])
    line.waiting.push({ topic: agentTopic, message: { id: 'again', body: { invocation_id: String(first?.id) } } })
    await line.deliver(agentTopic)
    const sent = () =>
      line.waiting.filter(({ topic }) => topic.startsWith(agentTopic)).map(({ message }) => message.body)
    expect(sent()).toEqual([])
    gate.resolve()
    await running
    expect(sent()).toEqual([{ invocation_id: first?.id }])
  },
)

describe('a breaker', () => {
  it('makes new runs of an agent that keeps failing wait; then one at a time shows whether it is well again', async () => {
    let broken = true
    const line = new Line(db, {
      ...setup({}, () => {
        if (broken) throw outOfLuck()
        return { text: 'Done.' }
      }),
      agents: [lineAgent('scribe', { health: { failureThreshold: 2, window: '10m', halfOpenAfter: '60s' } })],
    })
    for (let run = 0; run < 2; run += 1) await failOnce(line)
    expect(await line.decisions('DEGRADED')).toHaveLength(1)
    broken = false
    await line.dispatch([onTicket('PAY-3'), onTicket('PAY-4'), onTicket('PAY-5')])
    expect(await line.deliver(agentTopic)).toBe(0)
    const held = (await line.runs()).filter((run) => run['held_by'] === 'breaker')
    expect(held).toHaveLength(3)
    expect(held[0]?.['held_reason']).toMatch(/^scribe is degraded: 2 runs failed/)
    await line.settle()
    expect((await line.runs()).filter((run) => run['state'] === 'QUEUED')).toHaveLength(3)

    await restIsOver()
    await line.sweep()
    expect(line.waiting.filter(({ topic }) => topic === agentTopic)).toHaveLength(1)
    await line.settle()
    expect((await line.runs()).map((run) => run['state'])).toEqual([
      'FAILED',
      'FAILED',
      'COMPLETED',
      'COMPLETED',
      'COMPLETED',
    ])
  })

  it('rests again when the run that should show it fails', async () => {
    const line = new Line(db, {
      ...setup({}, () => {
        throw outOfLuck()
      }),
      agents: [lineAgent('scribe', { health: { failureThreshold: 1, window: '10m', halfOpenAfter: '60s' } })],
    })
    await failOnce(line)
    await line.dispatch([onTicket('PAY-3')])
    await line.deliver(agentTopic)
    await restIsOver()
    await line.settle()
    await line.dispatch([onTicket('PAY-4')])
    await line.deliver(agentTopic)
    expect((await line.runs()).map((run) => run['state'])).toEqual(['FAILED', 'FAILED', 'QUEUED'])
    expect(await line.decisions('DEGRADED')).toHaveLength(2)
  })
})

it('an event for an agent whose budget is spent ends as OVER_BUDGET and names the budget; with rules to fall back on it runs', async () => {
  const policies = [linePolicy({ budget: { tokens: { monthly: 20_000 } } })]
  const line = new Line(db, { ...setup({}), policies })
  await db.query(
    text(`INSERT INTO guild_ledger.token_budgets (id, entity_type, entity_id, limit_kind, period_start, period_end, budget_tokens, consumed_tokens)
      VALUES ($1, 'organization', 'org', 'month', date_trunc('month', now()), date_trunc('month', now()) + interval '1 month', 20000, 20000)
      ON CONFLICT (id) DO UPDATE SET consumed_tokens = 20000`),
    [monthOf('org')],
  )
  try {
    await line.dispatch([onTicket('PAY-1')])
    expect(await reconcile(db)).toEqual({ received: 1, dispositions: { OVER_BUDGET: 1 }, difference: 0 })
    expect(await line.decisions('OVER_BUDGET')).toEqual([
      expect.stringContaining('the budget of the organization org for this month is spent'),
      expect.stringContaining('give the agent rules to fall back on'),
    ])
    const model = { prefer: ['a/one', 'rules'] }
    const ruled = new Line(db, { ...setup({}), agents: [lineAgent('scribe', { model })], policies })
    await ruled.dispatch([onTicket('PAY-2')])
    expect((await reconcile(db)).dispositions).toEqual({ OVER_BUDGET: 1, ROUTED: 1 })
  } finally {
    await db.query(text('DELETE FROM guild_ledger.token_budgets WHERE id = $1'), [monthOf('org')])
  }
})

describe.skipIf(postgres === null)('on a server, where claims meet', () => {
  it('never runs more than the limit, however many deliveries and workers there are', async () => {
    if (!postgres) return
    let [now, most] = [0, 0]
    const line = new Line(
      postgres,
      setup({ max: 3 }, async () => {
        now += 1
        most = Math.max(most, now)
        await new Promise((resolve) => setTimeout(resolve, 20))
        now -= 1
        return { text: 'Done.' }
      }),
    )
    await line.dispatch(Array.from({ length: 50 }, () => onTicket('PAY-1')))
    for (let round = 0; round < 100 && line.waiting.some(({ topic }) => topic === agentTopic); round += 1) {
      const due = line.waiting.splice(0).filter(({ topic }) => topic === agentTopic)
      await Promise.all(
        due.map(({ topic, message }, index) => {
          line.waiting.push({ topic, message })
          return line.deliver(topic, { ...line.deps, owner: `worker-${index % 5}` })
        }),
      )
      if (!line.waiting.some(({ topic }) => topic === agentTopic)) await line.sweep()
    }
    expect(new Set((await line.runs()).map((run) => run['state']))).toEqual(new Set(['COMPLETED']))
    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(3)
    expect(line.llm.requests).toHaveLength(50)
  })

  it('counts claims of one key one after another: the second waits for what the first has not yet committed', async () => {
    if (!postgres) return
    const line = new Line(postgres, setup({ max: 1 }))
    const [one, two] = await line.dispatch([onTicket('PAY-1'), onTicket('PAY-1')])
    if (!one || !two) throw new Error('two runs were to be waiting')
    // Both resume from a wait: they stand in no line, so only the count holds them.
    await postgres.query(text(`UPDATE guild_core.invocations SET state = 'WAITING_RATE', attempts = 1`))
    const claim = (database: Database, id: string) =>
      claimInvocation({ database, clock: systemClock, owner: id, leaseMs: 30_000 }, id)
    const [reached, commit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const slow: Database = Object.assign(Object.create(postgres) as Database, {
      query: postgres.query.bind(postgres),
      transaction: <T>(work: Parameters<typeof postgres.transaction<T>>[0]) =>
        postgres.transaction(async (tx) => {
          const result = await work(tx)
          reached.resolve()
          await commit.promise
          return result
        }),
    })
    const first = claim(slow, one.id)
    await reached.promise
    let over = false
    const second = claim(postgres, two.id).finally(() => (over = true))
    const waits = text('SELECT count(*)::integer AS n FROM pg_locks WHERE NOT granted')
    await expect.poll(async () => over || (await postgres.query<{ n: number }>(waits)).rows[0]?.n).toBeTruthy()
    commit.resolve()
    expect([(await first).kind, (await second).kind]).toEqual(['claimed', 'held'])
  })

  it('makes one waiting run of fifty events that several dispatchers decide about at once', async () => {
    if (!postgres) return
    const line = new Line(postgres, setup({ max: 1, overlap: 'coalesce' }))
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const lone = new Line(postgres, setup({ max: 1, overlap: 'coalesce' }))
        await lone.dispatch([onTicket('PAY-1')])
      }),
    )
    expect(await line.runs()).toMatchObject([{ state: 'QUEUED', coalesced: 49 }])
    expect(await reconcile(postgres)).toEqual({
      received: 50,
      dispositions: { ROUTED: 1, COALESCED: 49 },
      difference: 0,
    })
  })
})

function setup(concurrency: JsonObject, script?: Script): LineSetup {
  const limits = 'max' in concurrency ? { concurrency: { key: 'event.payload.ticket', ...concurrency } } : {}
  return {
    agents: [lineAgent('scribe', { limits })],
    routes: [aRoute('any', '*', ['scribe'])],
    ...(script && { script }),
  }
}

function monthOf(organisation: string): string {
  const limit = { entityType: 'organization', entityId: organisation, kind: 'month' } as const
  return budgetId(limit, periodOf('month', new Date()))
}

function open(concurrency: JsonObject, script?: Script): Line {
  return new Line(db, setup(concurrency, script))
}

function onTicket(ticket: string, metadata: Partial<GuildEvent['metadata']> = {}): GuildEvent {
  return anEvent({ type: 'TICKET_BLOCKED', payload: { ticket }, metadata })
}

async function states(line: Line, key: string): Promise<readonly unknown[]> {
  return (await line.runs()).filter((run) => run['slot_key'] === key).map((run) => run['state'])
}

/** A key that the provider refuses: nothing that waiting would mend. */
function outOfLuck(): GuildError {
  return new GuildError('GUILD_LLM_REJECTED', { provider: 'a', why: 'no luck' })
}

async function failOnce(line: Line): Promise<void> {
  const before = (await line.decisions('FAILED')).length
  await line.dispatch([onTicket('PAY-1')])
  await line.settle()
  expect(await line.decisions('FAILED')).toHaveLength(before + 1)
}

async function restIsOver(): Promise<void> {
  await db.query(text(`UPDATE guild_core.agent_breakers SET retry_at = now() - interval '1 s'`))
  await db.query(
    text(`UPDATE guild_core.invocations SET not_before = now() - interval '1 s' WHERE held_by = 'breaker'`),
  )
}
