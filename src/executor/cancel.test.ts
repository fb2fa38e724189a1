import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { Bench } from '../../test/executor-bench.ts'
import { Freezing } from '../../test/freezing.ts'
import type { Database } from '../database/database.ts'
import { GuildError } from '../kernel/errors.ts'
import { agentTopic, topics } from '../kernel/topics.ts'
import { cancelRun } from './cancel.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const cancel = (bench: Bench, note: string | null = 'wrong repository') =>
  cancelRun(bench.deps(), { id: bench.id, by: 'person:ada', note })
const ended = {
  state: 'STOPPED',
  reason: 'CANCELLED',
  reason_detail: 'cancelled by person:ada: wrong repository',
  lease_owner: null,
}
const reads = { 'github.search': { text: 'found' } }
const asking = { tools: { allow: [{ name: 'github.search' }], actions: [{ type: 'GITHUB_COMMENT', autonomy: 2 }] } }

describe('a run that a person cancels', () => {
  it('before it has begun does nothing, and its message is sent at once', async () => {
    const bench = await Bench.open(db)
    expect(await cancel(bench)).toEqual({ id: bench.id, was: 'QUEUED', told: true })
    expect(await bench.published(agentTopic(bench.agent.id))).toEqual([{ invocation_id: bench.id }])
    expect(await bench.deliver()).toBeNull()
    expect(bench.llm.requests).toEqual([])
    expect(await bench.row()).toMatchObject(ended)
  })

  it('while it waits ends without waiting on', async () => {
    const bench = await Bench.open(db, {
      options: { retryBaseMs: 60_000 },
      script: () => {
        throw new GuildError('GUILD_LLM_UNAVAILABLE', { provider: 'a', why: 'down' })
      },
    })
    const nack = await bench.deliver()
    expect(nack?.delayMs).toBeGreaterThan(10_000)
    expect(await cancel(bench)).toMatchObject({ was: 'WAITING_RATE' })
    expect(await bench.deliver()).toBeNull()
    expect(bench.llm.requests).toHaveLength(1)
    expect(await bench.row()).toMatchObject(ended)
    expect(await bench.ledger()).toMatchObject({ open: 0, reserved: 0 })
  })

  it('in a model call ends after it: the answer is stored and paid, what it asked for is not done', async () => {
    const bench: Bench = await Bench.open(db, {
      spec: asking,
      reads,
      script: async () => {
        expect(await cancel(bench)).toMatchObject({ was: 'RUNNING' })
        return { toolCalls: [{ id: '1', name: 'GITHUB_COMMENT', args: { body: 'x' } }] }
      },
    })
    expect(await bench.deliver()).toBeNull()
    expect(await bench.row()).toMatchObject({ ...ended, model_calls: 1, actions: 0 })
    expect(await bench.actions()).toBe(0)
    expect(await bench.ledger()).toMatchObject({ open: 0, charged: 1, reserved: 0 })
    expect(await bench.published(agentTopic(bench.agent.id))).toEqual([])
  })

  it('between the reservation and the call makes no call, and gives the reservation back', async () => {
    const probe = new Freezing(db)
    const whole = await Bench.open(db, { script: () => ({ text: 'ok' }) })
    await whole.deliver(whole.deps(probe.database))
    const reserving = probe.asked.findIndex((names) => names.includes('ledger.reserve')) + 1

    const bench = await Bench.open(db, { script: () => ({ text: 'ok' }) })
    const worker = new Freezing(db, reserving)
    const delivered = bench.deliver(bench.deps(worker.database, { clock: worker.clock }))
    await worker.frozen
    await cancel(bench)
    worker.thaw(0)
    expect(await delivered).toBeNull()
    expect(bench.llm.requests).toEqual([])
    expect(await bench.row()).toMatchObject(ended)
    expect(await bench.ledger()).toMatchObject({ open: 0, charged: 0, reserved: 0 })
  })

  it('is on record, with who and why, once', async () => {
    const bench = await Bench.open(db)
    await cancel(bench)
    expect(await cancel(bench, 'again')).toMatchObject({ told: false })
    await bench.finish()
    expect(await bench.row()).toMatchObject(ended)
    expect(await bench.decisions()).toContain('CANCELLED: cancelled by person:ada: wrong repository; it was QUEUED')
    const audited = await bench.published(topics.audit)
    expect(audited.filter((entry) => entry['event_type'] === 'RUN_CANCELLED')).toMatchObject([
      { actor: 'person:ada', payload: { was: 'QUEUED', note: 'wrong repository' } },
    ])
  })

  it('that is over, or that never was, is refused', async () => {
    const bench = await Bench.open(db, { script: () => ({ text: 'ok' }) })
    await bench.deliver()
    await expect(cancel(bench)).rejects.toMatchObject({ code: 'GUILD_RUN_OVER' })
    await expect(cancelRun(bench.deps(), { id: 'inv_none', by: 'person:ada', note: null })).rejects.toMatchObject({
      code: 'GUILD_NOT_FOUND',
    })
  })
})
