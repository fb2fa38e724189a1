import { createHmac, randomUUID } from 'node:crypto'
import type { Secret } from '../kernel/secret.ts'

/** `X-Hub-Signature-256` as GitHub computes it. https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries */
export function signGithub(secret: string | Secret, rawBody: string | Uint8Array): string {
  const key = typeof secret === 'string' ? secret : secret.reveal()
  return `sha256=${createHmac('sha256', key).update(rawBody).digest('hex')}`
}

export interface GithubDelivery {
  /** the whole address, e.g. `http://127.0.0.1:8080/webhooks/github` */
  readonly url: string
  readonly secret: string | Secret
  /** `X-GitHub-Event` */
  readonly event: string
  /** an object is written as JSON; bytes are sent as they are */
  readonly body: object | string | Uint8Array
  /** GUID; the same one again is a redelivery. Default: a new one */
  readonly delivery?: string
  readonly hookId?: number
  /** GitHub waits 10 s. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** added last, so a test can leave out or forge any header (undefined removes it) */
  readonly headers?: Readonly<Record<string, string | undefined>>
}

export interface DeliveryAnswer {
  readonly delivery: string
  readonly status: number
  /** parsed where it is JSON, else text */
  readonly body: unknown
  readonly durationMs: number
  readonly headers: Readonly<Record<string, string>>
}

/** One signed delivery, as GitHub sends it, never retried. Rejects when nothing answers within the time. */
export async function deliver(options: GithubDelivery): Promise<DeliveryAnswer> {
  const { body, event, delivery = randomUUID() } = options
  const raw = typeof body === 'string' || body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body)
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'GitHub-Hookshot/sandbox',
    'x-github-event': event,
    'x-github-delivery': delivery,
    'x-github-hook-id': String(options.hookId ?? 1),
    'x-hub-signature-256': signGithub(options.secret, raw),
    ...options.headers,
  }
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 10_000)
  const startedAt = performance.now()
  const response = await fetch(options.url, {
    method: 'POST',
    body: raw,
    headers: Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    signal: options.signal ? AbortSignal.any([options.signal, timeout]) : timeout,
    redirect: 'manual',
  })
  const text = await response.text()
  return {
    delivery,
    status: response.status,
    body: parsed(text),
    durationMs: Math.round(performance.now() - startedAt),
    headers: Object.fromEntries(response.headers),
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
