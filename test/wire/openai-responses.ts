import { setTimeout as delay } from 'node:timers/promises'
import type { ServerResponse } from 'node:http'
import { cut, pieces, write } from './fake.ts'
import type { FakeAnswer, FakeRequest } from './fake.ts'

/** OpenAI's streaming Responses API: https://platform.openai.com/docs/api-reference/responses-streaming */
export async function speakResponses(
  answer: FakeAnswer,
  request: FakeRequest,
  response: ServerResponse,
): Promise<void> {
  const stream = new Stream(response, request.body.model)
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
      await stream.open()
      await stream.message(answer.text ?? 'Half an ans')
      await stream.send('response.failed', { response: { error: { code: answer.type, message: answer.message } } })
      response.end()
      return
    case 'say':
      return say(answer, stream, response)
  }
}

async function say(
  answer: Extract<FakeAnswer, { kind: 'say' }>,
  stream: Stream,
  response: ServerResponse,
): Promise<void> {
  await stream.open()
  for (let ping = 0; ping < (answer.pings ?? 0); ping++) {
    await delay(answer.pingMs ?? 10)
    await write(response, ': keep-alive\n\n')
  }
  if (answer.thinking) await stream.reasoning(answer.thinking.text, answer.thinking.signature)
  if (answer.text !== undefined) await stream.message(answer.text)
  if (cut(response, answer.end)) return
  for (const [index, call] of (answer.calls ?? []).entries()) {
    await stream.call(call.id ?? `call_${index + 1}`, call.name, JSON.stringify(call.args))
  }
  const usage = { input_tokens: 25, output_tokens: 12, total_tokens: 37, ...answer.usage }
  if (answer.stop) {
    await stream.send('response.incomplete', { response: { incomplete_details: { reason: answer.stop }, usage } })
  } else await stream.send('response.completed', { response: { incomplete_details: null, usage } })
  response.end()
}

class Stream {
  readonly #response: ServerResponse
  readonly #model: string
  #sequence = 0
  #index = 0

  constructor(response: ServerResponse, model: string) {
    this.#response = response
    this.#model = model
  }

  async open(): Promise<void> {
    this.#response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'req_fake' })
    const response = { id: 'resp_fake', created_at: 1_700_000_000, model: this.#model, status: 'in_progress' }
    await this.send('response.created', { response })
    await this.send('response.in_progress', { response })
  }

  async message(text: string): Promise<void> {
    const output_index = this.#index++
    const item = { type: 'message', id: `msg_${output_index}`, role: 'assistant', content: [] }
    await this.send('response.output_item.added', { output_index, item })
    for (const delta of pieces(text)) {
      await this.send('response.output_text.delta', { item_id: item.id, output_index, content_index: 0, delta })
    }
    await this.send('response.output_item.done', { output_index, item })
  }

  async reasoning(text: string, encrypted_content: string): Promise<void> {
    const output_index = this.#index++
    const item = { type: 'reasoning', id: `rs_${output_index}`, summary: [], encrypted_content: null }
    const at = { item_id: item.id, output_index, summary_index: 0 }
    await this.send('response.output_item.added', { output_index, item })
    await this.send('response.reasoning_summary_part.added', { ...at, part: { type: 'summary_text', text: '' } })
    for (const delta of pieces(text)) await this.send('response.reasoning_summary_text.delta', { ...at, delta })
    await this.send('response.reasoning_summary_part.done', { ...at, part: { type: 'summary_text', text } })
    await this.send('response.output_item.done', { output_index, item: { ...item, encrypted_content } })
  }

  async call(call_id: string, name: string, args: string): Promise<void> {
    const output_index = this.#index++
    const item = { type: 'function_call', id: `fc_${output_index}`, call_id, name, arguments: '' }
    await this.send('response.output_item.added', { output_index, item })
    for (const delta of pieces(args)) {
      await this.send('response.function_call_arguments.delta', { item_id: item.id, output_index, delta })
    }
    await this.send('response.output_item.done', {
      output_index,
      item: { ...item, arguments: args, status: 'completed' },
    })
  }

  async send(type: string, data: object): Promise<void> {
    const event = { type, sequence_number: this.#sequence++, ...data }
    await write(this.#response, `event: ${type}\ndata: ${JSON.stringify(event)}\n\n`)
  }
}
