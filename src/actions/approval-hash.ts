import { canonicalHash } from '../kernel/canonical.ts'
import type { JsonObject } from '../kernel/json.ts'

export interface ApprovedThing {
  readonly type: string
  readonly target: string
  readonly args: JsonObject
  readonly codex_commit: string
  readonly expires_at: string | Date
}

/**
 * What a person hands back with the decision: the action, and the target as it was shown. If another look has found it changed since,
 * the decision was made on something else.
 * @param before null: it was not read
 */
export function seenHash(approval: string, before: JsonObject | null): string {
  return before === null ? approval : canonicalHash([approval, before])
}

/** What an approval binds (runs.md 5): the exact arguments, target, Codex and deadline. Anything else is another approval. */
export function approvalHash(thing: ApprovedThing): string {
  const { type, target, args, codex_commit } = thing
  return canonicalHash({ type, target, args, codex_commit, expires_at: new Date(thing.expires_at).toISOString() })
}
