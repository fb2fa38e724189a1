import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Fake, FakeRequest } from './fake.ts'
import { write } from './fake.ts'

export const wires = ['anthropic', 'openai-responses', 'openai-chat'] as const
export type Wire = (typeof wires)[number]

/** What one POST is answered with: a file of `src/llm/vercel/fixtures`, for instance `anthropic/refusal.sse`. */
export type Recorded = string

/**
 * A loopback server that answers with recorded streams, byte by byte as the file has them, in small pieces. The name says how:
 * `.sse` a stream that ends, `.cut.sse` one whose connection breaks after the last byte, `.http` a whole response with its head.
 */
export async function startRecorded(
  script: readonly Recorded[] | ((request: FakeRequest, index: number) => Recorded),
): Promise<Omit<Fake, 'script'>> {
  const requests: FakeRequest[] = []
  const server = createServer((incoming, response) => {
    void answer(incoming, response).catch((error: unknown) => response.destroy(error as Error))
  })
  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString())
    const request: FakeRequest = { path: incoming.url ?? '', headers: incoming.headers, body }
    const index = requests.push(request) - 1
    const name = typeof script === 'function' ? script(request, index) : (script[index] ?? script.at(-1))
    if (name === undefined) throw new Error('nothing is recorded')
    await play(name, response)
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  return { url: `http://127.0.0.1:${port}`, requests, close, [Symbol.asyncDispose]: close }
}

async function play(name: Recorded, response: ServerResponse): Promise<void> {
  const text = readFileSync(new URL(`../../src/llm/vercel/fixtures/${name}`, import.meta.url), 'utf8')
  if (name.endsWith('.http')) {
    const [head = '', body = ''] = text.split('\n\n')
    const [status = '', ...headers] = head.split('\n')
    response.writeHead(
      Number(status.split(' ')[1]),
      headers.flatMap((line) => line.split(/: (.*)/s).slice(0, 2)),
    )
    response.end(body)
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  // Pieces that respect neither events nor characters, as a network's do not.
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += 211) await write(response, bytes.subarray(at, at + 211))
  if (name.endsWith('.cut.sse')) response.socket?.destroySoon()
  else response.end()
}
