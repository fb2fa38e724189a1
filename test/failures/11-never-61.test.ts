// Mutations, each tried by hand:
// - src/executor/limits.ts, the closing call allowed beyond the limit: the first test counts 60 calls with tools, not 59.
// - src/executor/run-context.ts, lost calls not counted: the second test finds more than sixty.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Database } from '../../src/database/database.ts'
import { openTestDatabase } from '../database.ts'
import { AdmissionLine, lineAgent } from '../admission-line.ts'
import { anEvent, aRoute } from '../dispatch.ts'
import { Bench, type BenchSetup } from '../executor-bench.ts'
import { Freezing } from '../freezing.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const maxSteps = 60
const parallel = 4
let atOnce = 0
let atOnceMost = 0

/** Four reads and an action in every answer, for ever, always something new: no loop, only a limit ends it. */
const eager: BenchSetup = {
  spec: {
    limits: {
      maxSteps,
      maxToolCalls: 500,
      maxParallelTools: parallel,
      tokensPerInvocation: 10_000_000,
      costPerInvocation: 1_000,
    },
    tools: {
      allow: [
        { name: 'github.search', maxCalls: 100 },
        ...['files', 'log', 'tree', 'blame'].map((tool) => ({ name: `github.${tool}`, maxCalls: 100 })),
      ],
      actions: [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 100 }],
    },
  },
  reads: Object.fromEntries(
    ['search', 'files', 'log', 'tree', 'blame'].map((tool) => [
      `github.${tool}`,
      async () => {
        atOnce += 1
        atOnceMost = Math.max(atOnceMost, atOnce)
        await new Promise((resolve) => setImmediate(resolve))
        atOnce -= 1
        return { text: `${tool} found ${Math.random()}` }
      },
    ]),
  ),
  script: (request, call) => {
    if (request.tools.length === 0) return { text: 'So far.' }
    const reads = ['search', 'files', 'log', 'tree', 'blame'].map((tool) => ({
      id: `${tool}-${call}`,
      name: `github__${tool}`,
      args: { page: call },
    }))
    return { toolCalls: [...reads, { id: `say-${call}`, name: 'GITHUB_COMMENT', args: { body: `step ${call}` } }] }
  },
}

describe('`maxSteps: 60` with parallel tools and hand-offs → never 61', () => {
  it('sixty model calls, the last of which has no tools and tells what was done', async () => {
    const bench = await Bench.open(db, eager)
    await bench.deliver()
    expect(bench.llm.requests).toHaveLength(maxSteps)
    expect(bench.llm.requests.map(({ tools }) => tools.length > 0)).toEqual([
      ...Array<boolean>(maxSteps - 1).fill(true),
      false,
    ])
    expect(await bench.row()).toMatchObject({
      state: 'STOPPED',
      reason: 'MAX_STEPS',
      model_calls: maxSteps,
      summary: 'So far.',
      actions: maxSteps - 1,
    })
    expect(atOnceMost).toBe(parallel)
  })

  it('handed on from worker to worker, each of which freezes, is taken over and thaws: still sixty, lost ones included', async () => {
    const bench = await Bench.open(db, eager)
    const frozen: { readonly worker: Freezing; readonly ended: Promise<unknown> }[] = []
    for (let over = false; !over;) {
      await bench.lapse()
      // In the middle of a call, of its answer, of its tools: wherever the 9th to 15th round trip is.
      const worker = new Freezing(db, 9 + (frozen.length % 7), frozen.length % 2 === 0 ? 'before' : 'after')
      const deps = { ...bench.deps(worker.database, { clock: worker.clock }), owner: `worker-${frozen.length}` }
      const ended = bench.deliver(deps)
      over = await Promise.race([ended.then(() => true), worker.frozen.then(() => false)])
      if (!over) frozen.push({ worker, ended })
    }
    for (const { worker, ended } of frozen) {
      worker.thaw(200_000)
      await ended
    }
    expect(frozen.length).toBeGreaterThan(10)
    const calls = (await bench.journal()).filter((line) => line.includes(' llm '))
    const lost = calls.filter((line) => line.endsWith('LOST')).length
    expect(lost).toBeGreaterThan(3)
    expect(calls).toHaveLength(maxSteps)
    expect(bench.llm.requests.length).toBeLessThanOrEqual(maxSteps)
    expect(await bench.row()).toMatchObject({ state: 'STOPPED', reason: 'MAX_STEPS', model_calls: maxSteps })
    expect(await bench.actions()).toBe((await bench.row())['actions'])
  })

  it('a run that hands a part of its work on in every answer: sixty, and no more for those who take it', async () => {
    const limits = { maxSteps, maxToolCalls: 500, tokensPerInvocation: 10_000_000, costPerInvocation: 1_000 }
    const causal = { maxDepth: 3, maxFanOut: 1_000, maxCostPerTree: 10_000 }
    const line = new AdmissionLine(db, {
      agents: [
        lineAgent('scribe', { limits: { ...limits, causal }, handoff: { to: ['emissary'], budgetShare: 0.01 } }),
        lineAgent('emissary', { limits: { maxSteps: 1, causal } }),
      ],
      routes: [aRoute('opened', 'PR_OPENED', ['scribe'])],
      script: ({ tools, system }, call) => {
        if (tools.length === 0 || !system.startsWith('You are scribe.')) return { text: 'So far.' }
        const args = { to: 'emissary', task: `part ${call}`, why: 'more hands' }
        return { toolCalls: [{ id: `h${call}`, name: 'HANDOFF', args }] }
      },
    })
    line.publish([anEvent()])
    await line.settle()
    const runs = await line.runs()
    const calls = (agent: string) => runs.filter((run) => run['agent_id'] === agent).map((run) => run['model_calls'])
    expect(calls('scribe')).toEqual([maxSteps])
    expect(calls('emissary')).toEqual(Array<number>(maxSteps - 1).fill(1))
    expect(runs.find((run) => run['agent_id'] === 'scribe')).toMatchObject({ state: 'STOPPED', reason: 'MAX_STEPS' })
  })
})
