/** Subjects that are a conversation or a piece of work: whoever answers there answers whoever spoke. */
const threads: ReadonlySet<unknown> = new Set(['pull_request', 'issue', 'ticket', 'discussion', 'message'])

/**
 * The targets that belong to the thread an event comes from: its subject, and the head commit of its pull request. A repository or a
 * branch is no thread: a new issue there begins another. Empty: the event is not known, or is about no thread.
 */
export function threadOf(
  event: { readonly payload: Readonly<Record<string, unknown>>; readonly metadata: object } | null,
): readonly string[] {
  const subject = event && 'subject' in event.metadata ? event.metadata.subject : null
  if (!event || typeof subject !== 'object' || subject === null) return []
  const { kind, id } = subject as { readonly kind?: unknown; readonly id?: unknown } // each is looked at below
  if (!threads.has(kind) || typeof id !== 'string' || id === '') return []
  const { head_sha: sha } = event.payload
  const repository = id.slice(0, Math.max(0, id.indexOf('#')))
  const head = kind === 'pull_request' && typeof sha === 'string' && repository !== '' ? [`${repository}@${sha}`] : []
  return [id, ...head]
}

/** Names have no case at GitHub. */
export function inThread(target: string, thread: readonly string[]): boolean {
  return thread.some((one) => one.toLowerCase() === target.toLowerCase())
}
