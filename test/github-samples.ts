// GitHub's published samples, for the tests of the gateway.
import { createRequire } from 'node:module'
import type { EventDraft, NativeDelivery, Normalised } from '../src/gateway/source.ts'
import { github } from '../src/gateway/sources/github.ts'

export interface Sample {
  readonly event: string
  readonly index: number
  readonly body: Readonly<Record<string, unknown>>
}

const load = createRequire(import.meta.url)
const receivedAt = new Date('2026-11-22T12:00:00Z')
export const context = { botLogins: ['guild[bot]'], receivedAt }

export function samplesOf(set: string): readonly Sample[] {
  const events = load(`@octokit/webhooks-examples/${set}/index.json`) as { name: string; examples: Sample['body'][] }[]
  return events.flatMap(({ name, examples }) => examples.map((body, index) => ({ event: name, index, body })))
}
export const samples = samplesOf('api.github.com')

/** null: GitHub's ping, which is no event */
export function nativeOf(event: string, body: unknown, delivery = 'd-1'): NativeDelivery | null {
  const headers = { 'x-github-event': event, 'x-github-delivery': delivery, 'content-type': 'application/json' }
  const parsed = github.parse({ headers, body: Buffer.from(JSON.stringify(body)) })
  return parsed.kind === 'parsed' ? parsed.native : null
}

export function normalise(event: string, body: unknown, delivery?: string): Normalised {
  const native = nativeOf(event, body, delivery)
  if (!native) throw new TypeError(`${event} is not parsed`)
  return github.normalise(native, context)
}

export function drafts(event: string, body: unknown, delivery?: string): readonly EventDraft[] {
  const normalised = normalise(event, body, delivery)
  if (normalised.kind !== 'events') throw new TypeError(normalised.reason)
  return normalised.drafts
}

export function sample(event: string, match: (body: Sample['body']) => boolean = () => true): Sample['body'] {
  const found = samples.find((one) => one.event === event && match(one.body))
  if (!found) throw new TypeError(`no sample of ${event}`)
  return found.body
}

export const acting =
  (action: string) =>
  (body: Sample['body']): boolean =>
    body['action'] === action

/** `with` for plain JSON: a deep copy with some paths set. */
export function changed(body: Sample['body'], changes: Readonly<Record<string, unknown>>): Sample['body'] {
  const copy = structuredClone(body)
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split('.')
    const last = keys.pop() ?? ''
    let at = copy as Record<string, unknown>
    for (const key of keys) at = at[key] as Record<string, unknown>
    at[last] = value
  }
  return copy
}
