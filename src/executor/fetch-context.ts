import type { ContextItem } from '../codex/kinds.ts'
import { renderTemplate } from '../codex/template.ts'
import { cutToTokens, trustedEnough } from '../guards/context-guard.ts'
import { toolClass } from '../guards/privacy/tool-class.ts'
import { canonicalHash } from '../kernel/canonical.ts'
import { durationMs } from '../kernel/duration.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { JsonValue } from '../kernel/json.ts'
import { failed, type Halt } from './ending.ts'
import { codexSeq } from './load-prompt.ts'
import { mayRead } from './run-guard.ts'
import { parallel } from './parallel.ts'
import { isLong, type Run, waitMs } from './run-context.ts'
import { aStep, type ContextResponse, read, type Step, storable } from './step.ts'
import { factsOf } from './transcript.ts'

/** Attempts of the run at a required item; each has the tool's own retries. */
const attemptsMax = 3
type ToolItem = Extract<ContextItem, { tool: string }>

/**
 * 2. Fetch context: every item of the manifest, in parallel but for those that use earlier ones, each cut to its size, all journaled in
 * one write, which is that of the first model call unless reading took a while. A required item that cannot be read lets the run wait and, the third time, fail; an optional one is left out and said so.
 */
export async function fetchContext(run: Run): Promise<Halt | null> {
  const { journal } = run
  const items = run.agent.manifest.spec.context.map((item, index) => ({ item, seq: codexSeq + 1 + index }))
  const pending = items.filter(({ seq }) => !journal.doneAt(seq))
  let halt: Halt | null = null
  const began = run.deps.clock.now().getTime()
  for (const wave of wavesOf(pending)) {
    const steps = await parallel(wave, run.agent.manifest.spec.limits.maxParallelTools, ({ item, seq }) =>
      fetchItem(run, item, seq),
    )
    for (const step of steps) halt ??= account(run, step)
    const last = wave.at(-1) === pending.at(-1)
    // Held steps are written together; what failed must be on record before the run waits.
    if (halt || (last && isLong(run, began))) await journal.write({ steps })
    else journal.hold({ steps })
    if (halt) return halt
  }
  return null
}

export function contextSeqMax(run: Run): number {
  return codexSeq + run.agent.manifest.spec.context.length
}

/** An item whose arguments or condition name `context` waits for all items before it. */
function wavesOf<Pending extends { readonly item: ContextItem }>(
  pending: readonly Pending[],
): readonly (readonly Pending[])[] {
  const waves: Pending[][] = []
  for (const entry of pending) {
    const { item } = entry
    const dependent = 'tool' in item && /\bcontext\b/.test(`${JSON.stringify(item.args)} ${item.when ?? ''}`)
    const current = waves.at(-1)
    if (current && !dependent) current.push(entry)
    else waves.push([entry])
  }
  return waves
}

async function fetchItem(run: Run, item: ContextItem, seq: number): Promise<Step> {
  const { journal } = run
  const step = {
    seq,
    attempt: journal.nextAttempt(seq),
    kind: 'context',
    name: item.id,
    started_at: journal.at,
  } as const
  if ('codex' in item) return { ...aStep({ ...step, status: 'DONE' }), ...codexFile(run, item) }
  const facts = factsOf(run.journal, run.event, run.agent)
  if (item.when !== undefined && !wanted(run, item, facts)) {
    return aStep({ ...step, status: 'DONE', response: { ...unread('skipped'), why: `not needed: ${item.when}` } })
  }
  const data = toolClass(run.snapshot.connectors, item.tool)
  if (!mayRead(run.agent, data)) {
    // Never fetched: what is not read cannot be told on.
    return aStep({ ...step, status: 'DONE', response: { ...unread('withheld'), why: `it is ${data} data` } })
  }
  let request: JsonValue = { tool: item.tool, args: null }
  try {
    const { value: args, missing } = renderTemplate(item.args, facts)
    if (missing.length > 0) throw new Error(`its arguments name what is not there: ${missing.join(', ')}`)
    request = storable({ tool: item.tool, args })
    const hash = canonicalHash(request)
    const result = await run.tools.read(item.tool, asObject(args), durationMs(item.timeout), run.signal)
    const finished_at = journal.at
    if (result.isError) throw new Error(result.text || `${item.tool} answered with an error`)
    // Before the cut: half a secret is no shape any more, and still half a secret.
    const { redactor } = run.privacy
    const whole = redactor.text(result.text || JSON.stringify(redactor.json(jsonOf(result.data)).value)).value
    const text = cutToTokens(whole, item.maxTokens).text
    const { integrity } = result
    const response = storable(
      trustedEnough(integrity, run.agent.manifest.spec.trust.minIntegrity)
        ? { outcome: 'read', text, data: result.data ?? null, integrity, why: null }
        : { ...unread('withheld'), integrity, why: `its author is ${integrity}` },
    )
    return aStep({ ...step, status: 'DONE', request, request_hash: hash, response, finished_at })
  } catch (error) {
    run.signal.throwIfAborted()
    const why = reasonOf(error)
    if (item.required) return aStep({ ...step, status: 'FAILED', request, error: why })
    return aStep({ ...step, status: 'DONE', request, response: { ...unread('unavailable'), why } })
  }
}

function codexFile(run: Run, item: Extract<ContextItem, { codex: string }>): Partial<Step> {
  const text = run.agent.files[item.codex]
  if (text === undefined) {
    const why = `the Codex has no ${item.codex}`
    return item.required ? { status: 'FAILED', error: why } : { response: { ...unread('unavailable'), why } }
  }
  const response: ContextResponse = {
    outcome: 'read',
    text: cutToTokens(text, item.maxTokens).text,
    data: item.codex.endsWith('.json') ? parsed(text) : null,
    integrity: 'verified', // reviewed and merged
    why: null,
  }
  return { response: storable(response) }
}

/** A condition that cannot be evaluated counts as false, and says so. */
function wanted(run: Run, item: ToolItem, facts: Readonly<Record<string, unknown>>): boolean {
  const condition = run.agent.conditions.get(item.when ?? '')
  const verdict = condition?.test(facts) ?? { value: false, error: 'it was not compiled' }
  if (verdict.error !== null) {
    run.journal.note({
      stage: 'guard',
      outcome: 'CONTEXT_CONDITION',
      rule: `${run.agent.place.file}#context-${item.id}`,
      reason: `the condition of ${item.id} could not be evaluated: ${verdict.error}`,
    })
  }
  return verdict.value
}

/** Decision records for what a person would miss, and the halt that a required item asks for. */
function account(run: Run, step: Step): Halt | null {
  const rule = `${run.agent.place.file}#context-${step.name}`
  if (step.status === 'DONE') {
    const { outcome, why } = read.context(step)
    if (outcome === 'withheld' || outcome === 'unavailable') {
      const verb = outcome === 'withheld' ? 'is withheld from the model' : 'could not be read'
      run.journal.note({
        stage: 'guard',
        outcome: `CONTEXT_${outcome.toUpperCase()}`,
        rule,
        reason: `${step.name} ${verb}: ${why}`,
      })
    }
    return null
  }
  const reason = `required context ${step.name} could not be read: ${step.error}`
  const ending = failed('TOOL', reason)
  if (step.attempt >= attemptsMax) return { kind: 'end', ending }
  return { kind: 'wait', delayMs: waitMs(run.deps, step.attempt), reason, ending }
}

function unread(outcome: 'skipped' | 'unavailable' | 'withheld') {
  return { outcome, text: '', data: null, integrity: 'verified' as const, why: null }
}

function jsonOf(data: unknown): JsonValue {
  return (data ?? null) as JsonValue // parsed from JSON by the tools port
}

function asObject(value: JsonValue): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

function parsed(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue // JSON.parse returns JSON
  } catch {
    return null // conditions then read the text
  }
}
