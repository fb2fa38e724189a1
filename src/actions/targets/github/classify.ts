import type { Outcome } from '../../target.ts'

export interface GithubAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | number | undefined>>
  readonly message: string
  /** repeating the call changes nothing: PATCH, PUT, DELETE, GET, and POST of a set (labels) */
  readonly idempotent: boolean
  readonly now: Date
}

/** What a call that did not succeed came to; never `done`. */
export type Failure = Exclude<Outcome, { kind: 'done' }>

/** GitHub asks for at least a minute where a secondary limit names no time. */
const secondaryLimitMs = 60_000

/**
 * What an answer other than 2xx means (edges 3.3, https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api):
 * limits come as 403 or 429 and are certainly not done; a 403 without their signs is a missing permission and permanent; a 5xx may
 * have been done, so a call that is not idempotent is in doubt.
 */
export function classifyAnswer(answer: GithubAnswer): Failure {
  const { status } = answer
  const reason = `GitHub answered ${status}: ${answer.message.slice(0, 500)}`
  const wait = rateLimitWaitMs(answer)
  if (wait !== null) return { kind: 'not-done', reason, retryAfterMs: wait, rateLimited: true }
  if (status === 409) return { kind: 'not-done', reason, retryAfterMs: 1_000, rateLimited: false }
  if (status === 408 || status >= 500) {
    const retryAfterMs = headerWaitMs(answer) ?? 0
    // 503 with Retry-After is an answer given before any work (edges 3, retry table).
    const refused = status === 503 && retryAfterMs > 0
    return answer.idempotent || refused
      ? { kind: 'not-done', reason, retryAfterMs, rateLimited: false }
      : { kind: 'unknown', reason }
  }
  return { kind: 'rejected', reason: hint(status, reason) }
}

/** What a call without any answer means. Only a connection that never stood is certainly not done. */
export function classifyFault(error: unknown, idempotent: boolean): Failure {
  const code = causeCode(error)
  const reason = `no answer from GitHub: ${code ?? describe(error)}`
  if (
    idempotent ||
    (code !== null && (neverConnected.has(code) || code.startsWith('ERR_TLS') || code.includes('CERT')))
  ) {
    return { kind: 'not-done', reason, retryAfterMs: 0, rateLimited: false }
  }
  return { kind: 'unknown', reason }
}

const neverConnected: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

function rateLimitWaitMs(answer: GithubAnswer): number | null {
  if (answer.status !== 403 && answer.status !== 429) return null
  const asked = headerWaitMs(answer)
  if (asked !== null) return asked
  if (String(answer.headers['x-ratelimit-remaining']) === '0') {
    const resetMs = Number(answer.headers['x-ratelimit-reset']) * 1_000 - answer.now.getTime()
    return Number.isFinite(resetMs) ? Math.max(1_000, resetMs) : secondaryLimitMs
  }
  return answer.status === 429 || /secondary rate|rate limit/i.test(answer.message) ? secondaryLimitMs : null
}

/** Retry-After in seconds or as an HTTP date (RFC 9110 §10.2.3). */
function headerWaitMs(answer: GithubAnswer): number | null {
  const header = answer.headers['retry-after']
  if (header === undefined || header === '') return null
  const seconds = Number(header)
  const ms = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(String(header)) - answer.now.getTime()
  return Number.isFinite(ms) ? Math.max(0, ms) : null
}

function hint(status: number, reason: string): string {
  if (status === 401) return `${reason} (the token is wrong or expired)`
  if (status === 403) return `${reason} (the token lacks the permission)`
  if (status === 404) return `${reason} (missing, or the token has no access)`
  if (status === 410) return `${reason} (deleted, or issues are disabled)`
  return reason
}

/** undici hides the socket's code in `cause`, Octokit hides undici's error in its own. */
function causeCode(error: unknown): string | null {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    if ('code' in at && typeof at.code === 'string') return at.code
    if (at.name === 'TimeoutError') return 'timeout'
  }
  return null
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error)
}
