import type { Actor, Integrity } from '../../kernel/event.ts'
import type { JsonObject } from '../../kernel/json.ts'
import { jsonBody } from '../json-body.ts'
import { verifyHmac } from '../signature.ts'
import {
  type EventDraft,
  type NativeDelivery,
  type NormaliseContext,
  type Normalised,
  type Parsed,
  type RawDelivery,
  type Source,
  unmappedType,
} from '../source.ts'
import { branchProtectionRule, member, membership, organization, repositoryEvent } from './github/administration.ts'
import { codeScanningAlert, dependabotAlert, secretScanningAlert, securityAdvisory } from './github/alerts.ts'
import { checkRun, checkSuite, status, workflowRun } from './github/checks.ts'
import { create, mergeGroup, push, release, remove } from './github/code.ts'
import { deploymentReview, deploymentStatus } from './github/deployments.ts'
import { markerIn } from './github/echo.ts'
import { type Fact, type Family, head } from './github/family.ts'
import { issueComment, issues } from './github/issues.ts'
import {
  pullRequest,
  pullRequestReview,
  pullRequestReviewComment,
  pullRequestReviewThread,
} from './github/pull-requests.ts'

const day = 24 * 3_600_000

/** GitHub webhooks (facts: edges 1.1–1.5). https://docs.github.com/en/webhooks */
export const github: Source = {
  name: 'github',
  // GitHub does not even fire a webhook above 25 MB.
  bodyBytesMax: 25 * 1024 * 1024,
  secretSetting: 'GITHUB_WEBHOOK_SECRET',
  // It never retries; people and the reconciler redeliver for 3 days, with the same GUID.
  replay: { deliveryMs: 7 * day, bodyHashMs: day },
  keptHeaders: [
    'content-type',
    'user-agent',
    'x-github-event',
    'x-github-delivery',
    'x-github-hook-id',
    'x-github-hook-installation-target-id',
    'x-github-hook-installation-target-type',
  ],
  verify: ({ headers, body }, secrets) =>
    verifyHmac({ algorithm: 'sha256', prefix: 'sha256=' }, headers['x-hub-signature-256'], body, secrets),
  parse,
  normalise,
}

const families: ReadonlyMap<string, Family> = new Map(
  [
    pullRequest,
    pullRequestReview,
    pullRequestReviewComment,
    pullRequestReviewThread,
    issues,
    issueComment,
    push,
    create,
    remove,
    release,
    mergeGroup,
    workflowRun,
    checkRun,
    checkSuite,
    status,
    deploymentStatus,
    deploymentReview,
    dependabotAlert,
    codeScanningAlert,
    secretScanningAlert,
    securityAdvisory,
    branchProtectionRule,
    repositoryEvent,
    member,
    membership,
    organization,
  ].map((family) => [family.event, family]),
)

/** Events with a type of their own; for documentation and for the permissions of an app. */
export const githubEvents: readonly string[] = [...families.keys()]

function parse({ headers, body }: RawDelivery): Parsed {
  const event = headers['x-github-event'] ?? ''
  // A header sent twice is joined with a comma, which neither pattern allows.
  if (!/^[a-z0-9_]{1,100}$/.test(event)) return { kind: 'invalid', what: 'one X-GitHub-Event header' }
  const deliveryId = headers['x-github-delivery'] ?? ''
  if (!/^[\w-]{1,100}$/.test(deliveryId)) return { kind: 'invalid', what: 'one X-GitHub-Delivery header' }
  const mediaType = (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase()
  const read = jsonBody(body, mediaType === 'application/x-www-form-urlencoded')
  if (read.kind === 'unreadable') return read
  if (event === 'ping' && 'zen' in read.value && 'hook_id' in read.value)
    return { kind: 'control', note: 'ping received: the webhook is connected' }
  return { kind: 'parsed', native: { deliveryId, event, body: read.value } }
}

function normalise(native: NativeDelivery, context: NormaliseContext): Normalised {
  const common = head.safeParse(native.body)
  if (!common.success)
    return { kind: 'misfit', reason: 'action, sender or repository have not the shape GitHub gives them' }
  const { sender, repository: repo, action } = common.data
  const reading = families.get(native.event)?.read(native.body, native.deliveryId) ?? { kind: 'facts', facts: [] }
  if (reading.kind === 'misfit') return reading
  const marker = markerIn(native)
  const self = marker !== null || (sender ? isOurs(sender.login, context.botLogins) : false)
  const facts = reading.facts.length > 0 ? reading.facts : [unmapped(native, repo?.full_name, repo?.html_url)]
  const drafts = facts.map((fact): EventDraft => ({
    type: fact.type,
    subject: fact.subject,
    actor: actorOf(sender, fact),
    priority: fact.priority,
    dedupKey: fact.dedupKey,
    occurredAt: instantOf(fact.occurredAt, context.receivedAt),
    correlationId: fact.correlationId ?? null,
    scope: repo?.full_name ?? null,
    self,
    marker,
    payload: {
      repo: repo?.full_name ?? null,
      action: action ?? null,
      sender: sender?.login ?? null,
      url: fact.subject.url,
      ...defined(fact.payload),
      github: native.body,
    },
  }))
  return { kind: 'events', drafts }
}

/** Row 60: nothing about it is trusted, it is only kept and counted. */
function unmapped({ event, deliveryId }: NativeDelivery, repo: string | undefined, url: string | undefined): Fact {
  return {
    type: unmappedType,
    priority: 'BACKGROUND',
    subject: { kind: repo ? 'repository' : 'delivery', id: repo ?? deliveryId, url: url ?? null },
    dedupKey: `gh:delivery:${deliveryId}`,
    occurredAt: null,
    integrity: 'outsider',
    payload: { event },
  }
}

interface Sender {
  readonly login: string
  readonly type?: string | null | undefined
}

function actorOf(sender: Sender | null | undefined, fact: Fact): Actor {
  const integrity: Integrity = fact.integrity
  const id = fact.actor?.id ?? sender?.login
  if (!id) return { kind: 'system', id: 'github', display: 'GitHub', integrity }
  return { kind: kindOf(sender), id, display: id, integrity }
}

function kindOf(sender: Sender | null | undefined): Actor['kind'] {
  if (sender?.type === 'Bot' || sender?.login.endsWith('[bot]')) return 'bot'
  // GitHub's own account, which raises alerts, is of type Organization.
  return sender?.login === 'github' || sender?.type === 'Organization' ? 'system' : 'user'
}

function isOurs(login: string, botLogins: readonly string[]): boolean {
  return botLogins.some((own) => own.toLowerCase() === login.toLowerCase())
}

/** ISO text or epoch seconds; what is absent, unreadable or in the future becomes the time of arrival. */
function instantOf(value: string | number | null | undefined, receivedAt: Date): Date {
  const instant = typeof value === 'number' ? new Date(value * 1_000) : new Date(value ?? Number.NaN)
  const ms = instant.getTime()
  return ms >= 0 && ms <= receivedAt.getTime() ? instant : receivedAt
}

function defined(payload: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined))
}
