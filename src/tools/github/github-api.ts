import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { reasonOf } from '../../kernel/errors.ts'
import type { Secret } from '../../kernel/secret.ts'

export interface GithubApiOptions {
  /** `https://api.github.com`, or `https://HOST/api/v3` of GitHub Enterprise */
  readonly apiUrl: string
  /** null: public data only, 60 requests an hour */
  readonly token: Secret | null
  /** of one request; default 10 000 */
  readonly timeoutMs?: number
  /** asked before every request; default: no limit but GitHub's */
  readonly admit?: Admission
}

/** May one more request go out? Waits for its turn where that is not long. */
export type Admission = (signal: AbortSignal) => Promise<{ readonly retryAfterMs: number } | null>

/** A read that failed, in words for a model and for people. */
export class GithubError extends Error {}

const bodyBytesMax = 8 * 1024 * 1024
const pageSize = 100
/** Three hundred items are more than a model reads. */
const pagesMax = 3
const retryMs = 300

/** Reads of the GitHub REST API, bounded in time, size and pages. https://docs.github.com/en/rest */
export class GithubApi {
  readonly #base: string
  readonly #token: Secret | null
  readonly #timeoutMs: number
  readonly #admit: Admission | undefined

  constructor({ apiUrl, token, timeoutMs = 10_000, admit }: GithubApiOptions) {
    this.#base = apiUrl.replace(/\/+$/, '')
    this.#token = token
    this.#timeoutMs = timeoutMs
    this.#admit = admit
  }

  /** @param path already encoded @throws GithubError, or the signal's reason */
  async get<T>(path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const { body } = await this.#fetch(path, signal)
    return parse(schema, body, path)
  }

  /** All items of a list, up to 300; `more` says that there are others. */
  async list<T>(
    path: string,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<{ items: readonly T[]; more: boolean }> {
    const items: T[] = []
    const glue = path.includes('?') ? '&' : '?'
    for (let page = 1; page <= pagesMax; page++) {
      const { body, more } = await this.#fetch(`${path}${glue}per_page=${pageSize}&page=${page}`, signal)
      items.push(...parse(z.array(schema), body, path))
      if (!more) return { items, more: false }
    }
    return { items, more: true }
  }

  async #fetch(path: string, signal: AbortSignal): Promise<{ body: unknown; more: boolean }> {
    for (let attempt = 1; ; attempt++) {
      const refused = await this.#admit?.(signal)
      if (refused) {
        const seconds = Math.ceil(refused.retryAfterMs / 1_000)
        throw new GithubError(`the guild reads from GitHub as often as it may; try again in ${seconds} s`)
      }
      const answer = await this.#once(path, signal)
      if (answer.kind === 'ok') return answer
      if (!answer.again || attempt > 1) throw new GithubError(answer.why)
      await delay(retryMs, undefined, { signal })
    }
  }

  async #once(path: string, signal: AbortSignal): Promise<Answer> {
    const limit = AbortSignal.timeout(this.#timeoutMs)
    try {
      const response = await fetch(`${this.#base}${path}`, {
        headers: {
          accept: 'application/vnd.github+json',
          'x-github-api-version': '2022-11-28',
          'user-agent': 'guild',
          ...(this.#token && { authorization: `Bearer ${this.#token.reveal()}` }),
        },
        signal: AbortSignal.any([signal, limit]),
      })
      const text = await bounded(response)
      if (!response.ok) return refusal(response, text, path)
      return { kind: 'ok', body: JSON.parse(text), more: /rel="next"/.test(response.headers.get('link') ?? '') }
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof GithubError) throw error
      if (limit.aborted)
        return { kind: 'failed', why: `GitHub gave no answer within ${this.#timeoutMs} ms`, again: false }
      const cause = error instanceof Error && error.cause ? reasonOf(error.cause) : reasonOf(error)
      return { kind: 'failed', why: `GitHub cannot be read: ${cause}`, again: true }
    }
  }
}

type Answer =
  | { readonly kind: 'ok'; readonly body: unknown; readonly more: boolean }
  | { readonly kind: 'failed'; readonly why: string; readonly again: boolean }

/**
 * Why GitHub said no. A primary limit is 403 or 429 with `x-ratelimit-remaining: 0`, a secondary one has `retry-after` or says so:
 * https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
 */
function refusal({ status, headers }: Response, text: string, path: string): Answer {
  const message = /"message"\s*:\s*"([^"]{1,300})"/.exec(text)?.[1] ?? ''
  const said = message ? ` (${message})` : ''
  const where = path.split('?')[0]
  if (status === 429 || (status === 403 && isLimit(headers, message))) {
    return { kind: 'failed', why: `GitHub limits the rate; try again ${limitEnd(headers)}${said}`, again: false }
  }
  if (status === 401) return { kind: 'failed', why: `GitHub does not accept the token${said}`, again: false }
  if (status === 403) return { kind: 'failed', why: `the token may not read ${where}${said}`, again: false }
  if (status === 404) {
    return { kind: 'failed', why: `GitHub has no ${where}, or the token may not see it`, again: false }
  }
  return { kind: 'failed', why: `GitHub answered ${status} to ${where}${said}`, again: status >= 500 }
}

function isLimit(headers: Headers, message: string): boolean {
  return headers.get('x-ratelimit-remaining') === '0' || headers.has('retry-after') || /rate limit|abuse/i.test(message)
}

function limitEnd(headers: Headers): string {
  const seconds = headers.get('retry-after')
  if (seconds && /^\d+$/.test(seconds)) return `in ${seconds} s`
  const reset = Number(headers.get('x-ratelimit-reset') ?? Number.NaN)
  return Number.isFinite(reset) ? `after ${new Date(reset * 1_000).toISOString()}` : 'in a minute'
}

async function bounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    // Leaving the loop cancels the body.
    if (bytes > bodyBytesMax)
      throw new GithubError(`GitHub’s answer is larger than ${bodyBytesMax} bytes; ask for less`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parse<T>(schema: z.ZodType<T>, body: unknown, path: string): T {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new GithubError(
    `GitHub’s answer to ${path.split('?')[0]} has another shape: ${issue?.path.join('.')} ${issue?.message}`,
  )
}
