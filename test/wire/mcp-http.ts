import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createMcpHandler, WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server'
import { type ServerLook, testServer } from './mcp-server.ts'

export interface McpHttpServer extends AsyncDisposable {
  readonly url: string
  readonly requests: readonly { readonly method: string; readonly headers: IncomingMessage['headers'] }[]
  /** tools called, in order */
  readonly calls: readonly string[]
  /** the same port, all sessions forgotten; with `look` it comes back with other tools */
  restart(look?: ServerLook): Promise<void>
  /** other tools from now on, without a restart; sessions that are open keep theirs */
  change(look: ServerLook): void
  /** sent as they are, instead of the next answers to tools/call */
  readonly instead: ((response: ServerResponse) => void)[]
}

/** `modern`: 2026 era, stateless. `sessions`: 2025 era with session ids; `json`: the same without event streams. */
export async function startMcpHttp(mode: 'modern' | 'sessions' | 'json'): Promise<McpHttpServer> {
  const requests: { method: string; headers: IncomingMessage['headers'] }[] = []
  const calls: string[] = []
  const instead: ((response: ServerResponse) => void)[] = []
  let look: ServerLook = {}
  const factory = () => testServer((tool) => calls.push(tool), look)
  let serve = mode === 'modern' ? createMcpHandler(factory).fetch : sessions(mode, factory)
  let server: Server = createServer()
  const listen = async (port: number): Promise<void> => {
    server = createServer((incoming, response) => {
      requests.push({ method: incoming.method ?? '', headers: incoming.headers })
      void (async () => {
        const chunks: Buffer[] = []
        for await (const chunk of incoming) chunks.push(chunk as Buffer)
        const body = Buffer.concat(chunks)
        const special = body.includes('"method":"tools/call"') ? instead.shift() : undefined
        if (special) special(response)
        else await answer(incoming, body, response, serve)
      })().catch(() => response.destroy())
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }
  const stop = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  await listen(0)
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    requests,
    calls,
    instead,
    change(next) {
      look = next
    },
    async restart(next = look) {
      look = next
      await stop()
      serve = mode === 'modern' ? createMcpHandler(factory).fetch : sessions(mode, factory)
      await listen(port)
    },
    [Symbol.asyncDispose]: stop,
  }
}

type Serve = (request: Request) => Promise<Response>

function sessions(mode: 'sessions' | 'json', factory: () => ReturnType<typeof testServer>): Serve {
  const open = new Map<string, WebStandardStreamableHTTPServerTransport>()
  return async (request) => {
    const id = request.headers.get('mcp-session-id')
    const known = id ? open.get(id) : undefined
    if (known) return known.handleRequest(request)
    if (id)
      return new Response('{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}', {
        status: 404,
      })
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      enableJsonResponse: mode === 'json',
      onsessioninitialized: (session) => void open.set(session, transport),
    })
    await factory().connect(transport)
    return transport.handleRequest(request)
  }
}

async function answer(incoming: IncomingMessage, body: Buffer, response: ServerResponse, serve: Serve): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const answered = await serve(
    new Request(`http://127.0.0.1${incoming.url}`, {
      method: incoming.method ?? 'GET',
      headers: incoming.headers as Record<string, string>,
      ...(body.length > 0 && { body }),
      signal: gone.signal,
    }),
  )
  response.writeHead(answered.status, Object.fromEntries(answered.headers))
  if (answered.body) await pipeline(Readable.fromWeb(answered.body as never), response)
  else response.end()
}
