import { describe, expect, it } from 'vitest'
import type { LlmUsage } from '../llm/llm.ts'
import { tellsUsage, unreportedUsage } from './model-charge.ts'
import type { ModelRequest, ModelResponse } from './step.ts'

const request: ModelRequest = {
  alias: 'vllm/qwen',
  provider: 'vllm',
  model: 'qwen',
  steer: null,
  repair: false,
  closing: null,
  trim: 0,
  reservation: 'res_1',
  level: 'green',
  inputBytes: 0,
  inputTokens: 900,
  price: null,
  code: null,
  named: [],
}
const none: LlmUsage = {
  inputNocache: 0,
  inputCacheRead: 0,
  inputCacheWrite: 0,
  outputText: 0,
  outputReasoning: 0,
  raw: {},
}
const response: ModelResponse = {
  text: 'Größe',
  toolCalls: [{ id: '1', name: 'x', args: { a: 1 } }],
  stop: 'end',
  provider: 'vllm',
  model: 'qwen',
  opaque: null,
}

describe('tellsUsage', () => {
  it.each([
    ['an empty report of a server that has worked', request, none, false],
    ['a report with counts', request, { ...none, inputNocache: 12 }, true],
    ['a report whose counts are 0 and that says so', request, { ...none, raw: { prompt_tokens: 0 } }, true],
    ['rules, which cost nothing', { ...request, provider: 'rules' }, none, true],
  ])('judges %s', (_, asked, usage, told) => {
    expect(tellsUsage(asked, usage)).toBe(told)
  })
})

describe('unreportedUsage', () => {
  it('charges the bound of the input and a token per byte of the answer', () => {
    expect(unreportedUsage(request, response)).toMatchObject({
      inputNocache: 900,
      outputText: 'Größe'.length + 2 + '{"a":1}'.length,
    })
  })
})
