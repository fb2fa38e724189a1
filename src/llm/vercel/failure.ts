import { z } from 'zod'
import { GuildError, reasonOf } from '../../kernel/errors.ts'
import type { ErrorCode } from '../../kernel/errors.ts'
import type { Secret } from '../../kernel/secret.ts'

export interface FailureContext {
  readonly provider: string
  /** blotted out of the reason: some vendors repeat it */
  readonly key: Secret | null
  readonly nowMs: number
}

/** The stream ended without the vendor's end mark: what arrived may be half an answer, so it is none. */
export class StreamTruncated extends Error {
  constructor() {
    super('the answer ended in the middle')
  }
}

/** What the SDK throws or streams → the catalogue. The SDK's error is not kept as the cause: it carries the whole prompt. */
export function failureOf(error: unknown, { provider, key, nowMs }: FailureContext): GuildError {
  if (error instanceof GuildError) return error
  const failure = read(error)
  const code = codeOf(failure)
  const retryAfterMs = retryAfterOf(failure.headers, nowMs)
  const why = blot(whyOf(failure), key)
  return new GuildError(
    code,
    { provider, why },
    { cause: new Error(`${failure.name}: ${why}`), ...(retryAfterMs !== undefined && { retryAfterMs }) },
  )
}

function whyOf({ status, message }: Failure): string {
  if (status === null) return message
  // The SDK says that it “failed to process a successful response”: it was the connection that broke.
  return status < 300 ? new StreamTruncated().message : `${status} ${message}`
}

export interface Failure {
  readonly name: string
  readonly status: number | null
  /** the vendor's own words for the kind: `overloaded_error`, `context_length_exceeded` */
  readonly kind: string
  readonly message: string
  readonly headers: Readonly<Record<string, string>>
}

const overflowText =
  /prompt is too long|maximum context|context[_ ](length|window|limit|size)|exceed\w* (the )?(model's |available )?context|too many (input )?tokens|request too large/i

/** Status and kind decide; the text only tells a context overflow from other bad requests, as vendors give it no status. */
export function codeOf({ status, kind, message }: Omit<Failure, 'name' | 'headers'>): ErrorCode {
  if (status === 413 || /context_length|request_too_large/.test(kind)) return 'GUILD_LLM_CONTEXT_OVERFLOW'
  if (/content_filter|content_policy/.test(kind)) return 'GUILD_LLM_REFUSED'
  // Paid-up quota, not rate: it does not come back by waiting.
  if (/insufficient_quota|billing/.test(kind)) return 'GUILD_LLM_REJECTED'
  if (status === 429 && /request too large/i.test(message)) return 'GUILD_LLM_CONTEXT_OVERFLOW'
  if (status === 429 || status === 529 || /overloaded|rate_limit/.test(kind)) return 'GUILD_LLM_OVERLOADED'
  if (status === 503 && /overload|capacity/i.test(message)) return 'GUILD_LLM_OVERLOADED'
  if (status === null || status >= 500 || status === 408 || status === 409 || status === 425 || status < 400) {
    return 'GUILD_LLM_UNAVAILABLE'
  }
  return overflowText.test(message) ? 'GUILD_LLM_CONTEXT_OVERFLOW' : 'GUILD_LLM_REJECTED'
}

/** `retry-after-ms`, else `retry-after` in seconds or as an HTTP date (RFC 9110 §10.2.3). */
export function retryAfterOf(headers: Readonly<Record<string, string>>, nowMs: number): number | undefined {
  const ms = Number.parseFloat(headers['retry-after-ms'] ?? '')
  if (Number.isFinite(ms) && ms >= 0) return Math.round(ms)
  const after = headers['retry-after']?.trim()
  if (!after) return undefined
  if (/^\d+(\.\d+)?$/.test(after)) return Math.round(Number(after) * 1_000)
  const at = Date.parse(after)
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs)
}

const text = z.union([z.string(), z.number()]).transform(String)
/** The SDK's APICallError and its stream errors, and the bare `error` object an OpenAI-compatible server streams. */
const thrownSchema = z.object({
  name: z.string().optional(),
  message: z.string().default(''),
  statusCode: z.number().nullish(),
  responseHeaders: z.record(z.string(), z.string()).nullish(),
  responseBody: z.string().nullish(),
  type: text.nullish(),
  code: text.nullish(),
})
const bodySchema = z.object({
  error: z.union([
    z.string().transform((message) => ({ message, type: undefined, code: undefined })),
    z.object({ message: z.string().optional(), type: text.nullish(), code: text.nullish() }),
  ]),
})

function read(error: unknown): Failure {
  const thrown = thrownSchema.safeParse(error)
  if (!thrown.success) return { name: 'Error', status: null, kind: '', message: reasonOf(error), headers: {} }
  const { name, message, statusCode, responseHeaders, responseBody, type, code } = thrown.data
  const body = bodySchema.safeParse(parseJson(responseBody)).data?.error
  return {
    name: name ?? 'Error',
    status: statusCode ?? statusOf(code),
    kind: [type, code, body?.type, body?.code].filter(Boolean).join(' '),
    message: body?.message || message || (name ?? 'unknown'),
    headers: responseHeaders ?? {},
  }
}

/** OpenAI-compatible servers stream `{error: {code: 503}}` after a 200. */
function statusOf(code: string | null | undefined): number | null {
  return code && /^[45]\d\d$/.test(code) ? Number(code) : null
}

function parseJson(body: string | null | undefined): unknown {
  try {
    return JSON.parse(body ?? 'null')
  } catch {
    return null // a proxy's HTML page: the status says enough
  }
}

function blot(why: string, key: Secret | null): string {
  const revealed = key?.reveal()
  const clean = revealed && revealed.length >= 4 ? why.replaceAll(revealed, '[secret]') : why
  return clean.length > 400 ? `${clean.slice(0, 400)}…` : clean
}
