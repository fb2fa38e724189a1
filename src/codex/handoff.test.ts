import { describe, expect, it } from 'vitest'
import { aCodex, aScout, load } from '../../test/codex-files.ts'
import { receiverOf } from './handoff.ts'

describe('spec.handoff', () => {
  it.each([
    ['Sages', /^agents\/scout.yaml:10: .*“Sages”.*did you mean “Sage”/m],
    ['scout', /^agents\/scout.yaml:10: .*an agent hands nothing to itself/m],
  ])('names agents that exist, and others: %s', (to, line) => {
    expect(load(handing(to)).lines.join('\n')).toMatch(line)
  })

  it('means the agent of a name, else the one of a type that serves the chapter', () => {
    const { snapshot, lines } = load({ ...handing('Sage'), 'agents/sage-web.yaml': aScout('sage-web', 'Sage', 'web') })
    expect(lines).toEqual([])
    if (!snapshot) throw new Error('it was to load')
    const found = ['Sage', 'sage', 'sage-web', 'Nobody'].map((name) => receiverOf(snapshot, name, 'web')?.id ?? null)
    expect(found).toEqual(['sage-web', 'sage', 'sage-web', null])
    expect(receiverOf(snapshot, 'Sage', null)?.id).toBe('sage')
  })

  it('is the first leg of the trifecta for whoever takes the work: the giver may have read anything', () => {
    // Nobody routes an event to the sage, but it asks a model, reads issues and comments by itself.
    const files = handing('sage')
    files['agents/sage.yaml'] = aScout('sage', 'Sage')
      .replace('prefer: [rules]', 'prefer: [acme/smart, rules]')
      .replace(/ {2}triggers:\n.*\n.*\n/, '')
      .replace('  context:', '  trust: { minIntegrity: outsider }\n  context:')
    expect(load(files).lines.join('\n')).toContain('what scout hands on (agents/scout.yaml:10)')
    delete files['agents/scout.yaml']
    files['agents/scout.yaml'] = aScout('scout', 'Scout')
    expect(load(files).lines.join('\n')).not.toContain('hands on')
  })
})

function handing(to: string): Record<string, string> {
  return {
    ...aCodex(),
    'agents/scout.yaml': aScout('scout', 'Scout').replace('spec:\n', `spec:\n  handoff: { to: [${to}] }\n`),
    'agents/sage.yaml': aScout('sage', 'Sage'),
  }
}
