import { describe, expect, it } from 'vitest'
import { compileCondition } from './condition.ts'
import { evaluateRules } from './rules.ts'
import type { CompiledRule } from './snapshot.ts'

const facts = {
  event: { type: 'PR_OPENED', payload: { number: 12, title: 'Fix' }, metadata: { chapter: 'web' } },
  context: { changes: { files: [{ filename: 'a.ts' }] } },
  agent: { id: 'scout' },
}

function rule(name: string, when: string, more: Partial<CompiledRule> = {}): CompiledRule {
  return { name, when: compileCondition(when), do: [], summary: null, stop: false, ...more }
}

describe('evaluateRules', () => {
  it('collects the calls of every rule that holds, in order', () => {
    const decision = evaluateRules(
      [
        rule('comment', 'payload.number > 10', {
          do: [
            {
              action: 'GITHUB_COMMENT',
              args: { number: '{{payload.number}}', body: '{{agent.id}}: {{payload.title}}' },
            },
          ],
          summary: 'Commented on #{{payload.number}}.',
        }),
        rule('not-this', "metadata.chapter == 'search'"),
        rule('label', 'size(context.changes.files) == 1', {
          do: [{ action: 'GITHUB_LABEL', args: { add: ['small'] } }],
        }),
      ],
      facts,
    )
    expect(decision).toEqual({
      calls: [
        { action: 'GITHUB_COMMENT', args: { number: 12, body: 'scout: Fix' }, rule: 'comment' },
        { action: 'GITHUB_LABEL', args: { add: ['small'] }, rule: 'label' },
      ],
      summary: 'Commented on #12.',
      matched: ['comment', 'label'],
      missing: [],
      errors: [],
    })
  })

  it('goes no further than a rule that says stop', () => {
    expect(evaluateRules([rule('first', 'true', { stop: true }), rule('second', 'true')], facts).matched).toEqual([
      'first',
    ])
  })

  it('says when no rule held, and which could not be evaluated', () => {
    const decision = evaluateRules([rule('odd', 'payload.gone > 1'), rule('no', 'false')], facts)
    expect(decision.summary).toBe('No rule matched; nothing to do.')
    expect(decision.errors).toEqual(['odd: No such key: gone'])
  })

  it('names the paths that led to nothing', () => {
    const decision = evaluateRules([rule('a', 'true', { summary: '{{payload.gone}}!' })], facts)
    expect(decision).toMatchObject({ summary: '!', missing: ['a: payload.gone'] })
  })

  it('stands an event that is none', () => {
    expect(evaluateRules([rule('a', 'has(payload.x)')], { event: null, context: {}, agent: {} }).matched).toEqual([])
  })
})
