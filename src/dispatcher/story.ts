import type { Disposition, Priority } from '../kernel/event.ts'
import type { JsonObject } from '../kernel/json.ts'

export interface StoryEvent {
  readonly id: string
  readonly type: string
  readonly source: string
  readonly connector: string
  readonly chapter: string | null
  readonly priority: Priority
  readonly trace_id: string
  readonly subject_kind: string
  readonly subject_id: string
  readonly subject_url: string | null
  readonly actor: string
  readonly dedup_key: string
  readonly occurred_at: Date
  readonly received_at: Date
  readonly causal_root: string
  readonly causal_depth: number
  readonly causal_parent: string | null
  readonly disposition: Disposition
  readonly rule: string | null
  readonly reason: string
  readonly invocations: number
  readonly codex_commit: string
  readonly decided_at: Date
}

export interface StoryReceipt {
  readonly id: string
  readonly event_id: string
  readonly duplicate_of: string | null
  readonly source: string
  readonly delivery_id: string
  readonly disposition: Disposition
  readonly received_at: Date
}

export interface StoryDecision {
  readonly at: Date
  readonly stage: string
  readonly outcome: string
  readonly receipt_id: string | null
  readonly agent_id: string | null
  readonly invocation_id: string | null
  readonly action_id: string | null
  readonly rule: string | null
  readonly reason: string
  readonly codex_commit: string | null
  readonly detail: JsonObject
}

export interface StoryRun {
  readonly id: string
  readonly agent_id: string
  readonly agent_type: string
  readonly agent_version: string
  readonly chapter: string | null
  readonly rule: string
  readonly priority: Priority
  readonly state: string
  readonly reason: string | null
  readonly reason_detail: string | null
  readonly attempts: number
  readonly queued_at: Date
  readonly started_at: Date | null
  readonly finished_at: Date | null
  readonly summary: string | null
  readonly provider: string | null
  readonly model: string | null
  readonly model_calls: number
  readonly tool_calls: number
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cost_micros: number
  readonly actions: number
  readonly codex_commit: string
}

export interface StoryAction {
  readonly id: string
  readonly invocation_id: string | null
  readonly agent_id: string
  readonly type: string
  readonly connector: string
  readonly target_system: string
  readonly target: string
  readonly autonomy: number
  readonly rule: string | null
  readonly state: string
  readonly reason: string | null
  readonly attempts: number
  readonly probes: number
  readonly sent_at: Date | null
  readonly remote_id: string | null
  readonly remote_url: string | null
  readonly confirmed_by: string | null
  readonly provider: string | null
  readonly model: string | null
  readonly codex_commit: string
  readonly created_at: Date
  readonly finished_at: Date | null
}

export interface StoryApproval {
  readonly id: string
  readonly action_id: string
  readonly state: string
  readonly asked: string
  readonly requested_at: Date
  readonly expires_at: Date
  readonly decided_by: string | null
  readonly decided_at: Date | null
  readonly channel: string | null
  readonly note: string | null
}

export interface StoryConsequence {
  readonly id: string
  readonly type: string
  readonly subject_id: string
  readonly actor: string
  readonly disposition: Disposition
  readonly reason: string
  readonly received_at: Date
  readonly causal_depth: number
}

/** One thing that happened, as a sentence; `kind` and `id` name the record it was read from. */
export interface StoryLine {
  readonly at: Date
  readonly kind: 'receipt' | 'decision' | 'run' | 'action' | 'approval' | 'consequence'
  readonly id: string | null
  readonly outcome: string
  readonly text: string
  readonly rule: string | null
  readonly codex_commit: string | null
}

export interface StoryRecords {
  /** null: what arrived could not be read as an event */
  readonly event: StoryEvent | null
  readonly receipts: readonly StoryReceipt[]
  readonly decisions: readonly StoryDecision[]
  readonly invocations: readonly StoryRun[]
  readonly actions: readonly StoryAction[]
  readonly approvals: readonly StoryApproval[]
  readonly consequences: readonly StoryConsequence[]
}

/** The answer of `GET /api/v1/why/{id}`. */
export interface Story extends StoryRecords {
  /** as asked, and the event it led to */
  readonly asked: string
  readonly event_id: string
  /** other events of the same delivery or trace */
  readonly siblings: readonly string[]
  /** what became of it and why, in one sentence */
  readonly verdict: string
  /** for what woke nobody: the rule that came nearest */
  readonly nearest: string | null
  /** everything, in the order it happened */
  readonly lines: readonly StoryLine[]
}

/** Tells the records in order of time. Pure; adds no fact of its own. */
export function tell(records: StoryRecords): readonly StoryLine[] {
  const lines = [
    ...records.receipts.map(receiptLine),
    ...records.decisions.map(decisionLine),
    ...records.invocations.flatMap(runLines),
    ...records.actions.flatMap(actionLines),
    ...records.approvals.flatMap(approvalLines),
    ...records.consequences.map(consequenceLine),
  ]
  // The sort is stable: at one instant a reception comes before its decision, and that before the run.
  return lines.sort((a, b) => a.at.getTime() - b.at.getTime())
}

/** In one sentence: what became of the event, and by which rule. */
export function verdictOf({ event, receipts, decisions }: StoryRecords): string {
  if (!event) {
    const dead = decisions.find(({ outcome }) => outcome === 'DEAD')
    return `${receipts[0]?.source ?? 'somebody'} sent what could not be read: ${dead?.reason ?? 'no reason was recorded'}`
  }
  const by = event.rule ? ` by ${event.rule}` : ''
  return `${event.type} on ${event.subject_id} was ${event.disposition}${by}: ${event.reason}`
}

function receiptLine(receipt: StoryReceipt): StoryLine {
  const how = receipt.duplicate_of ? 'received again' : 'received'
  return line('receipt', receipt.id, receipt.received_at, receipt.disposition, {
    text: `${how} from ${receipt.source}, delivery ${receipt.delivery_id}`,
  })
}

function decisionLine(decision: StoryDecision): StoryLine {
  const subject = decision.action_id ?? decision.invocation_id ?? decision.receipt_id
  return line('decision', subject, decision.at, decision.outcome, {
    text: `${decision.stage}: ${decision.reason}`,
    rule: decision.rule,
    codex_commit: decision.codex_commit,
  })
}

function runLines(run: StoryRun): readonly StoryLine[] {
  const rest = { rule: run.rule, codex_commit: run.codex_commit }
  const who = `${run.agent_id} ${run.agent_version}`
  const lines = [line('run', run.id, run.queued_at, 'QUEUED', { text: `${who} was woken`, ...rest })]
  if (run.started_at) lines.push(line('run', run.id, run.started_at, 'RUNNING', { text: `${who} started`, ...rest }))
  if (!run.finished_at) return lines
  const why = [run.reason, run.reason_detail].filter((part) => part !== null).join(', ')
  const text = [`${who} ended${why ? ` (${why})` : ''}`, run.summary].filter((part) => part !== null).join(': ')
  return [...lines, line('run', run.id, run.finished_at, run.state, { text, ...rest })]
}

function actionLines(action: StoryAction): readonly StoryLine[] {
  const rest = { rule: action.rule, codex_commit: action.codex_commit }
  const what = `${action.type} on ${action.target}`
  const lines = [
    line('action', action.id, action.created_at, 'PROPOSED', { text: `${action.agent_id} proposed ${what}`, ...rest }),
  ]
  if (action.sent_at)
    lines.push(line('action', action.id, action.sent_at, 'EXECUTING', { text: `${what} was sent`, ...rest }))
  if (!action.finished_at) return lines
  const text = [`${what} ended`, action.reason, action.remote_url].filter((part) => part !== null).join(': ')
  return [...lines, line('action', action.id, action.finished_at, action.state, { text, ...rest })]
}

function approvalLines(approval: StoryApproval): readonly StoryLine[] {
  const asked = line('approval', approval.id, approval.requested_at, 'PENDING', {
    text: `${approval.asked} was asked to approve ${approval.action_id}`,
  })
  if (!approval.decided_at) return [asked]
  const note = approval.note ? `: ${approval.note}` : ''
  const text = `${approval.decided_by ?? 'nobody'} decided on ${approval.action_id}${note}`
  return [asked, line('approval', approval.id, approval.decided_at, approval.state, { text })]
}

function consequenceLine(event: StoryConsequence): StoryLine {
  return line('consequence', event.id, event.received_at, event.disposition, {
    text: `${event.type} by ${event.actor} on ${event.subject_id} followed from it: ${event.reason}`,
  })
}

function line(
  kind: StoryLine['kind'],
  id: string | null,
  at: Date,
  outcome: string,
  rest: Pick<StoryLine, 'text'> & Partial<StoryLine>,
): StoryLine {
  return { at, kind, id, outcome, rule: null, codex_commit: null, ...rest }
}
