import { canonicalHash } from '../../../kernel/canonical.ts'
import type { JsonObject } from '../../../kernel/json.ts'
import type { ActionCall, ActionType, Look, Outcome, Probe } from '../../target.ts'
import { type Found, type GithubClient, type GithubReply, type GithubRequest, textAt } from './client.ts'

/** One action type of GitHub: one file each. */
export interface GithubAction {
  readonly type: ActionType
  /** The call as it would be sent, without asking GitHub anything. */
  render(call: ActionCall): GithubRequest
  execute(github: GithubClient, call: ActionCall, signal: AbortSignal): Promise<Outcome>
  probe(github: GithubClient, call: ActionCall, sentAt: Date, signal: AbortSignal): Promise<Probe>
  /** absent: nothing to compare */
  look?(github: GithubClient, call: ActionCall, signal: AbortSignal): Promise<Look>
}

/** Clocks differ: what we sent at 12:00:00 may be listed as created at 11:59. */
const skewMs = 5 * 60_000

export function sinceParameter(sentAt: Date): string {
  return encodeURIComponent(new Date(sentAt.getTime() - skewMs).toISOString().replace(/\.\d+Z$/, 'Z'))
}

/** A 2xx that names what it made. One that cannot be read is in doubt: it was done, and the probe will find its name. */
export function outcomeOf(reply: GithubReply): Outcome {
  if (reply.kind === 'failed') return reply.failure
  const id = textAt(reply.data, 'id')
  if (id === null) return { kind: 'unknown', reason: `GitHub answered ${reply.status} with a body that cannot be read` }
  return {
    kind: 'done',
    ...remote(id, reply.data),
    ...(reply.movedTo && { detail: { ...remote(id, reply.data).detail, movedTo: reply.movedTo } }),
  }
}

/** What is to be compared of one answer; `gone` when there is nothing any more. */
export function lookOf(
  reply: GithubReply,
  compare: (data: unknown) => { readonly before: JsonObject; readonly after: JsonObject },
): Look {
  if (reply.kind === 'ok') return { kind: 'seen', comparison: compare(reply.data) }
  if (reply.status === 404 || reply.status === 410) return { kind: 'seen', comparison: compare(null) }
  const { failure } = reply
  return {
    kind: 'unknown',
    reason: failure.reason,
    retryAfterMs: failure.kind === 'not-done' ? failure.retryAfterMs : 0,
  }
}

/** Of a call whose effect can be read: is it there? */
export function probeByLook(look: Look, found: Extract<Outcome, { kind: 'done' }>): Probe {
  if (look.kind === 'unknown') return { kind: 'unknown', reason: look.reason, retryAfterMs: look.retryAfterMs }
  if (look.kind === 'nothing') return { kind: 'unknown', reason: 'there is nothing to look at', retryAfterMs: 0 }
  const { before, after } = look.comparison
  return canonicalHash(before) === canonicalHash(after) ? { ...found, kind: 'found' } : { kind: 'absent' }
}

/** GitHub stores line ends as CRLF and trims the end. */
export function plainWords(body: string): string {
  return body.replaceAll('\r\n', '\n').trimEnd()
}

export function remote(remoteId: string, item: unknown) {
  const login = textAt(item, 'user', 'login')
  return { remoteId, url: textAt(item, 'html_url'), detail: { ...(login !== null && { login }) } }
}

/** Looks for what the call made: `path` lists the candidates, newest work included. */
export async function probeByMark(
  github: GithubClient,
  path: (login: string | null) => string,
  sent: { readonly body: string; readonly mark: string },
  signal: AbortSignal,
): Promise<Probe> {
  const who = await github.login(signal)
  if (who.kind === 'failed') return probeOf(who)
  const ours = (item: unknown) => (isOurs(item, sent.body, sent.mark, who.login) ? item : null)
  return probeOf(await github.find(path(who.login), ours, signal))
}

/** Where a list was looked through completely, absence is certain; where it failed or is too long, nothing is. */
export function probeOf(found: Found<unknown>): Probe {
  if (found.kind === 'found') {
    const id = textAt(found.value, 'id')
    return id === null
      ? { kind: 'unknown', reason: 'GitHub lists it without an id', retryAfterMs: 0 }
      : { kind: 'found', ...remote(id, found.value) }
  }
  if (found.kind === 'failed') {
    const retryAfterMs = found.failure.kind === 'not-done' ? found.failure.retryAfterMs : 0
    return { kind: 'unknown', reason: found.failure.reason, retryAfterMs }
  }
  return found.complete
    ? { kind: 'absent' }
    : { kind: 'unknown', reason: 'there is more to look through than 1000 items', retryAfterMs: 0 }
}

/**
 * Ours: it carries the mark and we wrote it. Where the login is not known (an app's token), the whole body must be the one we sent:
 * a mark alone can be copied by anybody who reads the page's source.
 */
function isOurs(item: unknown, sentBody: string, mark: string, login: string | null): boolean {
  const body = textAt(item, 'body')
  if (!body?.includes(`<!-- ${mark} -->`)) return false
  if (login === null) return sameBody(body, sentBody)
  return textAt(item, 'user', 'login')?.toLowerCase() === login.toLowerCase()
}

function sameBody(a: string, b: string): boolean {
  return plainWords(a) === plainWords(b)
}
