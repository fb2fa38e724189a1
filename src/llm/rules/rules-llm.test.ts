import { describe, expect, it } from 'vitest'
import type { CompiledRule } from '../../codex/snapshot.ts'
import type { LlmMessage, LlmRequest } from '../llm.ts'
import { rulesLlm } from './rules-llm.ts'

const rules: readonly CompiledRule[] = [
  rule('label-big', true, {
    do: [{ action: 'GITHUB_LABELS', args: { add: ['size/{{payload.size}}'] } }],
    summary: 'Labelled {{payload.size}}.',
  }),
  rule('never', false, { do: [{ action: 'GITHUB_ISSUE', args: {} }] }),
  rule('say', true, { do: [{ action: 'GITHUB_COMMENT', args: { body: 'Big: {{context.pr.title}}' } }] }),
]
const user: LlmMessage = { role: 'user', text: 'An event.' }

describe('rulesLlm', () => {
  it('answers with the actions of the rules that match, from the facts alone, for 0 tokens', async () => {
    const answer = await ask([user])
    expect(answer.toolCalls).toEqual([
      { id: 'rule-1', name: 'GITHUB_LABELS', args: { add: ['size/xl'] } },
      { id: 'rule-2', name: 'GITHUB_COMMENT', args: { body: 'Big: Rewrite' } },
    ])
    expect(answer).toMatchObject({ stop: 'tool_calls', text: 'Labelled xl.', provider: 'rules' })
    const { raw, ...counts } = answer.usage
    expect(Object.values(counts)).toEqual([0, 0, 0, 0, 0])
    expect(raw).toEqual({})
  })

  it('ends after the receipts and says what became of each action', async () => {
    const { toolCalls, text } = await ask([user])
    const results = [
      { callId: 'rule-1', name: 'GITHUB_LABELS', isError: false, text: '{"status":"queued","action_id":"act_1"}' },
      { callId: 'rule-2', name: 'GITHUB_COMMENT', isError: true, text: '{"status":"denied","reason":"autonomy 0"}' },
    ]
    const answer = await ask([user, { role: 'assistant', text, toolCalls }, { role: 'tool', results }])
    expect(answer.stop).toBe('end')
    expect(answer.toolCalls).toEqual([])
    expect(answer.text).toBe('Labelled xl.\nGITHUB_LABELS: queued (act_1)\nGITHUB_COMMENT: denied (autonomy 0)')
  })

  it('says what a rule asks for and the run may not do', async () => {
    const answer = await ask([user], [])
    expect(answer.stop).toBe('end')
    expect(answer.text).toContain('Rule say asks for GITHUB_COMMENT, which this run may not use.')
  })

  it('decides afresh when a run falls back from a model to rules', async () => {
    const calls = [{ id: 'toolu_1', name: 'github-get_issue', args: {} }]
    const results = [{ callId: 'toolu_1', name: 'github-get_issue', isError: false, text: '{}' }]
    const answer = await ask([user, { role: 'assistant', text: '', toolCalls: calls }, { role: 'tool', results }])
    expect(answer.toolCalls).toHaveLength(2)
  })

  it('says that nothing matched instead of inventing something', async () => {
    const answer = await ask([user], undefined, [rule('never', false, {})])
    expect(answer).toMatchObject({ stop: 'end', toolCalls: [], text: 'No rule matched; nothing to do.' })
  })
})

function ask(messages: LlmRequest['messages'], offered = ['GITHUB_LABELS', 'GITHUB_COMMENT'], these = rules) {
  const request: LlmRequest = {
    provider: 'rules',
    model: 'rules',
    system: '',
    messages,
    tools: offered.map((name) => ({ name, description: '', inputSchema: {} })),
    maxOutputTokens: 100,
    temperature: 0,
    output: null,
    facts: { event: { payload: { size: 'xl' } }, context: { pr: { title: 'Rewrite' } }, agent: {}, rules: these },
  }
  return rulesLlm().call(request, { signal: new AbortController().signal })
}

function rule(name: string, value: boolean, more: Partial<CompiledRule>): CompiledRule {
  return {
    name,
    when: { text: String(value), test: () => ({ value, error: null }) },
    do: [],
    summary: null,
    stop: false,
    ...more,
  }
}
