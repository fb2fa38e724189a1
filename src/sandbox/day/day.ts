import { readFileSync } from 'node:fs'
import type { JsonObject } from '../../kernel/json.ts'

/** One thing that happens in the scripted day. Bodies have the shape and fields of GitHub's published samples. */
export type Scene =
  | { readonly kind: 'delivery'; readonly title: string; readonly event: string; readonly body: JsonObject }
  /** the same delivery once more, as GitHub redelivers it */
  | { readonly kind: 'redelivery'; readonly title: string; readonly of: string }
  | {
      readonly kind: 'forged' | 'unsigned' | 'broken'
      readonly title: string
      readonly event: string
      readonly body: JsonObject | string
    }
  /** many at once, and in their middle one that must not wait */
  | {
      readonly kind: 'burst'
      readonly title: string
      readonly deliveries: readonly { readonly event: string; readonly body: JsonObject }[]
      readonly urgent: { readonly event: string; readonly body: JsonObject }
    }

export const dayRepository = 'acme/payments-api'
export const dayPull = 41

/** The files of the pull request of the day, for the sandbox to serve. */
export const dayPullFiles = [
  {
    filename: 'src/capture/retry.ts',
    status: 'added',
    additions: 188,
    deletions: 0,
    patch:
      '@@ -0,0 +1,6 @@\n+export async function captureWithRetry(order: Order): Promise<Capture> {\n+  const key = idempotencyKey(order)\n+  return retry(() => gateway.capture(order, key), { attempts: 3 })\n+}',
  },
  {
    filename: 'src/capture/capture.ts',
    status: 'modified',
    additions: 61,
    deletions: 34,
    patch: '@@ -12,7 +12,7 @@\n-  return gateway.capture(order)\n+  return captureWithRetry(order)',
  },
  {
    filename: 'migrations/0042_capture_attempts.sql',
    status: 'added',
    additions: 17,
    deletions: 0,
    patch: '@@ -0,0 +1,3 @@\n+ALTER TABLE captures ADD COLUMN attempts integer NOT NULL DEFAULT 1;',
  },
  { filename: 'package-lock.json', status: 'modified', additions: 146, deletions: 3 },
] as const

const read = (name: string): JsonObject =>
  JSON.parse(readFileSync(new URL(`./${name}.json`, import.meta.url), 'utf8')) as JsonObject

/** A day at acme, in order. */
export function day(): readonly Scene[] {
  const opened = read('pull-request-opened')
  const forced = read('push-forced')
  const leaked = read('secret-scanning-alert-created')
  return [
    { kind: 'delivery', title: 'Ada opens a pull request', event: 'pull_request', body: opened },
    { kind: 'redelivery', title: 'GitHub delivers the same once more', of: 'Ada opens a pull request' },
    { kind: 'delivery', title: 'Grace rewrites the history of the default branch', event: 'push', body: forced },
    {
      kind: 'forged',
      title: 'Somebody without the secret sends a leaked-key alert',
      event: 'secret_scanning_alert',
      body: leaked,
    },
    {
      kind: 'unsigned',
      title: 'Somebody sends it without any signature',
      event: 'secret_scanning_alert',
      body: leaked,
    },
    {
      kind: 'broken',
      title: 'A signed delivery arrives that is no JSON',
      event: 'issues',
      body: '{"action": "opened", "issue": {"number": 4',
    },
    { kind: 'delivery', title: 'A merchant reports a bug', event: 'issues', body: read('issue-opened') },
    {
      kind: 'delivery',
      title: 'CI fails on the default branch',
      event: 'workflow_run',
      body: read('workflow-run-failed'),
    },
    {
      kind: 'burst',
      title: 'Forty deliveries arrive at once, and in their middle GitHub finds a live key (P0)',
      deliveries: Array.from({ length: 40 }, (_, at) =>
        at % 4 === 0
          ? { event: 'pull_request', body: updated(opened, at) }
          : { event: 'push', body: pushed(forced, at) },
      ),
      urgent: { event: 'secret_scanning_alert', body: leaked },
    },
    { kind: 'delivery', title: 'The pull request is merged', event: 'pull_request', body: read('pull-request-merged') },
  ]
}

/** An ordinary push to somebody's branch: most of what arrives, and nothing for an agent. */
function pushed(forced: JsonObject, at: number): JsonObject {
  return { ...forced, ref: `refs/heads/feature-${at}`, forced: false, before: sha(at), after: sha(at + 1) }
}

/** The pull request of the day after another push: a new head each time, as `synchronize` tells it. */
function updated(opened: JsonObject, at: number): JsonObject {
  const pull = opened['pull_request'] as JsonObject
  const head = pull['head'] as JsonObject
  return {
    ...opened,
    action: 'synchronize',
    before: sha(at),
    after: sha(at + 1),
    pull_request: {
      ...pull,
      head: { ...head, sha: sha(at + 1) },
      updated_at: new Date(Date.UTC(2026, 10, 20, 16, 0, at)).toISOString(),
    },
  }
}

function sha(n: number): string {
  return n.toString(16).padStart(40, 'b')
}
