import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { auditMessage } from '../../src/audit/audit.ts'
import { noPrivacy, type PrivacyPattern } from '../../src/codex/snapshot.ts'
import type { Database } from '../../src/database/database.ts'
import { type PrivacyEngine, privacyEngine } from '../../src/guards/privacy/engine.ts'
import { Redactor, withheldStub } from '../../src/guards/privacy/redact.ts'
import { logger } from '../../src/processes/logger.ts'
import { ActionBench, githubTarget } from '../actions.ts'
import { openTestDatabase } from '../database.ts'
import { Bench } from '../executor-bench.ts'

/*
 * gh-aw #31708: the detector failed, and what it should have looked at passed.
 * Mutations:
 * - guards/privacy/engine.ts scanText: findings not checked → the model is asked; the proposal is not the guard's; the log line says it
 * - guards/privacy/engine.ts scanText: no check for a list → the state is not FAILED with POLICY
 * - guards/privacy/redact.ts find: engine not tried first → one that finds nothing lets the request, the action and the line out
 * - guards/privacy/redact.ts storedText: the text instead of the stub → `error_message` of the audit entry is not the stub
 * - guards/privacy/outbound.ts cleanArgs: `clean` on failure → the proposal is not denied by the guard
 * - guards/privacy/run-privacy.ts patternFindings: a pattern that throws is passed over → the model is asked
 * - executor/run-guard.ts guardRun: goes on with the raw event → the context tool is read
 * - executor/call-model.ts prepare: `raw` sent instead of `request(raw)` → the model is asked (broken in the middle; patterns)
 * - actions/judge.ts: `stricter` left out → the target is called once
 */

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const words = 'the words of the issue'
const sound = privacyEngine()
/** Finds what it is tried with, as each is before it is used, and then answers like this. */
function poisoned(answer: () => unknown): PrivacyEngine {
  let tried = false
  return {
    scan(text, classes) {
      if (tried) return answer() as never // no type can say what a poisoned engine answers
      tried = true
      return sound.scan(text, classes)
    },
  }
}
const answers = (answer: unknown) => poisoned(() => answer)
const poisons: readonly [string, () => PrivacyEngine][] = [
  [
    'throws',
    () =>
      poisoned(() => {
        throw new Error(`cannot read “${words}”`)
      }),
  ],
  ['answers with nothing', () => answers(undefined)],
  ['answers with a promise', () => answers(Promise.resolve([]))],
  ['answers with what is no finding', () => answers([{}])],
  ['answers with places outside the text', () => answers([{ start: 0, end: 1e9, class: 'secrets', kind: 'x' }])],
  [
    'answers with places that are no numbers',
    () => answers([{ start: Number.NaN, end: 4, class: 'secrets', kind: 'x' }]),
  ],
  ['finds nothing, whatever is there', () => ({ scan: () => [] })],
]

describe.each(poisons)('guard engine throws or returns garbage → fail closed: an engine that %s', (_, poison) => {
  it('no model is asked, and the run ends with POLICY', async () => {
    const bench = await Bench.open(db, {
      payload: { body: words },
      reads: { 'github.get': { text: words } },
      spec: { context: [{ id: 'pr', tool: 'github.get' }], model: { prefer: ['a/one', 'rules'] } },
      script: () => ({ text: 'never' }),
    })
    await bench.finish(bench.deps(db, { redactor: new Redactor(poison()) }))
    expect(bench.llm.requests).toEqual([])
    expect(bench.reads).toEqual([])
    expect(await bench.row()).toMatchObject({ state: 'FAILED', reason: 'POLICY', model_calls: 0 })
    expect(await bench.ledger()).toMatchObject({ open: 0, charged: 0 })
    expect(JSON.stringify([await bench.row(), await bench.decisions(), ...bench.artifacts.values()])).not.toContain(
      words,
    )
  })

  it('no action leaves: neither when it is proposed nor when it is carried out', async () => {
    const bench = new ActionBench(db, undefined, new Redactor(poison()))
    await bench.newRun()
    expect(await bench.propose({ args: { repo: 'octo/shop', number: 1, body: words } })).toMatchObject({
      status: 'denied',
      actionId: null,
      reason: expect.stringContaining('privacy guard failed'),
    })
    const later = new ActionBench(db)
    await later.newRun()
    const id = await later.accepted()
    let calls = 0
    const target = githubTarget('http://127.0.0.1:9', later.clock)
    target.execute = () => {
      calls += 1
      return Promise.reject(new Error('it was sent'))
    }
    await later.worker(target, { redactor: new Redactor(poison()) }).drain(id)
    expect(calls).toBe(0)
    expect(await later.get(id)).toMatchObject({
      state: 'DENIED',
      reason: expect.stringContaining('privacy guard failed'),
    })
  })

  it('log lines and records say only that they are withheld', () => {
    const lines: string[] = []
    const redactor = new Redactor(poison())
    logger({ logLevel: 'info' }, redactor, { write: (line) => void lines.push(line) }).info({ a: { b: words } }, words)
    expect(lines.join('')).not.toContain(words)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 30, msg: withheldStub })
    const entry = {
      id: 'aud_1',
      timestamp: '',
      event_type: 'ERROR',
      payload: { words },
      error_message: words,
      actor: 'a',
    }
    expect(auditMessage(entry, redactor).body).toMatchObject({
      payload: { withheld: withheldStub },
      error_message: withheldStub,
    })
  })
})

describe('guard engine throws or returns garbage → fail closed: in the middle of a run', () => {
  it('an engine that breaks after the event was read lets no request out', async () => {
    let broken = false
    const engine: PrivacyEngine = {
      scan: (text, classes) => {
        if (broken) throw new Error('gone')
        return sound.scan(text, classes)
      },
    }
    const bench = await Bench.open(db, {
      reads: {
        'github.get': () => {
          broken = true
          return { text: words }
        },
      },
      spec: { context: [{ id: 'pr', tool: 'github.get' }] },
      script: () => ({ text: 'never' }),
    })
    await bench.finish(bench.deps(db, { redactor: new Redactor(engine) }))
    expect(bench.llm.requests).toEqual([])
    expect(await bench.row()).toMatchObject({ state: 'FAILED', reason: 'POLICY' })
    expect(JSON.stringify([await bench.row(), ...bench.artifacts.values()])).not.toContain(words)
  })

  it.each<[string, PrivacyPattern['action'], () => readonly { start: number; end: number }[], string]>([
    [
      'throws',
      'redact',
      () => {
        throw new Error(words)
      },
      'FAILED',
    ],
    ['matches and blocks', 'block', () => [{ start: 0, end: 1 }], 'STOPPED'],
  ])('a pattern of a policy that %s lets no request out', async (_, action, find, state) => {
    const bench = await Bench.open(db, { payload: { body: words }, script: () => ({ text: 'never' }) })
    const place = { file: 'policies/privacy.yaml', line: 7 }
    const snapshot = {
      ...bench.snapshot,
      privacy: { ...noPrivacy, patterns: [{ name: 'badge', place, action, find }] },
    }
    const codex = { current: () => snapshot, at: () => Promise.resolve(snapshot), problems: () => null }
    await bench.finish(bench.deps(db, { codex }))
    expect(bench.llm.requests).toEqual([])
    expect(await bench.row()).toMatchObject({
      state,
      reason: 'POLICY',
      reason_detail: expect.stringContaining('policies/privacy.yaml#badge'),
    })
  })
})
