import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Desk } from '../src/actions/desk.ts'
import { githubActionTypes } from '../src/actions/targets/github.ts'
import { connector } from '../src/codex/kind-connector.ts'
import { type CodexSnapshot, type CompiledPrivacy, noPrivacy } from '../src/codex/snapshot.ts'
import type { Database } from '../src/database/database.ts'
import type { ActionReceipt } from '../src/executor/action-intake.ts'
import type { ExecutorDeps } from '../src/executor/executor-deps.ts'
import type { JsonObject } from '../src/kernel/json.ts'
import { tableOutbox } from './actions.ts'
import { openTestDatabase } from './database.ts'
import { Bench, type BenchSetup, MortalDatabase, statement } from './executor-bench.ts'
import { load } from './codex-files.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const place = { file: 'policies/privacy.yaml', line: 9 }
const ada = 'ada@example.com'
const bob = 'bob@example.org'

/** Reads who the customer is, then writes a comment with what it was shown. */
function customerRun(serial: string, more: Partial<BenchSetup> = {}): BenchSetup {
  return {
    payload: { number: 12, title: `ask ${ada} ${serial}` },
    reads: { 'crm.get': { text: `owner ${bob}, second ${ada.toUpperCase()}` } },
    spec: {
      trust: { redact: ['email'], dataClasses: ['public', 'internal', 'sensitive'] },
      context: [{ id: 'customer', tool: 'crm.get', args: { of: '{{payload.title}}' } }],
      tools: { allow: [{ name: 'crm.get' }], actions: [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 3 }] },
    },
    script: (_, call) =>
      call === 1
        ? { toolCalls: [{ id: 't1', name: 'crm__get', args: { mail: '⟪email-2⟫' } }] }
        : call === 2
          ? {
              toolCalls: [
                {
                  id: 't2',
                  name: 'GITHUB_COMMENT',
                  args: comment(`${serial}: ask ⟪email-1⟫ or ⟪email-2⟫, not ⟪email-9⟫`),
                },
              ],
            }
          : { text: 'Asked ⟪email-1⟫.' },
    ...more,
  }
}

const comment = (body: string) => ({ repo: 'octo/shop', number: 12, body })

describe('personal data', () => {
  it('has a placeholder before the model, which a read and an action reverse', async () => {
    const bench = await Bench.open(db, customerRun('one'))
    await bench.finish(depsOf(bench))
    const sent = JSON.stringify(bench.llm.requests.map(({ system, messages, tools }) => ({ system, messages, tools })))
    expect(sent).not.toMatch(/ada@|bob@/i)
    // The event comes first, so its author of the mail is 1, in context too and however it is spelt.
    expect(sent).toContain('ask ⟪email-1⟫ one')
    expect(sent).toContain('owner ⟪email-2⟫, second ⟪email-1⟫')
    expect(bench.reads.at(-1)).toEqual({ name: 'crm.get', args: { mail: bob } })
    expect(await bodies(bench)).toEqual([`one: ask ${ada} or ${bob}, not ⟪email-9⟫`])
    const [transcript = ''] = bench.artifacts.values()
    expect(JSON.stringify(JSON.parse(transcript).messages)).not.toMatch(/ada@|bob@/i)
  })

  it('has the same placeholders after a crash, whatever it was that the dead worker had seen', async () => {
    for (const when of ['before', 'after'] as const) {
      const bench = await Bench.open(db, customerRun(`crash ${when}`))
      // Ends between the second answer and its action, which is then proposed by a worker that has asked no model itself; or behind both.
      const mortal = new MortalDatabase(db, when === 'before' ? undefined : 8, 'after')
      const deps = depsOf(bench, {}, mortal)
      const propose = () => Promise.reject(new Error('no room for actions'))
      const { intake } = deps
      const full: typeof intake = {
        propose,
        describe: (type) => intake.describe(type),
        outcomes: (tx, ids) => intake.outcomes(tx, ids),
      }
      await bench.deliver({ ...deps, intake: when === 'before' ? full : intake }).catch(() => null)
      expect(await bench.journal()).toContain('4 llm a/one DONE')
      expect(mortal.dead).toBe(when === 'after')
      await bench.finish(depsOf(bench))
      expect(await bodies(bench)).toEqual([`crash ${when}: ask ${ada} or ${bob}, not ⟪email-9⟫`])
    }
  })

  it('stays a placeholder where its class may not be sent to the target', async () => {
    const blocked = [{ target: 'octo/*', classes: ['email' as const], reason: 'the tracker is public', place }]
    const bench = await Bench.open(db, customerRun('blocked'))
    await bench.finish(depsOf(bench, { privacy: { ...noPrivacy, blocked } }))
    expect(await bodies(bench)).toEqual(['blocked: ask ⟪email-1⟫ or ⟪email-2⟫, not ⟪email-9⟫'])
  })

  it('that an action holds without a placeholder is refused for such a target, and the rule is named', async () => {
    const blocked = [{ target: 'octo/*', classes: ['email' as const], reason: 'the tracker is public', place }]
    const script: BenchSetup['script'] = (_, call) =>
      call === 1
        ? { toolCalls: [{ id: 't1', name: 'GITHUB_COMMENT', args: comment(`mail ${bob}`) }] }
        : { text: 'Done.' }
    const bench = await Bench.open(db, customerRun('raw', { script }))
    await bench.finish(depsOf(bench, { privacy: { ...noPrivacy, blocked } }))
    expect(await receipts(bench)).toMatchObject([
      { status: 'denied', reason: 'the arguments hold personal data (email): the tracker is public' },
    ])
  })

  it('cannot be had by writing a placeholder into an issue', async () => {
    const bench = await Bench.open(db, customerRun('forged', { payload: { number: 12, title: `⟪email-1⟫ ${ada}` } }))
    await bench.finish(depsOf(bench))
    expect(JSON.stringify(bench.llm.requests[0]?.messages)).toContain('<<email-1>> ⟪email-1⟫')
  })

  it('is not looked for where nobody asks for it', async () => {
    const script = () => ({ text: 'Done.' })
    const bench = await Bench.open(db, { payload: { title: `ask ${ada}` }, script })
    await bench.finish(depsOf(bench))
    expect(JSON.stringify(bench.llm.requests[0]?.messages)).toContain(ada)
  })
})

describe('data classes', () => {
  const file = (name: string, spec: object) =>
    connector.parse({
      apiVersion: 'guild/v1',
      kind: 'Connector',
      metadata: { name },
      spec: { system: 'github', mode: 'live', ...spec },
    })
  const crm = (dataClass: string, toolClasses: Record<string, string> = {}) => file('crm', { dataClass, toolClasses })
  const withCrm = (reads: ReturnType<typeof crm>, privacy: CompiledPrivacy = noPrivacy) => ({
    privacy,
    connectors: new Map([
      ['github', file('github', {})],
      ['crm', reads],
    ]),
  })

  it('that the agent does not read are never fetched, neither as context nor by the model', async () => {
    const bench = await Bench.open(db, customerRun('restricted'))
    await bench.finish(depsOf(bench, withCrm(crm('internal', { get: 'restricted' }))))
    expect(bench.reads).toEqual([])
    expect(await bench.decisions()).toEqual(
      expect.arrayContaining([
        'CONTEXT_WITHHELD: customer is withheld from the model: it is restricted data',
        expect.stringContaining('RESULT_WITHHELD: crm.get is not asked: it holds restricted data'),
      ]),
    )
  })

  it.each([
    ['asked for', 'ask', 'PROPOSED', 'needs_approval'],
    ['denied', 'deny', 'DENIED', 'denied'],
  ] as const)('above the target’s: the action is %s', async (_, aboveTarget, state, status) => {
    const bench = await Bench.open(db, customerRun(`above ${aboveTarget}`))
    await bench.finish(depsOf(bench, withCrm(crm('sensitive'), { ...noPrivacy, aboveTarget })))
    expect(await receipts(bench)).toMatchObject([
      {
        status,
        reason: expect.stringContaining(
          'the run has read sensitive data, and octo/shop#12 is where internal data is kept',
        ),
      },
    ])
    expect(await column(bench, 'state')).toEqual([state])
    expect(await column(bench, 'confidentiality')).toEqual(['sensitive'])
  })

  it('that may never go to a target deny the action of a run that has read them, or more', async () => {
    const blocked = [{ target: '*', classes: ['sensitive' as const], reason: 'never in tickets', place }]
    const bench = await Bench.open(db, customerRun('never'))
    await bench.finish(depsOf(bench, withCrm(crm('sensitive'), { ...noPrivacy, blocked })))
    expect(await receipts(bench)).toMatchObject([
      { status: 'denied', reason: 'the run has read sensitive data: never in tickets' },
    ])
    expect(await column(bench, 'rule')).toEqual(['policies/privacy.yaml:9'])
  })
})

describe('patterns of a policy', () => {
  const policy = (patterns: string) => ({
    'policies/privacy.yaml': `apiVersion: guild/v1\nkind: Policy\nmetadata: { name: privacy }\nspec:\n  privacy:\n    patterns:\n${patterns}`,
  })

  it('are taken out of what a model sees and of what an action says, for good', async () => {
    const { snapshot } = load(policy(`      - { name: badge, regex: 'EMP-\\d{4}', action: redact }\n`))
    const privacy = snapshot?.privacy ?? noPrivacy
    const script: BenchSetup['script'] = (_, call) =>
      call === 1
        ? { toolCalls: [{ id: 't1', name: 'GITHUB_COMMENT', args: comment('pattern EMP-9876') }] }
        : { text: 'Done.' }
    const bench = await Bench.open(db, customerRun('pattern', { payload: { title: 'of EMP-1234' }, script }))
    await bench.finish(depsOf(bench, { privacy }))
    expect(JSON.stringify(bench.llm.requests[0]?.messages)).toContain('of [private: badge]')
    expect(await bodies(bench)).toEqual(['pattern [private: badge]'])
  })

  it('hold for the transcript too where they began to serve after the model was asked', async () => {
    const { snapshot } = load(policy(`      - { name: badge, regex: 'EMP-\\d{4}', action: redact }\n`))
    let privacy = noPrivacy
    const bench = await Bench.open(
      db,
      customerRun('later', {
        payload: { title: 'of EMP-1234' },
        script: () => {
          privacy = snapshot?.privacy ?? noPrivacy
          return { text: 'Done.' }
        },
      }),
    )
    const deps = depsOf(bench)
    const current = () => ({ ...deps.codex.current(), privacy })
    await bench.finish({ ...deps, codex: { ...deps.codex, current } })
    expect(JSON.stringify(bench.llm.requests[0]?.messages)).toContain('of EMP-1234')
    const [transcript = ''] = bench.artifacts.values()
    expect(JSON.stringify(JSON.parse(transcript).messages)).toContain('of [private: badge]')
    expect(JSON.stringify(JSON.parse(transcript).messages)).not.toContain('EMP-1234')
  })

  it.each([
    ['that does not parse', `      - { name: badge, regex: '(EMP', action: redact }\n`, /missing closing \)|parenthes/],
    [
      'that looks around, which RE2 does not',
      `      - { name: badge, regex: '(?<=x)y', action: redact }\n`,
      /not valid/,
    ],
    ['that matches everything', `      - { name: badge, regex: 'x*', action: block }\n`, /matches the empty text/],
  ])('%s makes the commit invalid, with its line', (_, text, message) => {
    const { problems } = load(policy(text))
    expect(problems).toMatchObject([
      { severity: 'error', file: 'policies/privacy.yaml', line: 7, message: expect.stringMatching(message) },
    ])
  })
})

function depsOf(bench: Bench, codex: Partial<CodexSnapshot> = {}, database: Database = db): ExecutorDeps {
  const snapshot = { ...bench.snapshot, ...codex }
  const systems = [{ system: 'github', types: githubActionTypes }]
  return bench.deps(database, {
    codex: { current: () => snapshot, at: () => Promise.resolve(snapshot), problems: () => null },
    intake: new Desk({ systems, outbox: tableOutbox, live: ['github', 'crm'] }),
  })
}

async function column(bench: Bench, name: string): Promise<readonly unknown[]> {
  const text = `SELECT ${name} AS value FROM guild_core.actions WHERE invocation_id = $1 ORDER BY lane`
  return (await db.query<{ value: unknown }>(statement(`column.${name}`, text), [bench.id])).rows.map(
    ({ value }) => value,
  )
}

async function bodies(bench: Bench): Promise<readonly unknown[]> {
  return (await column(bench, 'args')).map((args) => (args as JsonObject)['body']) // of comments
}

async function receipts(bench: Bench): Promise<readonly ActionReceipt[]> {
  return (await column(bench, 'receipt')) as readonly ActionReceipt[] // what the desk wrote
}
