import type { CodexSnapshot, CompiledAgent, CompiledPrivacy } from '../codex/snapshot.ts'
import { standardRedactor } from '../guards/privacy/redact.ts'
import type { Named } from '../guards/privacy/placeholders.ts'
import { privacyRules, RunPrivacy } from '../guards/privacy/run-privacy.ts'
import { toolClass } from '../guards/privacy/tool-class.ts'
import { type DataClass, mostConfidential } from '../kernel/data-class.ts'
import { isGuildError } from '../kernel/errors.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { failed, type Halt } from './ending.ts'
import type { ExecutorDeps } from './executor-deps.ts'
import type { Journal } from './journal.ts'
import type { Run } from './run-context.ts'
import { read } from './step.ts'

export interface Guarded {
  readonly kind: 'guarded'
  readonly privacy: RunPrivacy
  /** as the run may see it */
  readonly event: GuildEvent
  /** what the serving commit asked for when the rules were made */
  readonly serving: CompiledPrivacy
}

/**
 * Stands between the raw event and all that a run does with it (conditions, templates, prompts): secrets are taken out, and an event
 * of a class that the agent does not read keeps only what it is. A guard that fails ends the run before anything was read or sent.
 */
export function guardRun(
  deps: Pick<ExecutorDeps, 'codex' | 'redactor'>,
  journal: Journal,
  event: GuildEvent,
  snapshot: CodexSnapshot,
  agent: CompiledAgent,
): Guarded | Halt {
  const redactor = deps.redactor ?? standardRedactor
  const serving = deps.codex.current().privacy
  const rules = privacyRules(agent.manifest.spec.trust.redact, [snapshot.privacy, serving])
  const privacy = new RunPrivacy(redactor, rules)
  const kept = mayRead(agent, eventClass(snapshot, event))
  if (!kept && journal.invocation.attempts === 1) {
    const reason = `the content of the event is withheld: it is ${eventClass(snapshot, event)}, which this agent does not read`
    journal.note({ stage: 'guard', outcome: 'EVENT_WITHHELD', rule: `${agent.place.file}#trust`, reason })
  }
  try {
    const { subject, actor } = event.metadata
    const payload = kept ? redactor.json(event.payload).value : {}
    // Records of strings, in which strings take the place of strings.
    const clean = redactor.json({ subject: { ...subject }, actor: { ...actor } }).value as unknown as {
      readonly subject: typeof subject
      readonly actor: typeof actor
    }
    const seen = { ...event, payload, metadata: { ...event.metadata, ...clean } }
    return { kind: 'guarded', privacy, event: seen, serving }
  } catch (error) {
    return guardEnding(error)
  }
}

/** The run ends: nothing has left, and nothing will. Other errors are not the guard's. */
export function guardEnding(error: unknown): Extract<Halt, { kind: 'end' }> {
  if (isGuildError(error, 'GUILD_PRIVACY_FAILED')) return { kind: 'end', ending: failed('POLICY', error.message) }
  if (!isGuildError(error, 'GUILD_PRIVACY_BLOCKED')) throw error
  const detail = error.message
  return {
    kind: 'end',
    ending: { state: 'STOPPED', reason: 'POLICY', detail, summary: `The run stopped: ${detail}`, output: null },
  }
}

/**
 * Placeholders for all that the run has read. A resumed run first names again what its calls have told a provider, so that an answer
 * means the same people to whoever carries it out.
 */
export function learnJournal(journal: Journal, { privacy, event }: Pick<Run, 'privacy' | 'event'>): void {
  if (!privacy.personal) return
  privacy.recall(toldBefore(journal))
  privacy.learn('event', event.payload)
  for (const step of journal.done) {
    if (step.kind === 'context') privacy.learn(`${step.seq}`, read.context(step).text)
    if (step.kind === 'tool_read') privacy.learn(`${step.seq}`, read.tool(step).text)
  }
}

/** What the next call tells a provider for the first time, in the order of the placeholders. */
export function namedAnew({ journal, privacy }: Pick<Run, 'journal' | 'privacy'>): readonly Named[] {
  return privacy.personal ? privacy.named.slice(toldBefore(journal).length) : []
}

/** Of every attempt: also a call that failed was told. */
function toldBefore(journal: Journal): readonly Named[] {
  return journal.all.flatMap((step) => (step.kind === 'llm' ? read.modelRequest(step).named : []))
}

export function mayRead(agent: CompiledAgent, data: DataClass): boolean {
  return agent.manifest.spec.trust.dataClasses.includes(data)
}

/** The most confidential data that had been read before step `seq`. Only ever rises. */
export function confidentialityBefore({ journal, event, snapshot, agent }: Run, seq: number): DataClass {
  const tools = new Map(agent.manifest.spec.context.flatMap((item) => ('tool' in item ? [[item.id, item.tool]] : [])))
  const seen = journal.done.flatMap((step): DataClass[] => {
    if (step.seq >= seq) return []
    if (step.kind === 'tool_read') return [toolClass(snapshot.connectors, step.name)]
    const tool = step.kind === 'context' && read.context(step).outcome === 'read' ? tools.get(step.name) : undefined
    return tool === undefined ? [] : [toolClass(snapshot.connectors, tool)]
  })
  // What may not be read was withheld, so it does not count.
  const handed = event.metadata.handoff?.confidentiality ?? 'public'
  return [eventClass(snapshot, event), handed, ...seen]
    .filter((one) => mayRead(agent, one))
    .reduce(mostConfidential, 'public')
}

function eventClass(snapshot: CodexSnapshot, event: GuildEvent): DataClass {
  return toolClass(snapshot.connectors, event.metadata.connector)
}
