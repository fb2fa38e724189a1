import { z } from 'zod'
import { dispositions, priorities } from '../kernel/event.ts'
import { levelNames } from '../ledger/ledger.ts'

/**
 * The shapes of the API's answers, as JSON: the OpenAPI document is made from them, the CLI reads them, and a test holds every answer
 * to them. Objects are loose: fields may be added.
 */
const time = z.string().describe('ISO 8601, UTC')
const count = z.int().min(0)
const json = z.record(z.string(), z.unknown())

export const decisionRow = z.looseObject({
  at: time,
  stage: z.string(),
  outcome: z.string(),
  agent_id: z.string().nullish(),
  invocation_id: z.string().nullish(),
  action_id: z.string().nullish(),
  rule: z.string().nullish(),
  reason: z.string(),
  codex_commit: z.string().nullish(),
  detail: json.nullish(),
})

export const eventRow = z.looseObject({
  id: z.string(),
  type: z.string(),
  source: z.string(),
  connector: z.string(),
  chapter: z.string().nullable(),
  priority: z.enum(priorities),
  trace_id: z.string(),
  subject_kind: z.string(),
  subject_id: z.string(),
  actor: z.string(),
  disposition: z.enum(dispositions),
  rule: z.string().nullable(),
  reason: z.string(),
  invocations: count,
  causal_root: z.string(),
  causal_depth: count,
  occurred_at: time,
  received_at: time,
  codex_commit: z.string(),
})

export const scheduleRow = z.looseObject({
  id: z.string(),
  name: z.string(),
  cron_expression: z.string(),
  timezone: z.string(),
  target_agent: z.string(),
  intent: z.string(),
  person: z.string().nullable(),
  chapter: z.string().nullable(),
  priority: z.enum(priorities),
  enabled: z.boolean(),
  last_run: time.nullable(),
  next_run: time.nullable(),
  missed: count.describe('slots that came due and were too old to make up for'),
  upcoming: z.array(z.object({ at: time, wall: z.string().describe('there'), clock_change: z.boolean() })),
})

export const treeRow = z.looseObject({
  root: z.string(),
  person: z.string().nullable().describe('whose doing it began with'),
  runs: count,
  depth: count.describe('of the deepest run'),
  cost_micros: count.describe('millionths of a US dollar'),
  tokens: count,
  events: z.array(
    z.looseObject({
      id: z.string(),
      type: z.string(),
      subject_id: z.string(),
      actor: z.string(),
      disposition: z.enum(dispositions),
      reason: z.string(),
      causal_depth: count,
      causal_parent: z.string().nullable(),
      received_at: time,
    }),
  ),
  invocations: z.array(
    z.looseObject({
      id: z.string(),
      agent_id: z.string(),
      event_id: z.string(),
      state: z.string(),
      reason: z.string().nullable(),
      held_reason: z.string().nullable(),
      causal_depth: count,
      cost_micros: count,
      actions: count,
    }),
  ),
})
export type TreeRow = z.infer<typeof treeRow>

export const runRow = z.looseObject({
  id: z.string(),
  agent_id: z.string(),
  agent_version: z.string(),
  chapter: z.string().nullable(),
  event_id: z.string(),
  trace_id: z.string(),
  codex_commit: z.string(),
  rule: z.string(),
  priority: z.enum(priorities),
  state: z.string(),
  reason: z.string().nullable(),
  reason_detail: z.string().nullable(),
  attempts: count,
  queued_at: time,
  started_at: time.nullable(),
  finished_at: time.nullable(),
  summary: z.string().nullable(),
  provider: z.string().nullable(),
  model: z.string().nullable(),
  input_tokens: count,
  output_tokens: count,
  cost_micros: count.describe('millionths of a US dollar'),
  actions: count,
})

export const actionRow = z.looseObject({
  id: z.string(),
  agent_id: z.string(),
  event_id: z.string(),
  invocation_id: z.string().nullable(),
  type: z.string(),
  connector: z.string(),
  target_system: z.string(),
  target: z.string(),
  args: json,
  autonomy: z.int(),
  state: z.string(),
  reason: z.string().nullable(),
  attempts: count,
  remote_id: z.string().nullable(),
  remote_url: z.string().nullable(),
  confirmed_by: z.string().nullable(),
  hold_until: time.nullable().describe('HELD: it goes by itself then'),
  undo_of: z.string().nullable().describe('the action that this one takes back'),
  requested_by: z.string().nullable().describe('the person who asked for it; null: an agent'),
  before: json.nullable().describe('the target when the call went out; null: not read'),
  after: json.nullable(),
  expires_at: time,
  provider: z.string().nullable(),
  model: z.string().nullable(),
  created_at: time,
  finished_at: time.nullable(),
})

export const approvalRow = z.looseObject({
  id: z.string(),
  action_id: z.string(),
  kind: z.enum(['ask', 'hold']).describe('hold: it goes by itself at hold_until, unless it is stopped'),
  state: z.string(),
  type: z.string(),
  target: z.string(),
  args: json,
  before: json.nullable().describe('the target when it was looked at last; null: not read'),
  after: json.nullable().describe('what would become of it'),
  seen_at: time.nullable(),
  hold_until: time.nullable(),
  undo_of: z.string().nullable(),
  requested_by: z.string().nullable(),
  reason: z.string().nullable(),
  approval_hash: z.string().describe('to be handed back with the decision'),
  agent_id: z.string(),
  event_id: z.string(),
  rule: z.string().nullable(),
  asked: z.string(),
  requested_at: time,
  expires_at: time,
  decided_by: z.string().nullable(),
})

export const agentRow = z.looseObject({
  id: z.string(),
  agent_type: z.string(),
  chapter: z.string().nullable(),
  version: z.string(),
  capabilities: z.array(z.string()),
  status: z.enum(['ACTIVE', 'DORMANT', 'DEGRADED']),
  status_reason: z.string().nullable(),
  owner: z.string().nullable(),
  codex_commit: z.string(),
  last_invocation: time.nullable(),
  error_count_24h: count,
})

export const deadRow = z.looseObject({
  id: z.string(),
  at: time,
  topic: z.string(),
  group: z.string().nullable(),
  reason: z.string(),
  attempts: count,
  body: z.unknown(),
})

export const budgetRow = z.looseObject({
  id: z.string(),
  entity_type: z.string(),
  entity_id: z.string(),
  limit_kind: z.string(),
  period_start: time,
  period_end: time,
  budget_tokens: count.nullable(),
  consumed_tokens: count,
  reserved_tokens: count,
  cost_limit_micros: count.nullable(),
  consumed_cost_micros: count,
  reserved_cost_micros: count,
  granted_tokens: count.describe('by people; the limits count them in'),
  granted_cost_micros: count,
  burn_tokens_per_hour: count.describe('in the last hour, six hours or seven days of an hour, day or month'),
  burn_cost_micros_per_hour: count,
  exhausted_at: time.nullable().describe('at this rate; null: it lasts for its period'),
  level: z.enum(levelNames),
  degradations: z.array(z.string()).describe('in force at this level'),
})

export const grantRow = z.looseObject({
  id: z.string(),
  budget_id: z.string(),
  entity_type: z.string(),
  entity_id: z.string(),
  limit_kind: z.string(),
  tokens: count,
  cost_micros: count,
  invocation_id: z.string().nullable(),
  granted_by: z.string(),
  reason: z.string().nullable(),
  at: time,
})

/** A run that a budget has stopped, and that a grant sets going again. */
export const stoppedRow = z.looseObject({
  id: z.string(),
  agent_id: z.string(),
  event_id: z.string(),
  event_type: z.string(),
  subject_id: z.string(),
  reason: z.string(),
  reason_detail: z.string().nullable(),
  finished_at: time,
  input_tokens: count,
  output_tokens: count,
  cost_micros: count,
})

export const grants = z.looseObject({ waiting: z.array(stoppedRow), given: z.array(grantRow) })

export const granted = z.looseObject({
  id: z.string(),
  raised: z.array(z.string()).describe('budgets; none: this grant had been given before'),
  resumed: z.string().nullable().describe('the run that goes on'),
})

/** Bounded here and, against the limit itself, by the ledger. */
export const grantBody = z
  .strictObject({
    run: z.string().min(1).max(200).optional(),
    agent: z.string().min(1).max(100).optional(),
    chapter: z.string().min(1).max(100).optional(),
    organisation: z.literal(true).optional(),
    tokens: z.int().min(1).max(100_000_000).optional(),
    cost: z.number().min(0.000001).max(10_000).optional().describe('US dollars'),
    reason: z.string().max(2_000).optional().describe('for the audit trail'),
    key: z.string().min(1).max(100).describe('the same key is the same grant: send it again after a lost answer'),
  })
  .refine((body) => [body.run, body.agent, body.chapter, body.organisation].filter(Boolean).length === 1, {
    message: 'name exactly one of run, agent, chapter, organisation',
  })
  .refine((body) => body.tokens !== undefined || body.cost !== undefined, {
    message: 'say how much: tokens, cost or both',
  })

export const auditRow = z.looseObject({
  seq: count,
  id: z.string(),
  timestamp: time,
  event_type: z.string(),
  actor: z.string(),
  agent_id: z.string().nullable(),
  source_event_id: z.string().nullable(),
  action_type: z.string().nullable(),
  target_system: z.string().nullable(),
  result: z.string().nullable(),
  error_message: z.string().nullable(),
  payload: json,
  hash: z.string(),
  prev_hash: z.string(),
})

export const stepRow = z.looseObject({
  seq: z.int(),
  attempt: z.int(),
  kind: z.string(),
  name: z.string(),
  status: z.string(),
  error: z.string().nullable(),
  started_at: time,
  finished_at: time.nullable(),
})

export const runDetail = runRow.extend({
  steps: z.array(stepRow).describe('the journal, every attempt'),
  proposed: z.array(
    z.looseObject({
      id: z.string(),
      type: z.string(),
      target: z.string(),
      state: z.string(),
      reason: z.string().nullable(),
      remote_url: z.string().nullable(),
    }),
  ),
  decisions: z.array(decisionRow),
  limits: z
    .object({ agent_version: z.string(), tokens: count.nullable(), cost_micros: count.nullable() })
    .nullish()
    .describe('what a run of this agent may use, by the manifest that serves now'),
})
/** The file `logs/{date}/{invocation_id}.json`. */
export const transcript = z.looseObject({
  format: z.string(),
  invocation: z.looseObject({ id: z.string(), agent_id: z.string(), trace_id: z.string() }),
  event: z.looseObject({ id: z.string(), type: z.string() }),
  ending: z.looseObject({ state: z.string(), reason: z.string().nullable(), detail: z.string() }),
  system: z.string().nullable().describe('prompt and rules; null: the Codex could not be read'),
  messages: z.array(json).describe('the conversation in our own format'),
  steps: z.array(stepRow).describe('the journal: context with its labels, answers, reads, receipts, usage and prices'),
})
export const actionDetail = actionRow.extend({
  rendered: z.looseObject({ method: z.string(), url: z.string(), body: z.unknown() }).nullable(),
  approvals: z.array(json),
  undos: z.array(json).describe('what was asked for to take it back'),
  decisions: z.array(decisionRow),
})
export const undoRow = z.looseObject({
  actionId: z.string(),
  result: z
    .enum(['stopped', 'queued', 'shadow', 'refused'])
    .describe('stopped: it was not sent yet; queued: its inverse is on its way; shadow: that is only rendered'),
  undoId: z.string().nullable().describe('the action that takes it back'),
  reason: z.string(),
})
export const dryRun = z.looseObject({
  verdict: z.enum(['run', 'ask', 'deny', 'recommend']),
  autonomy: z.int(),
  rule: z.string(),
  reason: z.string(),
  hold_ms: count,
  shadow: z.boolean(),
  connector: z.string(),
  target: z.string(),
  request: z
    .looseObject({ method: z.string(), url: z.string(), headers: z.record(z.string(), z.string()), body: z.unknown() })
    .nullable()
    .describe('the exact call, its token redacted'),
  before: json.nullable(),
  after: json.nullable(),
})
export const ledgerReport = z.looseObject({ ok: z.boolean(), problems: z.array(z.string()) })
export const auditReport = z.looseObject({
  rows: count,
  head: z
    .object({ seq: count, hash: z.string() })
    .describe('keep it elsewhere: a later check against it finds a chain that was cut or rewritten'),
  start: z
    .object({ seq: count, hash: z.string() })
    .describe('where it begins: 0, or the last row of what retention has dropped'),
  problems: z.array(z.looseObject({ seq: z.int(), why: z.string() })),
})
/** `GET /why/{id}`. */
export const story = z.looseObject({
  asked: z.string(),
  event_id: z.string(),
  verdict: z.string(),
  nearest: z.string().nullable(),
  event: z
    .looseObject({
      id: z.string(),
      type: z.string(),
      subject_id: z.string(),
      trace_id: z.string(),
      priority: z.string(),
      disposition: z.string(),
      received_at: time,
    })
    .nullable(),
  lines: z.array(
    z.looseObject({
      at: time,
      kind: z.string(),
      id: z.string().nullable(),
      outcome: z.string(),
      text: z.string(),
      rule: z.string().nullable(),
      codex_commit: z.string().nullable(),
    }),
  ),
  invocations: z.array(
    z.looseObject({
      id: z.string(),
      agent_id: z.string(),
      state: z.string(),
      provider: z.string().nullable(),
      summary: z.string().nullable(),
      input_tokens: count,
      output_tokens: count,
    }),
  ),
  actions: z.array(
    z.looseObject({
      id: z.string(),
      agent_id: z.string(),
      type: z.string(),
      target: z.string(),
      state: z.string(),
      remote_url: z.string().nullable(),
    }),
  ),
})
export const keyRow = z.looseObject({
  id: z.string(),
  name: z.string(),
  role: z.enum(['viewer', 'operator', 'admin']),
  created_at: time,
  last_used_at: time.nullable(),
  revoked_at: time.nullable(),
})

/** `POST /invocations/{id}/cancel`. */
export const cancelled = z.object({
  id: z.string(),
  was: z.string().describe('what the run did when it was told'),
  told: z.boolean().describe('false: it had been told before'),
})
export type Cancelled = z.infer<typeof cancelled>

export type DecisionRow = z.infer<typeof decisionRow>
export type EventRow = z.infer<typeof eventRow>
export type ScheduleRow = z.infer<typeof scheduleRow>
export type RunRow = z.infer<typeof runRow>
export type RunDetail = z.infer<typeof runDetail>
export type ActionRow = z.infer<typeof actionRow>
export type ActionDetail = z.infer<typeof actionDetail>
export type ApprovalRow = z.infer<typeof approvalRow>
export type UndoRow = z.infer<typeof undoRow>
export type DryRunRow = z.infer<typeof dryRun>
export type AgentRow = z.infer<typeof agentRow>
export type DeadRow = z.infer<typeof deadRow>
export type BudgetRow = z.infer<typeof budgetRow>
export type Grants = z.infer<typeof grants>
export type GrantBody = z.infer<typeof grantBody>
export type GrantAnswer = z.infer<typeof granted>
export type AuditRow = z.infer<typeof auditRow>
export type StoryRow = z.infer<typeof story>
export type LedgerReport = z.infer<typeof ledgerReport>
export type AuditReport = z.infer<typeof auditReport>
