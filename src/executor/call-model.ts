import type { Queryable } from '../database/database.ts'
import { isGuildError, reasonOf, type GuildError } from '../kernel/errors.ts'
import type { RunPrivacy } from '../guards/privacy/run-privacy.ts'
import { inputBound } from '../ledger/price.ts'
import type { LlmAnswer, LlmUsage, ModelChoice } from '../llm/llm.ts'
import { requestHash } from '../llm/request-hash.ts'
import { type Ending, failed, type Halt } from './ending.ts'
import { heldBack, isInForce, levelLine, rulesOnlyRefusal } from './degrade.ts'
import {
  brokenUsage,
  charge,
  chargeLost,
  estimatedUsage,
  partialUsage,
  tellsUsage,
  unreportedUsage,
} from './model-charge.ts'
import { closingTokensMax, storyBytes, storyBytesMin } from './landing.ts'
import { fitted } from './fit-prompt.ts'
import { mayHeal } from './model-choice.ts'
import { offerTools } from './offer-tools.ts'
import { type Failed, failuresAt, noteSkipped, pick } from './pick-call.ts'
import { type Call, type Refusal, reserveCall } from './reserve-call.ts'
import { activeMs, free, type Run, waitMs } from './run-context.ts'
import { guardEnding, learnJournal, namedAnew } from './run-guard.ts'
import { inputTokensOf, limitsOf } from './run-limits.ts'
import { aStep, type ModelRequest, type ModelResponse, read, type Step, storable } from './step.ts'
import { agentFacts, contextFacts, type NextCall, systemText, transcript } from './transcript.ts'
import { turnsOf } from './turns.ts'

/** What the run has decided about the next call before it is made. */
export interface CallPlan {
  readonly steer: string | null
  readonly closing: ModelRequest['closing']
  /** the final answer is asked for again, as `steer` says */
  readonly repair: boolean
  /** true: ask nobody but the manifest's own rules, because nothing else can be paid for */
  readonly rulesOnly: boolean
  /** true: a closing call is cut to what the landing reserve pays for */
  readonly fit: boolean
}

export type Called =
  /** The journal has grown: by an answer, or by a failure that another attempt may make good. */
  { readonly kind: 'called' } | Refusal | Halt

type LlmFailure =
  Pick<GuildError, 'code' | 'message' | 'retryAfterMs'> | { code: 'DEADLINE'; message: string; retryAfterMs?: number }

/**
 * 3. Call the model, once: reserve and journal the intent, call, then settle and journal the answer, each side in one transaction. A
 * crash in between loses one call, which is charged by estimate and made again; a finished one is never repeated.
 */
export async function callModel(run: Run, seq: number, plan: CallPlan): Promise<Called> {
  if (run.journal.holdsAnswer) await run.journal.flush()
  await chargeLost(run, seq)
  const failures = failuresAt(run, seq)
  for (;;) {
    const picked = await pick(run, failures, plan.rulesOnly)
    if (picked.kind === 'none') return { kind: 'end', ending: failed('PROVIDER', picked.why) }
    if (picked.kind === 'wait') return waitFor(run, picked)
    const { provider } = picked.choice
    const barred = free(provider) ? null : (rulesOnlyRefusal(run) ?? heldBack(run))
    if (barred) return barred
    const tried = await run.deps.health.enter(provider)
    if (tried) return waitFor(run, tried)
    noteSkipped(run, seq, picked)
    const call = await guarded(run, provider, () => prepare(run, seq, picked.choice, plan, failures))
    if (call && 'kind' in call) return call
    if (call && free(provider)) return answer(run, call)
    const reserved = call && (await reserveCall(run, call))
    if (reserved?.kind === 'reserved') return answer(run, reserved.call)
    await run.deps.health.leave(provider)
    if (reserved === null) return { kind: 'refused', reason: 'BUDGET_RUN', detail: 'the landing reserve is too small' }
    if (reserved.kind === 'refused') return reserved
    // The level can only rise until it is the worst: the loop ends. The call is made anew with what is in force now.
    run.budget.heard(run, reserved.standing)
  }
}

/** A request that the privacy guard does not let pass, or cannot look at, is not made: the run ends. */
async function guarded<T>(
  run: Run,
  provider: string,
  make: () => Promise<T>,
): Promise<T | Extract<Halt, { kind: 'end' }>> {
  try {
    return await make()
  } catch (error) {
    await run.deps.health.leave(provider)
    return guardEnding(error)
  }
}

/** Nobody can be asked before a time that all runs know: a tenth of it in jitter, so that they do not come back as one. */
function waitFor(
  { deps }: Run,
  { until, why }: { readonly until: Date; readonly why: string },
): Extract<Halt, { kind: 'wait' }> {
  const leftMs = Math.max(1, until.getTime() - deps.clock.now().getTime())
  const delayMs = Math.ceil(leftMs + Math.min(leftMs / 10, 5_000) * deps.random())
  return { kind: 'wait', delayMs, reason: why, ending: failed('PROVIDER', why) }
}

async function prepare(
  run: Run,
  seq: number,
  choice: ModelChoice,
  plan: CallPlan,
  failures: readonly Failed[],
): Promise<Call | null> {
  const { agent, journal, event } = run
  // Rules decide from facts: nothing need be said to them, and they never run out.
  const line = levelLine(run)
  const steer = [plan.steer, plan.closing ? null : line].filter(Boolean).join('\n') || null
  const ruled = choice.provider === 'rules'
  const said = ruled ? { steer: null, closing: null } : { steer, closing: plan.closing }
  const { maxOutputTokensPerCall, temperature } = agent.manifest.spec.model
  const tools = said.closing ? [] : await offerTools(run, !ruled, turnsOf(journal).length === 0)
  const whole: NextCall = { choice, ...said, trim: 0, halved: isInForce(run, 'trim-context') }
  const trim = said.closing || free(choice.provider) ? 0 : fitted(run, whole, choice, tools, failures)
  const next: NextCall = { ...whole, trim }
  const bytesMax = said.closing && plan.fit ? storyBytes(run, next) : null
  if (bytesMax !== null && bytesMax < storyBytesMin) return null
  learnJournal(run.journal, run)
  const raw = {
    system: systemText(agent),
    messages: transcript(journal, event, agent, { ...next, bytesMax }),
    tools,
    maxOutputTokens: said.closing ? Math.min(closingTokensMax, maxOutputTokensPerCall) : maxOutputTokensPerCall,
    temperature,
    output: said.closing ? null : agent.output,
  }
  // Rules are asked here and keep nothing: what they read has no secrets, and their actions pass the guard like any other.
  const sent = choice.provider === 'rules' ? raw : run.privacy.request(raw)
  const facts = { event, context: contextFacts(journal), agent: agentFacts(agent), rules: agent.rules }
  const { alias, provider, model, price } = choice
  const inputBytes = free(provider) ? 0 : inputBound(sent)
  const inputTokens = await inputTokensOf(run, choice, inputBytes)
  const meant: ModelRequest = {
    alias,
    provider,
    model,
    price,
    ...said,
    repair: plan.repair,
    trim,
    level: free(provider) ? 'green' : run.budget.standing.level,
    inputTokens,
    inputBytes,
    reservation: null,
    code: null,
    named: provider === 'rules' ? [] : [...namedAnew(run)],
  }
  const intent = aStep({
    seq,
    attempt: journal.nextAttempt(seq),
    kind: 'llm',
    name: alias,
    status: 'INTENT',
    // The name of its recording: `guild runs record` needs no more.
    request_hash: requestHash(sent),
    started_at: journal.at,
  })
  const cacheKey = `${agent.id}@${agent.manifest.metadata.version}`
  return { request: { provider, model, cacheKey, ...sent, facts }, meant, intent }
}

/**
 * The call itself, and T2: the answer, its price and what it adds up to; or the failure, and what is given back. An answer is committed
 * together with what it sets off at once, its actions or the end of the run; before anything else is done, alone.
 */
async function answer(run: Run, call: Call): Promise<Called> {
  const { deps, journal } = run
  const remainingMs = limitsOf(run).activeMs - activeMs(run)
  const deadline = AbortSignal.timeout(Math.max(1, Math.ceil(remainingMs)))
  const noted = new UsageNotes(run, call)
  let result: LlmAnswer
  if (call.meant.reservation !== null) {
    await run.checkLease()
    // The write of the intent brought the news.
    if (journal.cancelled !== null) return withdraw(run, call)
  }
  try {
    const signal = AbortSignal.any([run.signal, deadline])
    result = await deps.llm.call(call.request, { signal, onUsage: (usage) => noted.add(usage) })
  } catch (error) {
    await noted.written()
    // Stopped from outside: the intent stays, and whoever continues charges it.
    run.signal.throwIfAborted()
    if (deadline.aborted)
      return fail(run, call, { code: 'DEADLINE', message: 'the time of the run was over' }, noted.last)
    if (!isGuildError(error)) throw error
    return fail(run, call, error, noted.last)
  }
  await noted.written()
  const response = normalized(run, call, result)
  const answered = { provider: response.provider, model: response.model }
  const told = tellsUsage(call.meant, result.usage)
  const paid = charge(call.meant, told ? result.usage : unreportedUsage(call.meant, response), answered, !told)
  const done: Step = {
    ...call.intent,
    status: 'DONE',
    request: storable(call.meant),
    response: storable(response),
    usage: paid.usage,
    finished_at: journal.at,
  }
  const entry = { steps: [done], row: paid.row }
  if (call.meant.reservation === null) journal.hold(entry)
  else {
    journal.holdAnswer(entry, async (tx) => {
      await paid.settle(run, tx)
      await deps.health.succeeded(tx, call.meant.provider)
    })
  }
  return { kind: 'called' }
}

/** Cancelled between the reservation and the call: nobody is asked, and what was reserved goes back. */
async function withdraw({ deps, journal }: Run, { intent, meant }: Call): Promise<Called> {
  const error = 'the run was cancelled before the call was made'
  await journal.transact(async (tx) => {
    if (meant.reservation !== null) await deps.ledger.release(tx, meant.reservation)
    const request = storable({ ...meant, code: 'CANCELLED' })
    return { steps: [{ ...intent, status: 'FAILED', request, error, finished_at: journal.at }] }
  })
  await deps.health.leave(meant.provider)
  return { kind: 'called' }
}

/** A failed attempt gives its reservation back, unless the provider had begun to work: then what is known of it is charged. */
async function fail(run: Run, call: Call, failure: LlmFailure, reported: Partial<LlmUsage> | null): Promise<Called> {
  const { deps, journal } = run
  const { code, message } = failure
  const begun = code === 'DEADLINE' || code === 'GUILD_LLM_TIMEOUT'
  const usage = reported ? brokenUsage(call.meant, reported) : begun ? estimatedUsage(call.meant) : null
  const paid = usage && charge(call.meant, usage, null, true)
  const request = storable({ ...call.meant, code })
  const step: Step = { ...call.intent, status: 'FAILED', request, error: message, finished_at: journal.at }
  await journal.transact(async (tx) => {
    if (paid) await paid.settle(run, tx)
    else if (call.meant.reservation !== null) await deps.ledger.release(tx, call.meant.reservation)
    await noteHealth(run, tx, call.meant.provider, failure)
    return { steps: [{ ...step, usage: paid?.usage ?? null }], row: paid?.row ?? {} }
  })
  if (code === 'GUILD_LLM_REFUSED') return { kind: 'end', ending: refused(message) }
  if (!mayHeal(code)) return { kind: 'called' }
  const failures = failuresAt(run, call.intent.seq)
  const picked = await pick(run, failures, false)
  if (picked.kind === 'none') return { kind: 'end', ending: failed('PROVIDER', picked.why) }
  // Another model is asked at once; the same one again only after a while.
  if (picked.kind === 'call' && picked.choice.alias !== call.meant.alias) return { kind: 'called' }
  const healing = failures.filter((made) => mayHeal(made.code)).length
  const backoffMs = waitMs(deps, healing, failure.retryAfterMs)
  const blockedMs = picked.kind === 'wait' ? waitFor(run, picked).delayMs : 0
  return { kind: 'wait', delayMs: Math.max(backoffMs, blockedMs), reason: message, ending: failed('PROVIDER', message) }
}

/** What the failure says of the provider: one that answers, if only with a refusal, is alive; our own deadline says nothing. */
async function noteHealth({ deps, journal }: Run, tx: Queryable, provider: string, failure: LlmFailure): Promise<void> {
  const { code, message, retryAfterMs } = failure
  if (free(provider)) return
  if (code !== 'DEADLINE' && !mayHeal(code)) return deps.health.succeeded(tx, provider)
  if (code === 'DEADLINE') return
  const opened = await deps.health.failed(
    tx,
    provider,
    message,
    code === 'GUILD_LLM_OVERLOADED' ? retryAfterMs : undefined,
  )
  if (!opened) return
  const reason = `${provider} is cut off until ${opened.retryAt?.toISOString()}: ${message}`
  journal.note({ stage: 'run', outcome: 'PROVIDER_CUT_OFF', reason, detail: { provider } })
}

export function refused(message: string): Ending {
  const detail = message || 'the provider refused to answer'
  return { state: 'STOPPED', reason: 'POLICY', detail, summary: `The run stopped: ${detail}`, output: null }
}

/** What the provider reports before the end of its answer, kept in case that end never comes. */
class UsageNotes {
  readonly #run: Run
  readonly #call: Call
  #writing: Promise<void> = Promise.resolve()
  last: Partial<LlmUsage> | null = null

  constructor(run: Run, call: Call) {
    this.#run = run
    this.#call = call
  }

  add(usage: Partial<LlmUsage>): void {
    this.last = { ...this.last, ...usage }
    const { meant, intent } = this.#call
    if (meant.reservation === null || this.last.inputNocache === undefined) return
    const { usage: counted } = charge(meant, partialUsage(this.last), null, true)
    const { journal, deps } = this.#run
    this.#writing = this.#writing
      .then(() => journal.noteUsage(intent, counted))
      // Only an estimate gets worse by it; a database that is gone fails the write of the answer.
      .catch((error: unknown) =>
        deps.log.warn({ invocationId: journal.invocation.id, why: reasonOf(error) }, 'usage not noted'),
      )
  }

  written(): Promise<void> {
    return this.#writing
  }
}

/** What every vendor takes as the id of a call, should the run move on to another one. */
const callId = /^[\w-]{1,64}$/

/** Some servers give calls no ids, odd ones, or the same twice: they get ones of ours, and vendor parts that name the old ones are dropped. */
function normalized({ journal, privacy }: Run, { intent }: Call, { opaque, ...result }: LlmAnswer): ModelResponse {
  const earlier = turnsOf(journal).flatMap((turn) => turn.response.toolCalls.map((call) => call.id))
  const ids = result.toolCalls.map((call) => call.id)
  const usable = ids.every((id, index) => callId.test(id) && ids.indexOf(id) === index && !earlier.includes(id))
  const toolCalls = result.toolCalls.map(({ id, name, args }, index) => ({
    id: usable ? id : `call-${intent.seq}-${index + 1}`,
    name,
    ...withoutSecrets(privacy, args),
  }))
  const { text, stop, provider, model } = result
  return read.answer({ text, stop, provider, model, toolCalls, opaque: usable ? (opaque ?? null) : null })
}

/** Taken out before the answer is stored; that there were any is kept, because a call that meant to tell one is not carried out. */
function withoutSecrets({ redactor }: RunPrivacy, args: unknown) {
  try {
    const { value, removed } = redactor.json(storable(args ?? null))
    return { args: value, ...(removed.length > 0 && { leaks: removed }) }
  } catch {
    return { args: null, leaks: ['unknown: the privacy guard failed'] } // said to the model and on the record
  }
}
