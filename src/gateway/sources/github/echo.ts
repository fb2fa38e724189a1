import type { JsonObject, JsonValue } from '../../../kernel/json.ts'
import type { NativeDelivery } from '../../source.ts'
import { lookup } from './family.ts'

/**
 * Where the words stand that an event and activity has just written. Our marker means an echo only there: an issue of ours that a person
 * labels a week later still carries the marker in its body.
 */
const written: Readonly<Record<string, readonly [activities: readonly string[], ...paths: readonly string[]]>> = {
  issue_comment: [['created', 'edited'], 'comment.body'],
  commit_comment: [['created'], 'comment.body'],
  issues: [['opened', 'edited'], 'issue.body'],
  pull_request: [['opened', 'edited'], 'pull_request.body'],
  pull_request_review: [['submitted', 'edited'], 'review.body'],
  pull_request_review_comment: [['created', 'edited'], 'comment.body'],
  check_run: [['created', 'completed'], 'check_run.external_id', 'check_run.output.summary'],
}

const inText = /guild:(act_[0-9a-hjkmnp-tv-z]{26})(?![0-9a-z])/
/** a check run's external_id may be the bare action id */
const bare = /^(act_[0-9a-hjkmnp-tv-z]{26})$/

/** `act_…` of the first marker in what this event wrote; null without one. A claim: anybody can copy a marker. */
export function markerIn({ event, body }: NativeDelivery): string | null {
  const [activities, ...paths] = lookup(written, event) ?? [[]]
  const { action } = body
  if (typeof action !== 'string' || !activities.includes(action)) return null
  for (const path of paths) {
    const text = at(body, path)
    const found = typeof text === 'string' ? (inText.exec(text) ?? bare.exec(text)) : null
    if (found?.[1]) return found[1]
  }
  return null
}

function at(body: JsonObject, path: string): JsonValue | undefined {
  let value: JsonValue | undefined = body
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, key))
      return undefined
    value = (value as JsonObject)[key]
  }
  return value
}
