import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export const repository = 'acme/orders'
export const login = 'guild-bot'

interface Comment {
  readonly id: number
  readonly body: string
  readonly createdMs: number
  updatedMs: number
}

/** One write that reached the target, whether or not its answer came back. */
export interface Effect {
  readonly issue: number
  readonly method: 'POST' | 'PATCH' | 'DELETE'
  /** performance.now() of this process */
  readonly atMs: number
}

const commentsPath = new RegExp(`^/repos/${repository}/issues/(\\d+)/comments$`)
const commentPath = new RegExp(`^/repos/${repository}/issues/comments/(\\d+)$`)
const issuePath = new RegExp(`^/repos/${repository}/issues/(\\d+)$`)

/**
 * A GitHub with comments on issues, as fast as a socket allows. It knows no idempotency, like the real one: each POST that arrives makes a
 * comment. Its clock is that of this process, which no fault touches.
 */
export class FakeTarget implements AsyncDisposable {
  readonly effects: Effect[] = []
  readonly #comments = new Map<number, Comment[]>()
  readonly #issueOf = new Map<number, number>()
  readonly #first = new Map<number, number>()
  readonly #server = createServer((request, response) => void this.#serve(request, response))
  #nextId = 1_000

  static async open(): Promise<FakeTarget> {
    const target = new FakeTarget()
    target.#server.keepAliveTimeout = 60_000
    target.#server.listen(0, '127.0.0.1')
    await once(target.#server, 'listening')
    return target
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port // it listens on TCP
  }

  /** When the issue got its first comment; undefined: it has none. */
  firstEffect(issue: number): number | undefined {
    return this.#first.get(issue)
  }

  /** issues with a comment */
  get reached(): number {
    return this.#first.size
  }

  /** Writes that reached the target, by issue. */
  counts(): ReadonlyMap<number, number> {
    const counts = new Map<number, number>()
    for (const { issue } of this.effects) counts.set(issue, (counts.get(issue) ?? 0) + 1)
    return counts
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer) // no encoding is set
    } catch {
      return // cut off before it was whole: nothing has happened
    }
    const [status, answer] = this.#answer(request.method ?? 'GET', request.url ?? '/', Buffer.concat(chunks).toString())
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
    response.end(JSON.stringify(answer))
  }

  #answer(method: string, link: string, text: string): readonly [number, unknown] {
    const url = new URL(link, 'http://target')
    const comments = commentsPath.exec(url.pathname)
    if (comments) {
      const issue = Number(comments[1])
      return method === 'POST' ? [201, this.write(issue, bodyOf(text))] : [200, this.#list(issue, url)]
    }
    const comment = commentPath.exec(url.pathname)
    if (comment) return this.#edit(method, Number(comment[1]), text)
    const issue = issuePath.exec(url.pathname)
    if (issue) return [200, { number: Number(issue[1]), state: 'open' }]
    if (url.pathname === '/user') return [200, { login }]
    return [404, { message: 'Not Found' }]
  }

  write(issue: number, body: string): object {
    const atMs = performance.now()
    this.effects.push({ issue, method: 'POST', atMs })
    if (!this.#first.has(issue)) this.#first.set(issue, atMs)
    const id = (this.#nextId += 1)
    const comment = { id, body, createdMs: Date.now(), updatedMs: Date.now() }
    this.#comments.set(issue, [...(this.#comments.get(issue) ?? []), comment])
    this.#issueOf.set(id, issue)
    return shown(issue, comment)
  }

  #list(issue: number, url: URL): readonly object[] {
    const since = Date.parse(url.searchParams.get('since') ?? '1970-01-01T00:00:00Z')
    return (this.#comments.get(issue) ?? [])
      .filter(({ updatedMs }) => updatedMs >= since)
      .map((comment) => shown(issue, comment))
  }

  #edit(method: string, id: number, text: string): readonly [number, unknown] {
    const issue = this.#issueOf.get(id)
    const list = issue === undefined ? [] : (this.#comments.get(issue) ?? [])
    const found = list.find((comment) => comment.id === id)
    if (issue === undefined || !found) return [404, { message: 'Not Found' }]
    if (method === 'GET') return [200, shown(issue, found)]
    if (method !== 'PATCH' && method !== 'DELETE') return [404, { message: 'Not Found' }]
    this.effects.push({ issue, method, atMs: performance.now() })
    const next = method === 'PATCH' ? [{ ...found, body: bodyOf(text), updatedMs: Date.now() }] : []
    this.#comments.set(
      issue,
      list.flatMap((comment) => (comment === found ? next : [comment])),
    )
    return [200, next[0] ? shown(issue, next[0]) : {}]
  }
}

function shown(issue: number, { id, body, createdMs, updatedMs }: Comment): object {
  return {
    id,
    body,
    user: { login },
    html_url: `https://github.com/${repository}/issues/${issue}#issuecomment-${id}`,
    created_at: new Date(createdMs).toISOString(),
    updated_at: new Date(updatedMs).toISOString(),
  }
}

function bodyOf(text: string): string {
  const body = (JSON.parse(text) as { body?: unknown }).body
  return typeof body === 'string' ? body : ''
}
