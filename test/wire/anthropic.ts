import { setTimeout as delay } from 'node:timers/promises'
import type { ServerResponse } from 'node:http'
import { cut, pieces, startFake, write } from './fake.ts'
import type { Fake, FakeAnswer, FakeRequest, FakeScript } from './fake.ts'

/** A loopback server that speaks Anthropic's streaming Messages API: https://docs.anthropic.com/en/api/messages-streaming */
export async function startAnthropicFake(script: FakeScript = [{ kind: 'say', text: 'Hello.' }]): Promise<Fake> {
  return startFake({ '/v1/messages': speak }, script)
}

async function speak(answer: FakeAnswer, request: FakeRequest, response: ServerResponse): Promise<void> {
  switch (answer.kind) {
    case 'fail':
      response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers })
      response.end(JSON.stringify({ type: 'error', error: { type: answer.type, message: answer.message } }))
      return
    case 'raw':
      response.writeHead(answer.status, { 'content-type': answer.contentType ?? 'text/event-stream' })
      response.end(answer.body)
      return
    case 'break':
      await open(response, request, {})
      await block(response, 0, { type: 'text', text: '' }, textDeltas(answer.text ?? 'Half an ans'))
      await send(response, 'error', { error: { type: answer.type, message: answer.message } })
      response.end()
      return
    case 'say':
      return say(answer, request, response)
  }
}

async function say(
  answer: Extract<FakeAnswer, { kind: 'say' }>,
  request: FakeRequest,
  response: ServerResponse,
): Promise<void> {
  const { output_tokens = 12, ...input } = answer.usage ?? {}
  await open(response, request, input)
  for (let ping = 0; ping < (answer.pings ?? 0); ping++) {
    await delay(answer.pingMs ?? 10)
    await send(response, 'ping', {})
  }
  let index = 0
  if (answer.thinking) {
    await block(response, index++, { type: 'thinking', thinking: '' }, [
      ...pieces(answer.thinking.text).map((thinking) => ({ type: 'thinking_delta', thinking })),
      { type: 'signature_delta', signature: answer.thinking.signature },
    ])
  }
  if (answer.text !== undefined) await block(response, index++, { type: 'text', text: '' }, textDeltas(answer.text))
  if (cut(response, answer.end)) return
  for (const [position, call] of (answer.calls ?? []).entries()) {
    const id = call.id ?? `toolu_${position + 1}`
    await block(
      response,
      index++,
      { type: 'tool_use', id, name: call.name, input: {} },
      pieces(JSON.stringify(call.args)).map((partial_json) => ({ type: 'input_json_delta', partial_json })),
    )
  }
  const stop_reason = answer.stop ?? (answer.calls?.length ? 'tool_use' : 'end_turn')
  await send(response, 'message_delta', { delta: { stop_reason, stop_sequence: null }, usage: { output_tokens } })
  await send(response, 'message_stop', {})
  response.end()
}

async function open(response: ServerResponse, request: FakeRequest, usage: object): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'request-id': 'req_fake' })
  await send(response, 'message_start', {
    message: {
      id: 'msg_fake',
      type: 'message',
      role: 'assistant',
      model: request.body.model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: {
        input_tokens: 25,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        output_tokens: 1,
        ...usage,
      },
    },
  })
}

async function block(response: ServerResponse, index: number, start: object, deltas: readonly object[]): Promise<void> {
  await send(response, 'content_block_start', { index, content_block: start })
  for (const delta of deltas) await send(response, 'content_block_delta', { index, delta })
  await send(response, 'content_block_stop', { index })
}

function textDeltas(text: string): readonly object[] {
  return pieces(text).map((piece) => ({ type: 'text_delta', text: piece }))
}

async function send(response: ServerResponse, type: string, data: object): Promise<void> {
  await write(response, `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`)
}
