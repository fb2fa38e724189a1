// Mutations, each tried by hand in src/executor/execute-tools.ts:
// - empty structure passed on as it is: "says so with an empty object" reads {} with all three wires.
// - what was thrown passed on by String(): "throws an error without a message" reads Error, "throws no error at all" [object Object].
// - an error without words called empty: "says so without a word" reads (empty).
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Database } from '../../src/database/database.ts'
import { GuildError } from '../../src/kernel/errors.ts'
import { Secret } from '../../src/kernel/secret.ts'
import type { LlmEndpoint } from '../../src/llm/endpoint.ts'
import { vercelLlm } from '../../src/llm/vercel/vercel-llm.ts'
import { openTestDatabase } from '../database.ts'
import { Bench, type ReadAnswer } from '../executor-bench.ts'
import { startAnthropicFake } from '../wire/anthropic.ts'
import type { Fake } from '../wire/fake.ts'
import { startOpenaiFake } from '../wire/openai.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

/** Each way in which a tool may fail, and the words that must reach the model. */
const failures: readonly (readonly [string, ReadAnswer, RegExp])[] = [
  ['says so', { isError: true, text: 'ticket PAY-7 is locked' }, /ticket PAY-7 is locked/],
  ['says so without a word', { isError: true, text: '' }, /github\.search failed and gave no reason/],
  ['says so as data only', { isError: true, text: '', data: { code: 423, why: 'locked' } }, /why\\?":\\?"locked/],
  ['says so with an empty object', { isError: true, text: '', data: {} }, /github\.search failed and gave no reason/],
  [
    'throws',
    () => {
      throw new Error('socket hang up')
    },
    /socket hang up/,
  ],
  [
    'throws an error without a message',
    () => {
      throw new Error('')
    },
    /github\.search failed and gave no reason/,
  ],
  [
    'throws no error at all',
    () => Promise.reject({ status: 500 }), // oxlint-disable-line typescript/prefer-promise-reject-errors -- what some servers' clients do
    /github\.search failed and gave no reason/,
  ],
  [
    'takes too long',
    () => {
      throw new GuildError('GUILD_TOOL_TIMEOUT', { tool: 'github.search', ms: 15_000 })
    },
    /github\.search.*15/,
  ],
]

const vendors = [
  ['Anthropic', startAnthropicFake, { api: 'anthropic' }],
  ['OpenAI, Responses', startOpenaiFake, { api: 'openai-responses' }],
  ['OpenAI, chat completions', startOpenaiFake, { api: 'openai' }],
] as const

describe.each(vendors)('%s', (_, start, { api }) => {
  let fake: Fake
  beforeAll(async () => {
    fake = await start()
  })
  afterAll(() => fake.close())

  it.each(failures)('Tool error reaches the model as text, never `{}`: a tool that %s', async (__, answer, words) => {
    fake.script([
      { kind: 'say', calls: [{ id: 'call_1', name: 'github__search', args: { q: 'x' } }] },
      { kind: 'say', text: 'It failed.' },
    ])
    const before = fake.requests.length
    const endpoint: LlmEndpoint = { api, baseUrl: `${fake.url}/v1`, nativeOutput: true, key: new Secret('key') }
    const bench = await Bench.open(db, {
      spec: { tools: { allow: [{ name: 'github.search' }] } },
      reads: { 'github.search': answer },
    })
    await bench.deliver(bench.deps(undefined, { llm: vercelLlm({ endpoint: () => endpoint }) }))

    const told = toolResult(fake.requests[before + 1]?.body)
    expect(told).toMatch(words)
    expect(told).not.toMatch(/^\s*(\{\}|\[\]|null|undefined|\[object Object\])?\s*$/)
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', summary: 'It failed.' })
  })
})

/** The text of the only tool result of a request, as the vendor writes it. */
function toolResult(body: unknown): string {
  const found: string[] = []
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    if (Array.isArray(value)) return value.forEach(walk)
    const item = value as Readonly<Record<string, unknown>> // JSON objects
    const isResult =
      item['type'] === 'tool_result' || item['type'] === 'function_call_output' || item['role'] === 'tool'
    const content = item['content'] ?? item['output']
    if (isResult) found.push(typeof content === 'string' ? content : textOf(content))
    else Object.values(item).forEach(walk)
  }
  walk(body)
  expect(found).toHaveLength(1)
  return found[0] ?? ''
}

function textOf(content: unknown): string {
  return Array.isArray(content)
    ? content.map((part: { text?: string }) => part.text ?? '').join('')
    : JSON.stringify(content)
}
