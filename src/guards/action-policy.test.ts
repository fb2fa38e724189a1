import { describe, expect, it } from 'vitest'
import type { Condition } from '../codex/condition.ts'
import { agent, chapter, policy } from '../codex/kinds.ts'
import type { CompiledAgent, CompiledDenial } from '../codex/snapshot.ts'
import { actionPolicy, type ActionPolicyInput } from './action-policy.ts'
import { targetMatches } from './target-glob.ts'

const yes: Condition = { text: 'true', test: () => ({ value: true, error: null }) }
const no: Condition = { text: 'false', test: () => ({ value: false, error: null }) }
const broken: Condition = { text: 'x.y', test: () => ({ value: false, error: 'No such key: y' }) }

describe('actionPolicy', () => {
  it.each<[string, Partial<ActionPolicyInput>, Partial<ReturnType<typeof actionPolicy>>]>([
    ['runs what is granted', {}, { verdict: 'run', autonomy: 2, rule: 'agents/sentinel.yaml#GITHUB_COMMENT' }],
    ['denies what is not granted', { grant: null }, { verdict: 'deny', reason: expect.stringContaining('grants no') }],
    ['asks at autonomy 1', { grant: grant({ autonomy: 1 }) }, { verdict: 'ask', autonomy: 1 }],
    ['recommends at autonomy 0', { grant: grant({ autonomy: 0 }) }, { verdict: 'recommend', autonomy: 0 }],
    ['runs silently at autonomy 3', { grant: grant({ autonomy: 3 }) }, { verdict: 'run', autonomy: 3 }],
    [
      'asks when the chapter is not known any more',
      { chapterMissing: 'gone' },
      { verdict: 'ask', rule: 'chapter gone' },
    ],
    ['takes the chapter’s lower ceiling', { chapter: chapterMax(1) }, { verdict: 'ask', rule: 'chapter payments' }],
    ['ignores a chapter’s higher ceiling', { chapter: chapterMax(3) }, { verdict: 'run', autonomy: 2 }],
    [
      'takes the organisation’s lower ceiling',
      { policies: [orgMax({ '*': 0 })] },
      { verdict: 'recommend', rule: 'policy org' },
    ],
    ['asks after words of the public', { integrity: 'public' }, { verdict: 'ask', rule: 'agents/sentinel.yaml#trust' }],
    ['asks after words of an outsider', { integrity: 'outsider' }, { verdict: 'ask' }],
    ['trusts members', { integrity: 'member' }, { verdict: 'run' }],
    [
      'denies another target',
      { target: 'octo/other#1' },
      { verdict: 'deny', reason: expect.stringContaining('octo/other#1') },
    ],
    ['acts within its thread', { grant: grant({ within: 'thread', targets: ['*'] }) }, { verdict: 'run' }],
    [
      'acts on the head commit of its thread, in any case of letters',
      { grant: grant({ within: 'thread', targets: ['*'] }), target: 'Octo/Shop@ABC' },
      { verdict: 'run' },
    ],
    [
      'denies outside of its thread',
      { grant: grant({ within: 'thread', targets: ['*'] }), target: 'octo/shop#13' },
      { verdict: 'deny', reason: 'octo/shop#13 is not the thread the run was woken in (octo/shop#12)' },
    ],
    [
      'denies everything while its thread is not known',
      { grant: grant({ within: 'thread', targets: ['*'] }), thread: [] },
      { verdict: 'deny', reason: expect.stringContaining('none that is known') },
    ],
    [
      'takes a ceiling for the type and target',
      { policies: [orgCeiling('GITHUB_*', 'octo/*', 1)] },
      { verdict: 'ask', rule: 'policy org' },
    ],
    ['passes a ceiling for other targets', { policies: [orgCeiling('GITHUB_*', 'evil/*', 0)] }, { verdict: 'run' }],
    ['passes a ceiling for other types', { policies: [orgCeiling('JIRA_*', '*', 0)] }, { verdict: 'run' }],
    ['acts under a waiver', { agent: { ...sentinel(), waiver: waiver('2026-11-23') } }, { verdict: 'run' }],
    [
      'asks once its waiver has expired',
      { agent: { ...sentinel(), waiver: waiver('2026-11-22') } },
      { verdict: 'ask', rule: 'policies/waivers.yaml:7', reason: expect.stringContaining('expired on 2026-11-21') },
    ],
    ['denies above max', { usedInRun: 1 }, { verdict: 'deny', reason: expect.stringContaining('used all 1') }],
    [
      'denies by policy',
      { denials: [denial(yes)] },
      { verdict: 'deny', rule: 'policies/org.yaml#freeze', reason: 'frozen' },
    ],
    ['denies without condition', { denials: [denial(null)] }, { verdict: 'deny', reason: 'frozen' }],
    ['passes a policy that does not apply', { denials: [denial(no), denial(yes, 'GITHUB_ISSUE')] }, { verdict: 'run' }],
    ['denies by a wildcard policy', { denials: [denial(yes, '*')] }, { verdict: 'deny' }],
    [
      'denies when a denial cannot be evaluated',
      { denials: [denial(broken)] },
      { verdict: 'deny', reason: expect.stringContaining('could not be evaluated') },
    ],
    ['runs when `when` holds', { grant: grant({ when: 'yes' }) }, { verdict: 'run' }],
    ['denies when `when` does not hold', { grant: grant({ when: 'no' }) }, { verdict: 'deny' }],
    ['denies when `when` cannot be evaluated', { grant: grant({ when: 'broken' }) }, { verdict: 'deny' }],
    ['denies when `when` was never compiled', { grant: grant({ when: 'lost' }) }, { verdict: 'deny' }],
    ['is in shadow by default', { connectorMode: 'shadow' }, { verdict: 'run', shadow: true }],
    ['is live when the Codex says so', { connectorMode: 'live' }, { shadow: false }],
    ['is live when the environment says so', { live: true, connectorMode: 'shadow' }, { shadow: false }],
  ])('%s', (_, change, expected) => {
    expect(actionPolicy({ ...base(), ...change })).toMatchObject(expected)
  })
})

describe('targetMatches', () => {
  it.each([
    ['octo/shop#12', '*', true],
    ['octo/shop#12', 'octo/shop#*', true],
    ['Octo/Shop#12', 'octo/*', true],
    ['evil/shop#12', 'shop#*', false],
    ['octo/shop#12', 'octo/shop', false],
    ['octo/shop@abc', 'octo/*@a?c', true],
  ])('%s against %s: %s', (target, glob, expected) => {
    expect(targetMatches(target, glob)).toBe(expected)
  })

  it('stays quick on hostile input', () => {
    const started = performance.now()
    expect(targetMatches('a'.repeat(4_000), `${'*a'.repeat(60)}b`)).toBe(false)
    expect(performance.now() - started).toBeLessThan(500)
  })
})

function base(): ActionPolicyInput {
  return {
    type: 'GITHUB_COMMENT',
    target: 'octo/shop#12',
    grant: grant({}),
    agent: sentinel(),
    chapter: null,
    policies: [],
    denials: [],
    facts: {},
    integrity: 'verified',
    thread: ['octo/shop#12', 'octo/shop@abc'],
    at: new Date('2026-11-22T12:00:00Z'),
    usedInRun: 0,
    connectorMode: 'live',
    live: false,
  }
}

function grant(change: object): NonNullable<ActionPolicyInput['grant']> {
  return {
    type: 'GITHUB_COMMENT',
    autonomy: 2,
    max: 1,
    targets: ['octo/shop#*'],
    expires: '24h',
    await: false,
    ...change,
  }
}

function sentinel(): CompiledAgent {
  const manifest = agent.parse({
    apiVersion: 'guild/v1',
    kind: 'Agent',
    metadata: { name: 'sentinel', type: 'Sentinel', version: '1.0.0', owner: 'team-security' },
    spec: { prompt: { system: 'prompts/sentinel.md' } },
  })
  return {
    id: 'sentinel',
    manifest,
    place: { file: 'agents/sentinel.yaml', line: 1 },
    system: '',
    output: null,
    rules: [],
    files: {},
    conditions: new Map([
      ['yes', yes],
      ['no', no],
      ['broken', broken],
    ]),
    unmet: [],
  }
}

function chapterMax(autonomy: number): ActionPolicyInput['chapter'] {
  const spec = { autonomyMax: { GITHUB_COMMENT: autonomy } }
  return chapter.parse({ apiVersion: 'guild/v1', kind: 'Chapter', metadata: { name: 'payments' }, spec })
}

function orgMax(autonomyMax: Record<string, number>): ActionPolicyInput['policies'][number] {
  return policy.parse({ apiVersion: 'guild/v1', kind: 'Policy', metadata: { name: 'org' }, spec: { autonomyMax } })
}

function orgCeiling(type: string, target: string, max: number): ActionPolicyInput['policies'][number] {
  const spec = { ceilings: [{ type, targets: [target], max }] }
  return policy.parse({ apiVersion: 'guild/v1', kind: 'Policy', metadata: { name: 'org' }, spec })
}

function waiver(until: string): NonNullable<CompiledAgent['waiver']> {
  return { rule: 'policies/waivers.yaml:7', reason: 'r', approvedBy: 'ada', until: new Date(until) }
}

function denial(when: Condition | null, action = 'GITHUB_COMMENT'): CompiledDenial {
  return { name: 'freeze', place: { file: 'policies/org.yaml', line: 3 }, action, when, reason: 'frozen' }
}
