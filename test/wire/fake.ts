import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

/** One answer of a fake provider, whichever wire format it speaks. */
export type FakeAnswer =
  | {
      readonly kind: 'say'
      readonly text?: string
      readonly thinking?: { readonly text: string; readonly signature: string }
      readonly calls?: readonly { readonly id?: string; readonly name: string; readonly args: unknown }[]
      /** as the vendor writes it; default: what fits text and calls */
      readonly stop?: string
      /** merged over a small usage block in the vendor's own format */
      readonly usage?: Readonly<Record<string, unknown>>
      /** `truncate`: the socket closes in the middle; `hang`: it stays open and silent, from the middle on */
      readonly end?: 'truncate' | 'hang'
      /** sends this many keep-alive events before the answer, one each `pingMs` */
      readonly pings?: number
      readonly pingMs?: number
    }
  | {
      readonly kind: 'fail'
      readonly status: number
      readonly type: string
      readonly message: string
      readonly code?: string
      readonly headers?: Readonly<Record<string, string>>
    }
  /** an error event inside a stream that began with 200 */
  | { readonly kind: 'break'; readonly type: string; readonly message: string; readonly text?: string }
  /** takes the request and never answers */
  | { readonly kind: 'hang' }
  /** closes the socket without an answer */
  | { readonly kind: 'drop' }
  | { readonly kind: 'raw'; readonly status: number; readonly body: string; readonly contentType?: string }

export interface FakeRequest {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into the vendor's JSON
  readonly body: any
}

/** A queue (the last one repeats), or a function of the request. */
export type FakeScript = readonly FakeAnswer[] | ((request: FakeRequest, index: number) => FakeAnswer)

export interface Fake extends AsyncDisposable {
  /** without a path: adapters add the API version */
  readonly url: string
  readonly requests: readonly FakeRequest[]
  /** replaces what has not been answered yet */
  script(next: FakeScript): void
  close(): Promise<void>
}

export type Speak = (answer: FakeAnswer, request: FakeRequest, response: ServerResponse) => Promise<void>

/** The HTTP side that both fakes share: loopback, recorded requests, one scripted answer per POST on a known path. */
export async function startFake(speakers: Readonly<Record<string, Speak>>, script: FakeScript): Promise<Fake> {
  const requests: FakeRequest[] = []
  let current = script
  let answered = 0
  const server = createServer((incoming, response) => {
    void (async () => {
      const chunks: Buffer[] = []
      for await (const chunk of incoming) chunks.push(chunk as Buffer)
      const text = Buffer.concat(chunks).toString()
      const path = incoming.url ?? ''
      const speak = speakers[path]
      if (incoming.method !== 'POST' || !speak) {
        response.writeHead(404, { 'content-type': 'application/json' })
        response.end(JSON.stringify({ error: { type: 'not_found_error', message: `no ${path} here` } }))
        return
      }
      const request: FakeRequest = { path, headers: incoming.headers, body: JSON.parse(text) }
      const index = answered++
      requests.push(request)
      const answer = typeof current === 'function' ? current(request, index) : (current[index] ?? current.at(-1))
      if (!answer) throw new Error('the fake has nothing to say')
      if (answer.kind === 'hang') return
      if (answer.kind === 'drop') incoming.socket.destroy()
      else await speak(answer, request, response)
    })().catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    script(next) {
      current = next
      answered = 0
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Cuts a text in pieces as a stream would. */
export function pieces(text: string): readonly string[] {
  return text.match(/.{1,7}/gsu) ?? []
}

/** Writes and waits until the kernel took it, so that a truncation comes after what was said. */
export async function write(response: ServerResponse, text: string | Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => response.write(text, (error) => (error ? reject(error) : resolve())))
}

/** @returns true when the answer ends here, by the script */
export function cut(response: ServerResponse, end: 'truncate' | 'hang' | undefined): boolean {
  if (end === 'truncate') response.socket?.end()
  return end !== undefined
}
