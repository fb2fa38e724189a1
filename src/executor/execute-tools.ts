import { cutToTokens, fence, trustedEnough } from '../guards/context-guard.ts'
import { mayPassTo } from '../guards/privacy/outbound.ts'
import { toolClass } from '../guards/privacy/tool-class.ts'
import { canonicalHash } from '../kernel/canonical.ts'
import { durationMs } from '../kernel/duration.ts'
import { isGuildError } from '../kernel/errors.ts'
import { sha256 } from '../kernel/ids.ts'
import type { LlmToolCall } from '../llm/llm.ts'
import type { ToolResult } from '../tools/tools.ts'
import type { CompiledAgent } from '../codex/snapshot.ts'
import { handoffTool } from '../codex/handoff.ts'
import { type HandedOff, handOff } from './hand-off.ts'
import { awaitActions, awaitedSteps } from './await-actions.ts'
import type { Halt } from './ending.ts'
import type { Journal } from './journal.ts'
import { type CallTrace, repetitionNotice, repetitions, steadyNotice } from './loops.ts'
import type { JsonObject, JsonValue } from '../kernel/json.ts'
import { learnJournal, mayRead } from './run-guard.ts'
import { parallel } from './parallel.ts'
import { type ActionCall, publishActions } from './publish-actions.ts'
import { type Run, spentBy } from './run-context.ts'
import { aStep, read, type Step, storable, type ToolResponse } from './step.ts'
import { steadyHash } from './steady.ts'
import { toolName } from './tool-name.ts'
import { type Turn, turnsOf } from './turns.ts'

/** Of one result the model sees so much; it can ask for less. */
const resultTokensMax = 8_000

type AllowedRead = CompiledAgent['manifest']['spec']['tools']['allow'][number]

interface PendingCall {
  readonly seq: number
  readonly index: number
  readonly call: LlmToolCall & { readonly leaks?: readonly string[] | undefined }
}

/**
 * 4. Execute tool calls: reads at once, in parallel, each journaled; writes become actions (`publish-actions.ts`). Whatever the model
 * asks for gets an answer in text, also what does not exist, is not allowed or was asked before. All of one answer in one write.
 */
export async function executeTools(run: Run, turn: Turn): Promise<Halt | null> {
  const { journal, agent } = run
  const { allow, actions } = agent.manifest.spec.tools
  const pending = turn.response.toolCalls.flatMap((call, index): readonly PendingCall[] =>
    turn.results[index] ? [] : [{ seq: turn.step.seq + 1 + index, index, call }],
  )
  const waitedFor = awaitedSteps(
    run,
    pending.map(({ seq }) => seq),
  )
  if (waitedFor.length > 0) return awaitActions(run, waitedFor)
  const left = agent.manifest.spec.limits.maxToolCalls - spentBy(run).toolCalls
  const answered: Step[] = []
  const reads: (PendingCall & { readonly allowed: AllowedRead })[] = []
  const twins: { readonly entry: PendingCall; readonly of: PendingCall & { readonly allowed: AllowedRead } }[] = []
  const proposals: ActionCall[] = []
  const handoffs: PendingCall[] = []
  for (const [position, entry] of pending.entries()) {
    const { call } = entry
    const allowed = allow.find(({ name }) => toolName(name) === call.name)
    const grant = actions.find(({ type }) => type === call.name)
    const hash = requestHash(call.name, call.args)
    const twin = reads.find((other) => requestHash(other.call.name, other.call.args) === hash)
    if (position >= left) answered.push(refusal(run, entry, 'no tool calls are left in this run'))
    else if (grant) proposals.push({ ...entry, grant })
    else if (call.name === handoffTool && agent.manifest.spec.handoff) handoffs.push(entry)
    else if (twin) twins.push({ entry, of: twin })
    else if (!allowed) answered.push(refusal(run, entry, `there is no tool ${call.name} in this run`))
    else if (
      usesOf(journal, allowed.name) + reads.filter((other) => other.allowed === allowed).length >=
      allowed.maxCalls
    ) {
      answered.push(refusal(run, entry, `${call.name} may be called ${allowed.maxCalls} times in a run`))
    } else reads.push({ ...entry, allowed })
  }
  if (reads.length > 0 && journal.holdsAnswer) await journal.flush()
  const results = await parallel(reads, agent.manifest.spec.limits.maxParallelTools, (entry) => readTool(run, entry))
  // Asked twice in one answer, read once.
  const echoed = twins.flatMap(({ entry, of }): Step[] => {
    const response = results.find((step) => step.seq === of.seq)?.response
    return response === undefined ? [] : [echoOf(run, entry, of.allowed.name, response)]
  })
  const handed = await handOffAll(run, handoffs)
  const steps = [...answered, ...results, ...echoed, ...handed.map(({ step }) => step)]
  const events = handed.flatMap(({ event }) => event ?? [])
  if (proposals.length + events.length > 0) await publishActions(run, turn, proposals, steps, events)
  else await journal.write({ steps, row: { tool_calls: steps.length } })
  return null
}

/** One after another: each leaves less for the next. */
async function handOffAll(run: Run, calls: readonly PendingCall[]): Promise<readonly HandedOff[]> {
  const handed: HandedOff[] = []
  for (const call of calls)
    handed.push(
      await handOff(
        run,
        call,
        handed.map(({ step }) => step),
      ),
    )
  return handed
}

/** Every tool call of the run as the loop detectors see it. */
export function callTraces(journal: Journal): readonly CallTrace[] {
  return turnsOf(journal).flatMap(({ step, response, results }) =>
    response.toolCalls.flatMap((call, index) => {
      const result = results[index]
      if (!result) return []
      const { resultHash, steadyHash, errorClass, accepted } = result
      const request = requestHash(call.name, call.args)
      const steady = steadyHash ?? `${request} ${resultHash}`
      return [{ turn: step.seq, request, result: resultHash, steady, errorClass, acted: accepted }]
    }),
  )
}

async function readTool(run: Run, entry: PendingCall & { readonly allowed: AllowedRead }): Promise<Step> {
  const { journal } = run
  const { call, allowed } = entry
  const step = stepOf(run, entry, allowed.name)
  const before = answeredBefore(journal, step)
  if (before) {
    const notice = repetitionNotice(repetitions(callTraces(journal), requestHash(call.name, call.args)))
    const response: ToolResponse = { ...before, text: notice ?? before.text, repeated: true }
    return { ...step, response: storable(response) }
  }
  try {
    if (!isRecord(call.args)) throw new TypeError('the arguments must be an object')
    const barred = barredRead(run, entry)
    if (barred) return withheld(run, step, barred)
    learnJournal(run.journal, run)
    const mayPass = mayPassTo(allowed.name, run.deps.codex.current().privacy)
    const args = run.privacy.restore(call.args as JsonObject, mayPass) // as the journal holds it: JSON
    const result = await run.tools.read(allowed.name, args, durationMs(allowed.timeout), run.signal)
    const { integrity } = result
    if (!trustedEnough(integrity, run.agent.manifest.spec.trust.minIntegrity)) {
      const why = `the result of ${step.name} is withheld: its author is ${integrity}, which this agent does not read`
      return withheld(run, step, why)
    }
    const data = run.privacy.redactor.json((result.data ?? null) as JsonValue).value // parsed from JSON by the tools port
    const said = resultText({ ...result, data }, allowed.name)
    // Before the cut: half a secret is no shape any more, and still half a secret.
    const text = run.privacy.redactor.text(said).value
    const fenced = fence(`result of ${call.name}`, integrity, cutToTokens(text, resultTokensMax).text)
    const { isError } = result
    const steady = steadyHash(call.name, call.args, text)
    const notice = steadyNotice(callTraces(journal), steady)
    const response = {
      ...plain(isError, notice === null ? fenced : `${fenced}\n${notice}`),
      integrity,
      resultHash: sha256(text),
      steadyHash: steady,
      errorClass: isError ? classOf(text) : null,
    }
    return { ...step, response: storable(response), finished_at: journal.at }
  } catch (error) {
    run.signal.throwIfAborted()
    const why = thrownText(error, allowed.name)
    const errorClass = isGuildError(error) ? `${error.code} ${allowed.name}` : classOf(why)
    const response = { ...plain(true, `error: ${why}`), errorClass }
    return { ...step, response: storable(response), error: why, finished_at: journal.at }
  }
}

function echoOf(run: Run, entry: PendingCall, name: string, response: Step['response']): Step {
  const step = { ...stepOf(run, entry, name), response }
  return { ...step, response: storable({ ...read.tool(step), repeated: true }), finished_at: run.journal.at }
}

/** An identical read of this run that was answered: it is not made again. */
function answeredBefore(journal: Journal, step: Step): ToolResponse | null {
  const same = journal.done.find((made) => made.kind === 'tool_read' && made.request_hash === step.request_hash)
  const response = same && read.tool(same)
  return response && !response.isError ? response : null
}

function usesOf(journal: Journal, name: string): number {
  return journal.done.filter((step) => step.kind === 'tool_read' && step.name === name && !read.tool(step).repeated)
    .length
}

function refusal(run: Run, entry: PendingCall, why: string): Step {
  const step = stepOf(run, entry, entry.call.name)
  return {
    ...step,
    response: storable({ ...plain(true, `error: ${why}`), errorClass: `refused ${entry.call.name}` }),
    error: why,
  }
}

/** Why a read is not made at all; null: it may be. */
function barredRead(run: Run, { call, allowed }: PendingCall & { readonly allowed: AllowedRead }): string | null {
  const { leaks } = call
  if (leaks) return `${allowed.name} is not asked: the arguments held a secret (${leaks.join(', ')})`
  const data = toolClass(run.snapshot.connectors, allowed.name)
  return mayRead(run.agent, data)
    ? null
    : `${allowed.name} is not asked: it holds ${data} data, which this agent does not read`
}

function withheld(run: Run, step: Step, why: string): Step {
  run.journal.note({
    stage: 'guard',
    outcome: 'RESULT_WITHHELD',
    rule: `${run.agent.place.file}#${step.name}`,
    reason: why,
  })
  return { ...step, response: storable(plain(true, `error: ${why}`)), finished_at: run.journal.at }
}

function stepOf({ journal }: Run, { seq, call }: PendingCall, name: string): Step {
  const { args } = call
  const request = storable({ tool: name, args })
  const attempt = journal.nextAttempt(seq)
  return aStep({
    seq,
    attempt,
    kind: 'tool_read',
    name,
    status: 'DONE',
    started_at: journal.at,
    request,
    request_hash: requestHash(call.name, args),
  })
}

/** What we say ourselves: trusted, and the same text is the same result. */
function plain(isError: boolean, text: string): ToolResponse {
  return {
    isError,
    text,
    integrity: 'verified',
    resultHash: sha256(text),
    steadyHash: null,
    errorClass: null,
    repeated: false,
    actionId: null,
    accepted: false,
  }
}

export function requestHash(name: string, args: unknown): string {
  return canonicalHash({ name, args: args ?? null })
}

/** Some servers answer only with structure, and some fail without a word: a model that reads `{}` takes it for a success. */
function resultText({ text, data, isError }: Pick<ToolResult, 'text' | 'data' | 'isError'>, tool: string): string {
  if (text.trim()) return text.trim()
  const said = data === null ? '' : JSON.stringify(data)
  if (!/^(?:|\{\}|\[\]|null|"")$/.test(said)) return said
  return isError ? `${tool} failed and gave no reason` : '(empty)'
}

function thrownText(error: unknown, tool: string): string {
  const said = error instanceof Error ? error.message : typeof error === 'string' ? error : ''
  return said.trim() || `${tool} failed and gave no reason`
}

/** Errors that differ only in numbers, ids and tail are one error. */
function classOf(text: string): string {
  return text
    .slice(0, 200)
    .toLowerCase()
    .replaceAll(/[0-9a-f]{6,}|\d+/g, '#')
    .slice(0, 80)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
