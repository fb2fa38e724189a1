import { describe, expect, it } from 'vitest'
import { aCodex, load } from '../../test/codex-files.ts'
import { explainAgent } from './explain-agent.ts'
import { agent, chapter } from './kinds.ts'
import { effectiveLimits, withinChapter } from './limit-range.ts'

const limits = agent.parse({
  apiVersion: 'guild/v1',
  kind: 'Agent',
  metadata: { name: 'a', type: 'A', version: '1.0.0', owner: 'us' },
  spec: { prompt: { system: 'p.md' }, limits: { maxSteps: 12, maxActiveDuration: '300s' } },
}).spec.limits
const stated = new Set(['maxSteps', 'maxActiveDuration'])
const range = (by: string, max: object, usual: object = {}) => ({ by, range: { max, default: usual } })

describe('effectiveLimits', () => {
  it.each<[string, ReturnType<typeof range>[], object, object]>([
    ['the manifest, when nobody bounds', [], { maxSteps: 12 }, {}],
    [
      'the maximum, when it is stricter',
      [range('org', { maxSteps: 8 })],
      { maxSteps: 8 },
      { maxSteps: 'maximum of org' },
    ],
    ['the manifest, when it is stricter', [range('org', { maxSteps: 20 })], { maxSteps: 12 }, {}],
    [
      'the strictest of organisation and chapter',
      [range('org', { maxSteps: 8 }), range('chapter', { maxSteps: 5 })],
      { maxSteps: 5 },
      { maxSteps: 'maximum of chapter' },
    ],
    [
      'a default, only for what the manifest does not say',
      [range('chapter', {}, { maxSteps: 3, maxToolCalls: 9 })],
      { maxSteps: 12, maxToolCalls: 9 },
      { maxToolCalls: 'default of chapter' },
    ],
    [
      'the maximum over a default',
      [range('org', { maxToolCalls: 4 }), range('chapter', {}, { maxToolCalls: 9 })],
      { maxToolCalls: 4 },
      { maxToolCalls: 'maximum of org' },
    ],
    [
      'the shorter time, in whatever unit',
      [range('org', { maxActiveDuration: '2m' })],
      { maxActiveDuration: '2m' },
      { maxActiveDuration: 'maximum of org' },
    ],
  ])('%s', (_, ranges, held, by) => {
    const effective = effectiveLimits(limits, stated, ranges)
    expect(effective.limits).toMatchObject(held)
    expect(effective.by).toEqual(by)
  })
})

describe('a Codex', () => {
  it('loads manifests with what their chapter and the organisation leave, and explains whose word holds', () => {
    const files: Record<string, string> = { ...aCodex() }
    files['policies/safe.yaml'] += `  limitRange: { max: { tokensPerInvocation: 30000 } }
  ceilings: [{ type: 'GITHUB_*', targets: ['octo/secret*'], max: 0 }]
`
    files['chapters/web.yaml'] += `  limitRange: { default: { maxSteps: 4 }, max: { maxToolCalls: 7 } }
  autonomyMax: { GITHUB_COMMENT: 1 }
`
    files['agents/scout.yaml'] = (files['agents/scout.yaml'] ?? '').replace(
      'type: Scout',
      'type: Scout\n  chapter: web',
    )
    const { snapshot, documents, lines } = load(files)
    expect(lines).toEqual([])
    const explained = snapshot && explainAgent(snapshot, documents, 'scout')
    expect(explained?.limits).toEqual(
      expect.arrayContaining([
        { name: 'maxSteps', value: '4', by: 'default of chapter web' },
        { name: 'maxToolCalls', value: '7', by: 'maximum of chapter web' },
        { name: 'tokensPerInvocation', value: '30000', by: 'maximum of policy safe' },
        { name: 'maxActiveDuration', value: '300s', by: 'the manifest' },
      ]),
    )
    expect(explained?.actions).toMatchObject([
      {
        type: 'GITHUB_COMMENT',
        granted: 2,
        autonomy: 1,
        by: 'chapter web',
        narrower: ['at most 0 on octo/secret* (policy safe)'],
      },
    ])
    expect(explained?.trifecta).toMatchObject({ stands: false, untrusted: [] })
    expect(snapshot && explainAgent(snapshot, documents, 'nobody')).toBeNull()
  })

  it('bounds an org-wide agent while it works for a chapter, and nowhere else', () => {
    const scout = load(aCodex()).snapshot?.agents.get('scout')
    const spec = { limitRange: { default: { maxToolCalls: 1 }, max: { maxSteps: 5 } } }
    const web = chapter.parse({ apiVersion: 'guild/v1', kind: 'Chapter', metadata: { name: 'web' }, spec })
    expect(scout && withinChapter(scout, web).manifest.spec.limits).toMatchObject({ maxSteps: 5, maxToolCalls: 24 })
    expect(scout && withinChapter(scout, undefined)).toBe(scout)
  })

  it('degrades an agent whose connector is not of the version, or has not the capability, that it requires', () => {
    const files: Record<string, string> = { ...aCodex() }
    const ask = (requires: string) =>
      load({
        ...files,
        'agents/scout.yaml': (aCodex()['agents/scout.yaml'] ?? '').replace(
          '  prompt:',
          `  requires: { connectors: [${requires}] }\n  prompt:`,
        ),
      })
    const unmet = (requires: string) => ask(requires).snapshot?.agents.get('scout')?.unmet
    expect(unmet("{ name: github, version: '>=2' }")).toEqual(['needs github >=2, and has none that its file names'])
    files['connectors/github.yaml'] += '  version: 2.1.0\n  capabilities: [issues.read]\n'
    expect(unmet("{ name: github, version: '>=2', capability: issues.read }")).toEqual([])
    expect(unmet("{ name: github, version: '>=3' }")).toEqual(['needs github >=3, and has 2.1.0'])
    expect(unmet('{ name: github, capability: issues.write }')).toEqual([
      'needs issues.write of github, which has issues.read',
    ])
    expect(ask("{ name: github, version: 'soon' }").lines[0]).toContain('is no range of versions')
  })
})
