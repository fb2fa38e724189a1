import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type GithubFault =
  /** the write happens, the answer never arrives */
  | { readonly kind: 'drop-after-write' }
  /** the connection breaks before anything happens */
  | { readonly kind: 'drop-before-write' }
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers?: Record<string, string>
      readonly message?: string
    }

interface Thing extends Record<string, unknown> {
  readonly id: number
  readonly place: string
}

/** A loopback GitHub with what the actions need, and faults for the next writes. Only for tests of src/actions. */
export class FakeGithub implements AsyncDisposable {
  readonly requests: {
    readonly method: string
    readonly path: string
    readonly body: unknown
    readonly authorization: string | undefined
  }[] = []
  readonly faults: GithubFault[] = []
  readonly things: Thing[] = []
  readonly labels = new Map<string, Set<string>>()
  readonly #server = createServer((request, response) => void this.#serve(request, response))
  readonly login = 'guild-bot'
  hasUser = true
  #inWrite = 0
  writesAtOnceMax = 0
  #nextId = 1_000

  static async open(): Promise<FakeGithub> {
    const fake = new FakeGithub()
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve))
    return fake
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  of(kind: string): Thing[] {
    return this.things.filter((thing) => thing.place.endsWith(`/${kind}`))
  }

  get writes(): readonly string[] {
    return this.requests.filter(({ method }) => method !== 'GET').map(({ method, path }) => `${method} ${path}`)
  }

  add(place: string, body: object, login = this.login): Thing {
    const id = (this.#nextId += 1)
    const at = new Date().toISOString()
    const html_url = `${this.url}${place}/${id}`
    const thing = { ...body, id, place, html_url, user: { login }, created_at: at, updated_at: at }
    this.things.push(thing)
    return thing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    const { method = 'GET' } = request
    const url = new URL(request.url ?? '/', this.url)
    const body: unknown = text === '' ? null : JSON.parse(text)
    this.requests.push({ method, path: url.pathname, body, authorization: request.headers.authorization })
    const fault = method === 'GET' ? undefined : this.faults.shift()
    if (fault?.kind === 'drop-before-write') return void request.socket.destroy()
    if (fault?.kind === 'answer')
      return send(response, fault.status, { message: fault.message ?? 'fault' }, fault.headers)
    this.#inWrite += method === 'GET' ? 0 : 1
    this.writesAtOnceMax = Math.max(this.writesAtOnceMax, this.#inWrite)
    if (method !== 'GET') await new Promise((resolve) => setImmediate(resolve))
    const [status, answer] = this.#answer(method, url, body as Record<string, unknown>)
    this.#inWrite -= method === 'GET' ? 0 : 1
    if (fault?.kind === 'drop-after-write') return void request.socket.destroy()
    send(response, status, answer)
  }

  #answer(method: string, url: URL, body: Record<string, unknown>): [number, unknown] {
    const path = url.pathname
    if (path === '/user')
      return this.hasUser ? [200, { login: this.login }] : [403, { message: 'Resource not accessible by integration' }]
    if (path.startsWith('/repos/gone/')) return [404, { message: 'Not Found' }]
    if (path.includes('/labels')) return this.#label(method, path, body)
    const edited = /\/issues\/comments\/(\d+)$/.exec(path)
    if (edited) return this.#edit(Number(edited[1]), body)
    if (method === 'POST') return [201, this.add(path, body)]
    const lists = this.things.filter(
      ({ place }) => place === path || (path.endsWith('/check-runs') && place.endsWith('/check-runs')),
    )
    const page = Number(url.searchParams.get('page') ?? 1)
    const size = Number(url.searchParams.get('per_page') ?? 30)
    const items = lists.slice((page - 1) * size, page * size)
    return [200, path.endsWith('/check-runs') ? { total_count: lists.length, check_runs: items } : items]
  }

  #edit(id: number, body: Record<string, unknown>): [number, unknown] {
    const index = this.things.findIndex((thing) => thing.id === id)
    const thing = this.things[index]
    if (!thing) return [404, { message: 'Not Found' }]
    const edited = { ...thing, ...body }
    this.things[index] = edited
    return [200, edited]
  }

  #label(method: string, path: string, body: Record<string, unknown>): [number, unknown] {
    const [issue = '', name] = path.split('/labels')
    const set = this.labels.get(issue) ?? new Set<string>()
    this.labels.set(issue, set)
    if (method === 'POST') for (const label of body['labels'] as string[]) set.add(label)
    const gone = decodeURIComponent(name?.slice(1) ?? '')
    if (method === 'DELETE' && !set.delete(gone)) return [404, { message: 'Label does not exist' }]
    return [200, [...set].map((label) => ({ name: label }))]
  }
}

function send(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers })
  response.end(JSON.stringify(body))
}
