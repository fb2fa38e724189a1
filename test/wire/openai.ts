import { setTimeout as delay } from 'node:timers/promises'
import type { ServerResponse } from 'node:http'
import { speakResponses } from './openai-responses.ts'
import { cut, pieces, startFake, write } from './fake.ts'
import type { Fake, FakeAnswer, FakeRequest, FakeScript } from './fake.ts'

/**
 * A loopback server that speaks streaming chat completions, as OpenAI, Ollama and vLLM do, and OpenAI's Responses API:
 * https://platform.openai.com/docs/api-reference/chat-streaming
 */
export async function startOpenaiFake(script: FakeScript = [{ kind: 'say', text: 'Hello.' }]): Promise<Fake> {
  return startFake({ '/v1/chat/completions': speak, '/v1/responses': speakResponses }, script)
}

async function speak(answer: FakeAnswer, request: FakeRequest, response: ServerResponse): Promise<void> {
  switch (answer.kind) {
    case 'fail': {
      const { status, type, message, code, headers } = answer
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify({ error: { message, type, param: null, code: code ?? null } }))
      return
    }
    case 'raw':
      response.writeHead(answer.status, { 'content-type': answer.contentType ?? 'text/event-stream' })
      response.end(answer.body)
      return
    case 'break':
      await open(response, request)
      for (const content of pieces(answer.text ?? 'Half an ans')) await send(response, chunk(request, { content }))
      await send(response, { error: { message: answer.message, type: answer.type, param: null, code: null } })
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
  await open(response, request)
  for (let ping = 0; ping < (answer.pings ?? 0); ping++) {
    await delay(answer.pingMs ?? 10)
    await write(response, ': keep-alive\n\n')
  }
  for (const content of pieces(answer.text ?? '')) await send(response, chunk(request, { content }))
  if (cut(response, answer.end)) return
  for (const [index, { id, name, args }] of (answer.calls ?? []).entries()) {
    const head = { index, id: id ?? `call_${index + 1}`, type: 'function', function: { name, arguments: '' } }
    await send(response, chunk(request, { tool_calls: [head] }))
    for (const piece of pieces(JSON.stringify(args))) {
      await send(response, chunk(request, { tool_calls: [{ index, function: { arguments: piece } }] }))
    }
  }
  const stop = answer.stop ?? (answer.calls?.length ? 'tool_calls' : 'stop')
  await send(response, chunk(request, {}, stop))
  if (request.body.stream_options?.include_usage) {
    const usage = { prompt_tokens: 25, completion_tokens: 12, total_tokens: 37, ...answer.usage }
    await send(response, { ...chunk(request, {}), choices: [], usage })
  }
  await write(response, 'data: [DONE]\n\n')
  response.end()
}

async function open(response: ServerResponse, request: FakeRequest): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'req_fake' })
  await send(response, chunk(request, { role: 'assistant', content: '' }))
}

function chunk(request: FakeRequest, delta: object, finish_reason: string | null = null): object {
  return {
    id: 'chatcmpl-fake',
    object: 'chat.completion.chunk',
    created: 1_700_000_000,
    model: request.body.model,
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
  }
}

async function send(response: ServerResponse, data: object): Promise<void> {
  await write(response, `data: ${JSON.stringify(data)}\n\n`)
}
