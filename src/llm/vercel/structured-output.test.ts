import { describe, expect, it } from 'vitest'
import { isStrict, outputMode } from './structured-output.ts'

const text = { type: 'string' }
const object = (properties: Record<string, unknown>, more: object = {}) => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...more,
})
const deep = (levels: number): object => (levels === 0 ? object({ end: text }) : object({ next: deep(levels - 1) }))
const circular: Record<string, unknown> = object({})
circular['properties'] = { self: circular }

describe('isStrict', () => {
  it.each<[string, object, boolean]>([
    [
      'a closed object whose members are all required',
      object({ summary: text, ok: { type: ['boolean', 'null'] } }),
      true,
    ],
    [
      'nested lists, choices and constants',
      object({ a: { type: 'array', items: { anyOf: [text, { const: 1 }] } } }),
      true,
    ],
    ['an optional member', object({ a: text }, { required: [] }), false],
    ['an open object', object({ a: text }, { additionalProperties: true }), false],
    ['an object that says nothing of others', { type: 'object', properties: {}, required: [] }, false],
    ['a map', object({ a: { type: 'object', additionalProperties: text } }), false],
    ['a list at the top', { type: 'array', items: text }, false],
    ['a choice at the top', { anyOf: [object({})] }, false],
    ['a list of anything', object({ a: { type: 'array' } }), false],
    ['a keyword that would be ignored', object({ a: { type: 'string', pattern: '^(a+)+$' } }), false],
    ['a reference', object({ a: { $ref: '#' } }), false],
    ['ten levels', deep(9), true],
    ['more', deep(10), false],
    [
      'a hundred and one members',
      object(Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`m${n}`, text]))),
      false,
    ],
    ['a megabyte', object({ a: { ...text, description: 'x'.repeat(1_000_000) } }), false],
    ['one that contains itself', circular, false],
    ['a boolean inside', object({ a: true }), false],
  ])('judges %s', (_, schema, expected) => {
    expect(isStrict(schema)).toBe(expected)
  })
})

describe('outputMode', () => {
  const output = object({ ok: text })
  const tools = [{ name: 'x', description: 'x', inputSchema: {} }]
  it.each([
    [
      'Anthropic beside tools',
      { api: 'anthropic', nativeOutput: true },
      { output, tools, model: 'claude-sonnet-4-5' },
      'strict',
    ],
    [
      'an older Claude',
      { api: 'anthropic', nativeOutput: true },
      { output, tools, model: 'claude-sonnet-4-20250514' },
      'words',
    ],
    [
      'a gateway that speaks like Anthropic',
      { api: 'anthropic', nativeOutput: false },
      { output, tools, model: 'claude-sonnet-4-5' },
      'words',
    ],
    [
      'OpenAI beside tools',
      { api: 'openai-responses', nativeOutput: true },
      { output, tools, model: 'gpt-5.4' },
      'strict',
    ],
    [
      'a schema that does not qualify',
      { api: 'openai-responses', nativeOutput: true },
      { output: { type: 'object' }, tools, model: 'gpt-5.4' },
      'words',
    ],
    [
      'the same without tools',
      { api: 'openai-responses', nativeOutput: true },
      { output: { type: 'object' }, tools: [], model: 'gpt-5.4' },
      'loose',
    ],
    [
      'a local server beside tools',
      { api: 'openai-compatible', nativeOutput: true },
      { output, tools, model: 'qwen' },
      'words',
    ],
    [
      'a local server without',
      { api: 'openai-compatible', nativeOutput: false },
      { output, tools: [], model: 'qwen' },
      'loose',
    ],
    ['no schema', { api: 'openai-responses', nativeOutput: true }, { output: null, tools, model: 'gpt-5.4' }, 'none'],
  ] as const)('asks %s', (_, endpoint, request, expected) => {
    expect(outputMode(endpoint, request)).toBe(expected)
  })
})
