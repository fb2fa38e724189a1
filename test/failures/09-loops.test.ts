// Mutations, each tried by hand:
// - src/executor/loops.ts, five equal calls allowed: "364 identical reads in one answer" makes a third model call.
// - src/executor/loops.ts, without `alternates`: "A-B-A-B" goes on until another detector sees it, one call later.
// - src/executor/loops.ts, without `onlyCounts`: "always-new-but-useless results" reads twenty times instead of five.
// - src/executor/loops.ts, without `onlyReads`: "results that are new each time" makes all sixty model calls.
// - src/executor/execute-tools.ts, without twins: "364 identical reads in one answer" reads a hundred times.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Database } from '../../src/database/database.ts'
import { openTestDatabase } from '../database.ts'
import { Bench, type BenchSetup } from '../executor-bench.ts'
import { Freezing } from '../freezing.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const limits = { maxSteps: 60, maxToolCalls: 400, tokensPerInvocation: 10_000_000, costPerInvocation: 100 }
const spec = {
  limits,
  tools: { allow: ['search', 'status'].map((tool) => ({ name: `github.${tool}`, maxCalls: 100 })) },
}
const closing = { text: 'I was going in circles.' }
const call = (name: string, args: object, id: string) => ({ id, name: `github__${name}`, args })
let clock = 0

const identical: BenchSetup = {
  spec,
  reads: { 'github.search': { text: 'the same' } },
  script: (request, n) =>
    request.tools.length > 0 ? { toolCalls: [call('search', { pattern: 'x' }, `c${n}`)] } : closing,
}
const inTurn: BenchSetup = {
  spec,
  reads: { 'github.search': { text: 'found' }, 'github.status': { text: 'green' } },
  script: (request, n) => {
    if (request.tools.length === 0) return closing
    // By what it is told, not by how often it was asked: an answer that was lost is given again.
    const before = request.messages.filter(({ role }) => role === 'tool').length
    return { toolCalls: [call(before % 2 === 1 ? 'status' : 'search', {}, `c${n}`)] }
  },
}
/** Another question each time, and an answer that never was there before and never says anything. */
const useless: BenchSetup = {
  spec,
  reads: {
    'github.status': () => {
      clock += 1
      const at = new Date(Date.UTC(2026, 10, 22, 8, 0, clock)).toISOString()
      return {
        text: JSON.stringify({ status: 'pending', checked_at: at, request: `req_${clock}abcdefabcdef`, n: clock }),
      }
    },
  },
  script: (request, n) => (request.tools.length > 0 ? { toolCalls: [call('status', { nonce: n }, `c${n}`)] } : closing),
}

describe('364 identical reads; A-B-A-B; always-new-but-useless results → LOOP within 5', () => {
  it('364 identical reads: one is made, the third is told, the fifth is the last', async () => {
    const bench = await Bench.open(db, identical)
    await bench.deliver()
    expect(bench.reads).toHaveLength(1)
    expect(bench.llm.requests).toHaveLength(5 + 1)
    expect(JSON.stringify(bench.llm.requests[3]?.messages)).toContain('exactly this call 2 times before')
    expect(await bench.row()).toMatchObject({ state: 'STOPPED', reason: 'LOOP', summary: closing.text })
  })

  it('364 identical reads in one answer: one is made, and the run stops at once', async () => {
    const bench = await Bench.open(db, {
      ...identical,
      script: (request) =>
        request.tools.length > 0
          ? { toolCalls: Array.from({ length: 364 }, (_, n) => call('search', { pattern: 'x' }, `c${n}`)) }
          : closing,
    })
    await bench.deliver()
    expect(bench.reads).toHaveLength(1)
    expect(bench.llm.requests).toHaveLength(2)
    expect(await bench.row()).toMatchObject({ state: 'STOPPED', reason: 'LOOP', tool_calls: 364 })
  })

  it('A-B-A-B: stopped after the third pair', async () => {
    const bench = await Bench.open(db, inTurn)
    await bench.deliver()
    expect(bench.reads).toHaveLength(2)
    expect(bench.llm.requests).toHaveLength(6 + 1)
    expect(await bench.row()).toMatchObject({ state: 'STOPPED', reason: 'LOOP' })
  })

  it('always-new-but-useless results: the third is told, the fifth is the last', async () => {
    const bench = await Bench.open(db, useless)
    await bench.deliver()
    expect(bench.reads).toHaveLength(5)
    expect(JSON.stringify(bench.llm.requests[2]?.messages)).not.toContain('differ only in')
    expect(JSON.stringify(bench.llm.requests[3]?.messages)).toContain('differ only in numbers, times or ids')
    expect(await bench.row()).toMatchObject({
      state: 'STOPPED',
      reason: 'LOOP',
      reason_detail: '5 model calls in a row brought the same but for numbers, times and ids',
    })
  })

  it('results that are new each time and lead to nothing: stopped after twenty model calls', async () => {
    let pages = 0
    const bench = await Bench.open(db, {
      ...useless,
      reads: { 'github.status': () => ({ text: `page ${'i'.repeat((pages += 1))}` }) },
    })
    await bench.deliver()
    expect(bench.llm.requests).toHaveLength(20 + 1)
    expect(await bench.row()).toMatchObject({ state: 'STOPPED', reason: 'LOOP' })
  })

  it.each([
    ['identical reads', identical, 6],
    ['A-B-A-B', inTurn, 7],
    ['useless results', useless, 6],
  ])('%s: workers that die at any round trip reset no counter', async (_, setup, callsMax) => {
    const whole = new Freezing(db)
    const probe = await Bench.open(db, setup)
    await probe.deliver(probe.deps(whole.database))
    const detail = (await probe.row())['reason_detail']
    for (let edge = 2; edge <= whole.trips; edge += 3) {
      const bench = await Bench.open(db, setup)
      const dying = new Freezing(db, edge)
      const dead = bench.deliver(bench.deps(dying.database, { clock: dying.clock }))
      await dying.frozen
      await bench.finish({ ...bench.deps(), owner: 'worker-2' })
      dying.thaw(200_000)
      await dead
      const lost = (await bench.journal()).filter((line) => line.endsWith('LOST')).length
      expect({ edge, ...(await bench.row()) }).toMatchObject({ edge, reason: 'LOOP', reason_detail: detail })
      expect(bench.llm.requests.length).toBeLessThanOrEqual(callsMax + lost)
    }
  })
})
