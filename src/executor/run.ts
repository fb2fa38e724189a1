import { withinChapter } from '../codex/limit-range.ts'
import type { GuildEvent } from '../kernel/event.ts'
import type { JsonValue } from '../kernel/json.ts'
import { type CallPlan, type Called, callModel, refused } from './call-model.ts'
import { BudgetView } from './degrade.ts'
import type { EndReason, Ending, Halt } from './ending.ts'
import { callTraces, executeTools } from './execute-tools.ts'
import type { ExecutorDeps } from './executor-deps.ts'
import { contextSeqMax, fetchContext } from './fetch-context.ts'
import { finish, templateSummary } from './finish.ts'
import type { Journal } from './journal.ts'
import { standing } from './limits.ts'
import { loadPrompt } from './load-prompt.ts'
import { chargeLost } from './model-charge.ts'
import { detectLoop } from './loops.ts'
import { durationMs } from '../kernel/duration.ts'
import { activeMs, type Run, spentBy, waitMs } from './run-context.ts'
import { judgeOutput, repairOf } from './repair-output.ts'
import { limitsOf } from './run-limits.ts'
import { guardRun } from './run-guard.ts'
import { ToolReader } from './tool-reader.ts'
import { lastFinish, type Turn, turnsOf } from './turns.ts'

/** Answers of all kinds, also of providers that cost nothing: no run is endless. */
const turnsMax = 200

export type RunResult =
  /** @property kept false: the transcript is not written yet, the message is to come back */
  | { readonly kind: 'finished'; readonly kept: boolean }
  /** The lease is given back; a message will come when what it waits for is over. */
  | { readonly kind: 'suspended' }
  /** The lease is given back; the run is to be claimed again after this. */
  | { readonly kind: 'waiting'; readonly delayMs: number; readonly reason: string }

/**
 * One attempt at a run, from wherever its journal stands to its end, or to a wait. The journal is the state: each round looks at what
 * is done and does the next thing, so an attempt that takes over after a crash needs no code of its own.
 */
export async function runInvocation(
  deps: ExecutorDeps,
  journal: Journal,
  event: GuildEvent,
  owned: Pick<Run, 'signal' | 'checkLease'>,
): Promise<RunResult> {
  const claimedAtMs = deps.clock.now().getTime()
  if (journal.cancelled !== null) return halt(deps, journal, event, null, cancelled(journal))
  const prompt = await loadPrompt(deps.codex, journal, (failures) => waitMs(deps, failures))
  if (prompt.kind !== 'prompt') return halt(deps, journal, event, null, prompt)
  const { snapshot } = prompt
  const chapter = journal.invocation.chapter ?? prompt.agent.manifest.metadata.chapter ?? null
  const agent = withinChapter(prompt.agent, chapter === null ? undefined : snapshot.chapters.get(chapter))
  const guarded = guardRun(deps, journal, event, snapshot, agent)
  if (guarded.kind !== 'guarded') return halt(deps, journal, event, null, guarded)
  await using tools = new ToolReader({
    ...deps,
    snapshot,
    onQuarantine: ({ tool, why }) =>
      journal.note({
        stage: 'guard',
        outcome: 'TOOL_QUARANTINED',
        rule: `tools.lock.yaml#${tool}`,
        reason: `the tool ${tool} is not used: ${why}`,
      }),
  })
  const run: Run = {
    deps,
    journal,
    event: guarded.event,
    privacy: guarded.privacy,
    guarded,
    snapshot,
    agent,
    chapter,
    tools,
    budget: new BudgetView(),
    claimedAtMs,
    ...owned,
  }
  const stop = (await fetchContext(run)) ?? (await converse(run))
  return halt(deps, journal, guarded.event, run, stop)
}

/** Model and tools in turn, until there is an answer that asks for nothing more. */
async function converse(run: Run): Promise<Halt> {
  for (;;) {
    run.signal.throwIfAborted()
    await run.journal.hear()
    if (run.journal.cancelled !== null) return cancelled(run.journal)
    const turns = turnsOf(run.journal)
    const last = turns.at(-1)
    if (last) {
      if (last.response.stop === 'refusal') return { kind: 'end', ending: refused(last.response.text) }
      // It was asked for without tools: what it calls all the same is not done, also not by a worker that finds it here after a crash.
      if (last.request.closing) return { kind: 'end', ending: endingOf(run, last) }
      if (last.results.includes(null)) {
        const suspended = await executeTools(run, last)
        if (suspended) return suspended
        continue
      }
      const repair = last.response.toolCalls.length === 0 ? repairOf(run, turns) : null
      if (last.response.toolCalls.length === 0 && repair === null) return { kind: 'end', ending: endingOf(run, last) }
      if (repair !== null) {
        const ended = await repairCall(run, last, turns, repair)
        if (ended) return ended
        continue
      }
    }
    const stopped = await nextCall(run, turns)
    if (stopped) return stopped
  }
}

function cancelled(journal: Journal): Halt {
  const detail = journal.cancelled ?? ''
  const summary = templateSummary(journal, detail)
  return { kind: 'end', ending: { state: 'STOPPED', reason: 'CANCELLED', detail, summary, output: null } }
}

/** One more call for an answer of the right shape; where no limit leaves room for it the run ends with the answer as it is. */
async function repairCall(run: Run, last: Turn, turns: readonly Turn[], repair: string): Promise<Halt | null> {
  const end = (): Halt => ({ kind: 'end', ending: endingOf(run, last) })
  const seq = nextSeq(run, last)
  // Before the plan: a lost call counts.
  await chargeLost(run, seq)
  const plan = planCall(run, turns)
  if (plan.closing) return end()
  const called = await callModel(run, seq, { ...plan, steer: repair, repair: true })
  if (called.kind === 'called') return null
  if (called.kind === 'refused') return end()
  // The answer is there: a provider that fails after it takes nothing from it.
  return called.kind === 'end' && called.ending.reason === 'PROVIDER' ? end() : called
}

/** After a grant the run goes on behind its last finish. */
function nextSeq(run: Run, last: Turn | undefined): number {
  const next = last ? last.step.seq + last.response.toolCalls.length + 1 : contextSeqMax(run) + 1
  return Math.max(next, lastFinish(run.journal) + 1)
}

async function nextCall(run: Run, turns: readonly Turn[]): Promise<Halt | null> {
  const last = turns.at(-1)
  const seq = nextSeq(run, last)
  await chargeLost(run, seq)
  const plan = planCall(run, turns)
  if (plan.closing) return land(run, seq, plan.closing)
  const called = await callModel(run, seq, plan)
  if (called.kind === 'called') return null
  if (called.kind !== 'refused') return called
  // Nothing has been said yet, and the manifest has rules that need no budget: better those than nothing.
  if (!last && run.agent.manifest.spec.model.prefer.includes('rules')) {
    run.journal.note({
      stage: 'budget',
      outcome: 'RULES_INSTEAD',
      reason: `rules decide without a model: ${called.detail}`,
    })
    const ruled = await callModel(run, seq, { ...plan, rulesOnly: true })
    return ruled.kind === 'called' || ruled.kind === 'refused' ? null : ruled
  }
  return land(run, seq, called)
}

function planCall(run: Run, turns: readonly Turn[]): CallPlan {
  const plain = { steer: resumed(run, turns), closing: null, repair: false, rulesOnly: false, fit: false }
  const loop = detectLoop(callTraces(run.journal))
  if (loop) return { ...plain, closing: { reason: 'LOOP', detail: loop } }
  if (turns.length >= turnsMax) return { ...plain, closing: { reason: 'MAX_STEPS', detail: `${turnsMax} answers` } }
  const { provider } = turns.at(-1)?.request ?? {}
  if (provider === 'rules') return plain
  const now = standing(spentBy(run), limitsOf(run))
  if (now.kind === 'land') return { ...plain, closing: { reason: now.reason, detail: now.detail } }
  const told = turns.some(({ request }) => request.steer !== null && !request.repair)
  return { ...plain, steer: plain.steer ?? (told ? null : now.steer) }
}

/** Said on the first call after a grant: the closing answer before it is not part of the conversation any more. */
function resumed({ journal }: Run, turns: readonly Turn[]): string | null {
  const ended = lastFinish(journal)
  if (ended < 0 || (turns.at(-1)?.step.seq ?? -1) > ended) return null
  return 'This run had stopped at its budget. A person has granted it more: go on from where it stood.'
}

/** One closing call without tools, if what is left allows it; else the summary is told from the journal. */
async function land(
  run: Run,
  seq: number,
  why: { readonly reason: EndReason; readonly detail: string },
): Promise<Halt> {
  const limits = limitsOf(run)
  const spent = spentBy(run)
  let called: Called | null = null
  if (spent.modelCalls > 0 && spent.modelCalls < limits.modelCalls && activeMs(run) < limits.activeMs) {
    const plan = { steer: null, closing: why, repair: false, rulesOnly: false, fit: false }
    called = await callModel(run, seq, plan)
    // The whole story does not fit any more: as much of it as the landing reserve pays for.
    if (called.kind === 'refused') called = await callModel(run, seq, { ...plan, fit: true })
  }
  const last = turnsOf(run.journal).at(-1)
  if (called?.kind === 'called' && last?.step.seq === seq) return { kind: 'end', ending: endingOf(run, last) }
  const { reason, detail } = why
  return {
    kind: 'end',
    ending: { state: 'STOPPED', reason, detail, summary: templateSummary(run.journal, detail), output: null },
  }
}

function endingOf(run: Run, turn: Turn): Ending {
  const { request, response } = turn
  const text = response.text.trim()
  if (request.closing) {
    const { reason, detail } = request.closing
    const summary = text || templateSummary(run.journal, detail)
    return { state: 'STOPPED', reason, detail, summary, output: null }
  }
  const cut = response.stop === 'length' ? '; the answer reached its length limit' : ''
  const {
    output,
    wrong: [wrong],
  } = judgeOutput(run, turn)
  if (wrong !== undefined) {
    const reason = `the final answer is not the JSON that the manifest asks for (${wrong})${cut}`
    run.journal.note({ stage: 'run', outcome: 'OUTPUT_INVALID', reason })
  }
  return {
    state: 'COMPLETED',
    reason: null,
    detail: `${[...new Set([response.provider, response.model])].join(' ')} answered${cut}`,
    summary: summaryOf(output) ?? (text || 'The run ended without a word.'),
    output,
  }
}

async function halt(
  deps: ExecutorDeps,
  journal: Journal,
  event: GuildEvent,
  run: Run | null,
  stop: Halt,
): Promise<RunResult> {
  const agent = run?.agent ?? null
  if (stop.kind === 'wait') {
    const { delayMs, reason } = stop
    const maxWaitMs = durationMs(agent?.manifest.spec.limits.maxWait ?? '24h')
    if (journal.invocation.waited_ms + delayMs <= maxWaitMs) {
      journal.note({ stage: 'run', outcome: 'WAITING_RATE', reason: `waits ${Math.ceil(delayMs / 1000)} s: ${reason}` })
      await journal.write({ row: { state: 'WAITING_RATE', detail: reason, wait_ms: delayMs } })
      return { kind: 'waiting', delayMs, reason }
    }
  }
  if (stop.kind === 'suspended') return stop
  return { kind: 'finished', kept: await finish(deps, journal, event, agent, stop.ending, run?.guarded ?? null) }
}

function summaryOf(output: JsonValue): string | null {
  if (typeof output !== 'object' || output === null || Array.isArray(output)) return null
  const { summary } = output as { readonly summary?: JsonValue }
  return typeof summary === 'string' && summary.trim() ? summary : null
}
