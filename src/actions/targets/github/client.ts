import { Octokit } from '@octokit/core'
import type { Clock } from '../../../kernel/clock.ts'
import type { Secret } from '../../../kernel/secret.ts'
import { type Failure, classifyAnswer, classifyFault } from './classify.ts'

export interface GithubClientOptions {
  /** Asked for each call, so that a rotated token is used at once; null: no token is configured. */
  readonly token: () => Promise<Secret | null>
  readonly baseUrl: string
  /** login the token acts as, where it is configured */
  readonly login: string | null
  readonly clock: Clock
  /** of one request, default 15 000 */
  readonly timeoutMs?: number
}

export interface GithubRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** below the base URL, starting with / */
  readonly path: string
  readonly body?: object
  /** default: every method but POST */
  readonly idempotent?: boolean
  /** not sent after this instant */
  readonly notAfter?: Date
}

export type GithubReply =
  | { readonly kind: 'ok'; readonly status: number; readonly data: unknown; readonly movedTo: string | null }
  | { readonly kind: 'failed'; readonly status: number | null; readonly failure: Failure }

const apiHeaders = { accept: 'application/vnd.github+json', 'x-github-api-version': '2022-11-28' } as const
const redirectsMax = 3
const replyBytesMax = 16 * 1024 * 1024
const perPage = 100
const pagesMax = 10

/**
 * GitHub's REST API, one call at a time, without any retry: the action executor owns waiting and repeating, because a client that
 * repeats a POST by itself makes two comments (edges 3.2). Redirects of renamed repositories are followed with the method kept, on the
 * same host only: the token must not travel.
 */
export class GithubClient {
  readonly baseUrl: string
  readonly #options: GithubClientOptions
  readonly #octokit: Octokit
  #login: string | null = null

  constructor(options: GithubClientOptions) {
    this.#options = options
    this.baseUrl = options.baseUrl.replace(/\/+$/, '')
    this.#octokit = new Octokit({ baseUrl: this.baseUrl, userAgent: 'foundry-guild', log: quiet })
  }

  /** The call as people see it: the token is never part of it. */
  describe(request: GithubRequest): { method: string; url: string; headers: Record<string, string>; body: unknown } {
    return {
      method: request.method,
      url: `${this.baseUrl}${request.path}`,
      headers: { ...apiHeaders, 'content-type': 'application/json', authorization: '[redacted]' },
      body: request.body ?? null,
    }
  }

  async send(request: GithubRequest, signal: AbortSignal): Promise<GithubReply> {
    const token = await this.#options.token()
    const reply = await this.#follow(request, token, signal)
    if (reply.kind === 'ok' || reply.status !== 401) return reply
    // A 401 is certainly not done: ask for the token once more, it may have been rotated since.
    const fresh = await this.#options.token()
    if (fresh?.reveal() === token?.reveal()) return reply
    return this.#follow(request, fresh, signal)
  }

  /** Pages through a list, at most 1 000 items, and stops at the first for which `found` gives something. */
  async find<T>(path: string, found: (item: unknown) => T | null, signal: AbortSignal): Promise<Found<T>> {
    for (let page = 1; page <= pagesMax; page += 1) {
      const query = `${path}${path.includes('?') ? '&' : '?'}per_page=${perPage}&page=${page}`
      const reply = await this.send({ method: 'GET', path: query }, signal)
      if (reply.kind === 'failed') return { kind: 'failed', failure: reply.failure }
      const items = listOf(reply.data)
      for (const item of items) {
        const value = found(item)
        if (value !== null) return { kind: 'found', value }
      }
      if (items.length < perPage) return { kind: 'absent', complete: true }
    }
    return { kind: 'absent', complete: false }
  }

  /** The login we act as: as configured, else asked for once. `login: null`: an app's token, which has no user. */
  async login(signal: AbortSignal): Promise<Login> {
    this.#login ??= this.#options.login
    if (this.#login !== null) return { kind: 'known', login: this.#login }
    const reply = await this.send({ method: 'GET', path: '/user' }, signal)
    if (reply.kind === 'ok') this.#login = textAt(reply.data, 'login')
    if (reply.kind === 'failed' && reply.failure.kind !== 'rejected') return { kind: 'failed', failure: reply.failure }
    return { kind: 'known', login: this.#login }
  }

  async #follow(request: GithubRequest, token: Secret | null, signal: AbortSignal): Promise<GithubReply> {
    let url = `${this.baseUrl}${request.path}`
    const idempotent = request.idempotent ?? request.method !== 'POST'
    for (let hops = 0; hops <= redirectsMax; hops += 1) {
      const reply = await this.#once({ ...request, idempotent }, url, token, signal)
      if (reply.kind !== 'redirect') return { ...reply, ...(reply.kind === 'ok' && { movedTo: hops > 0 ? url : null }) }
      const next = URL.parse(reply.location, url)
      if (!next || next.host !== new URL(this.baseUrl).host || next.protocol !== new URL(this.baseUrl).protocol) {
        return rejected(`GitHub redirects to another host (${next?.host ?? 'none'}); not followed`)
      }
      url = next.href
    }
    return rejected(`more than ${redirectsMax} redirects`)
  }

  async #once(
    request: GithubRequest & { idempotent: boolean },
    url: string,
    token: Secret | null,
    signal: AbortSignal,
  ): Promise<Once> {
    // A process that was frozen between two calls wakes up here: its lease may have lapsed, and another may have sent the same.
    if (signal.aborted || (request.notAfter && this.#options.clock.now() > request.notAfter)) {
      const failure: Failure = {
        kind: 'not-done',
        reason: 'stopped before anything was sent',
        retryAfterMs: 0,
        rateLimited: false,
      }
      return { kind: 'failed', status: null, failure }
    }
    try {
      const response = await this.#octokit.request({
        method: request.method,
        url,
        headers: { ...apiHeaders, ...(token && { authorization: `Bearer ${token.reveal()}` }) },
        ...(request.body && { data: request.body }),
        request: {
          redirect: 'manual',
          fetch: boundedFetch,
          signal: AbortSignal.any([signal, AbortSignal.timeout(this.#options.timeoutMs ?? 15_000)]),
        },
      })
      if (response.status >= 300) {
        const location = response.headers.location
        if (location && [301, 307, 308].includes(response.status)) return { kind: 'redirect', location }
        return rejected(`GitHub answered ${response.status} without a place to go`)
      }
      return { kind: 'ok', status: response.status, data: response.data, movedTo: null }
    } catch (error) {
      return this.#failed(error, request.idempotent)
    }
  }

  #failed(error: unknown, idempotent: boolean): GithubReply {
    const answer = answerOf(error)
    if (!answer) return { kind: 'failed', status: null, failure: classifyFault(error, idempotent) }
    const failure = classifyAnswer({ ...answer, idempotent, now: this.#options.clock.now() })
    return { kind: 'failed', status: answer.status, failure }
  }
}

export type Login =
  { readonly kind: 'known'; readonly login: string | null } | { readonly kind: 'failed'; readonly failure: Failure }

export type Found<T> =
  | { readonly kind: 'found'; readonly value: T }
  /** `complete: false`: there is more than 1 000 items */
  | { readonly kind: 'absent'; readonly complete: boolean }
  | { readonly kind: 'failed'; readonly failure: Failure }

type Once = GithubReply | { readonly kind: 'redirect'; readonly location: string }

/** A member of an answer, when it is a text or a number. */
export function textAt(value: unknown, ...path: readonly string[]): string | null {
  let at = value
  for (const name of path)
    at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[name] : undefined
  return typeof at === 'string' ? at : typeof at === 'number' ? String(at) : null
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} }

function rejected(reason: string): GithubReply & { kind: 'failed' } {
  return { kind: 'failed', status: null, failure: { kind: 'rejected', reason } }
}

/** Check runs come as `{total_count, check_runs}`, all other lists bare. */
function listOf(data: unknown): readonly unknown[] {
  if (Array.isArray(data)) return data
  const runs = typeof data === 'object' && data !== null && 'check_runs' in data ? data.check_runs : []
  return Array.isArray(runs) ? runs : []
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | number | undefined>>
  readonly message: string
}

/** Octokit's RequestError carries `response` only if there was one; without it `status` is made up (500). */
function answerOf(error: unknown): Answer | null {
  if (!(error instanceof Error) || !('response' in error) || typeof error.response !== 'object' || !error.response)
    return null
  const response = error.response as { status?: unknown; headers?: unknown }
  if (typeof response.status !== 'number') return null
  return { status: response.status, headers: (response.headers ?? {}) as Answer['headers'], message: error.message }
}

/** An answer larger than any that GitHub gives is cut off, so that a hostile server cannot fill the memory. */
async function boundedFetch(url: string | URL | Request, init?: RequestInit): Promise<Response> {
  const response = await fetch(url, init)
  if (!response.body) return response
  let bytes = 0
  const limit = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.byteLength
      if (bytes > replyBytesMax) controller.error(new Error(`the answer is larger than ${replyBytesMax} bytes`))
      else controller.enqueue(chunk)
    },
  })
  return new Response(response.body.pipeThrough(limit), response)
}
