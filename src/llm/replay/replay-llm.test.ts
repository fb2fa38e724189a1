import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Llm, LlmAnswer, LlmRequest } from '../llm.ts'
import { canonicalHash } from '../../kernel/canonical.ts'
import { questionOf, requestHash } from '../request-hash.ts'
import { recordingLlm, replayLlm } from './replay-llm.ts'

const options = { signal: new AbortController().signal }
const usage = {
  inputNocache: 9,
  inputCacheRead: 1,
  inputCacheWrite: 2,
  outputText: 3,
  outputReasoning: 4,
  raw: { x: 1 },
}
const said: LlmAnswer = {
  text: 'Looking.',
  toolCalls: [{ id: 'toolu_1', name: 'github-get_issue', args: { number: 7 } }],
  stop: 'tool_calls',
  usage,
  provider: 'anthropic',
  model: 'claude-sonnet-5',
}

it('gives the recorded answer again, bought with nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'guild-'))
  expect(await recordingLlm(saying(said), folder).call(request({}), options)).toEqual(said)
  expect(await replayLlm(folder).call(request({ provider: 'replay', model: 'replay' }), options)).toEqual({
    ...said,
    provider: 'replay',
    model: 'anthropic/claude-sonnet-5',
    usage: {
      inputNocache: 0,
      inputCacheRead: 0,
      inputCacheWrite: 0,
      outputText: 0,
      outputReasoning: 0,
      raw: { recorded: usage },
    },
  })
})

it('rejects a question that was never asked', async () => {
  const replay = replayLlm(join(tmpdir(), 'guild-no-such-folder'))
  await expect(replay.call(request({}), options)).rejects.toMatchObject({ code: 'GUILD_LLM_UNRECORDED' })
})

it('rejects a file that is no recording', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'guild-'))
  await recordingLlm(saying(said), folder).call(request({}), options)
  const [file = ''] = readdirSync(folder)
  writeFileSync(join(folder, file), '{"answer": 1}')
  await expect(replayLlm(folder).call(request({}), options)).rejects.toMatchObject({ code: 'GUILD_LLM_REJECTED' })
})

it('takes the same question of another run, with other ids, for the same', () => {
  const asked = (id: string, act: string, opaque: object) =>
    requestHash(
      request({
        messages: [
          { role: 'user', text: `Run inv_${'0'.repeat(25)}${act}` },
          { role: 'assistant', text: '', toolCalls: [{ id, name: 'x', args: {} }], opaque: { ...opaque } },
          { role: 'tool', results: [{ callId: id, name: 'x', isError: false, text: `act_${'1'.repeat(25)}${act}` }] },
        ],
      }),
    )
  expect(asked('toolu_1', 'a', {})).toBe(asked('call_9', 'b', { signature: 'x' }))
  expect(requestHash(request({}))).not.toBe(requestHash(request({ system: 'Other.' })))
  expect(requestHash(request({}))).toBe(
    requestHash(request({ facts: { event: 1, context: {}, agent: {}, rules: [] } })),
  )
})

const id = `act_${'0'.repeat(26)}`
it.each([
  ['no id', 'nothing', {}],
  ['an id in a text, behind a line break and an escape', `x ${id}\n${id} "\\n${id}"`, {}],
  ['an id in the name of an argument, which then sorts elsewhere', '', { [id]: 1, act_1: 2 }],
] as const)('names a recording by the hash of the question that it holds: %s', (_, text, args) => {
  const asked = request({
    messages: [
      { role: 'user', text },
      { role: 'assistant', text: '', toolCalls: [{ id: 'a', name: 'x', args }] },
    ],
  })
  expect(requestHash(asked)).toBe(canonicalHash(questionOf(asked)))
})

function saying(answer: LlmAnswer): Llm {
  return { call: () => Promise.resolve(answer) }
}

function request(change: Partial<LlmRequest>): LlmRequest {
  return {
    provider: 'anthropic',
    model: 'claude-sonnet-5',
    system: 'You are Sentinel.',
    messages: [{ role: 'user', text: 'What now?' }],
    tools: [],
    maxOutputTokens: 256,
    temperature: 0,
    output: null,
    facts: { event: {}, context: {}, agent: {}, rules: [] },
    ...change,
  }
}
