import type { CompiledAgent } from '../codex/snapshot.ts'
import { cutToTokens, fence, fenceRule, trustedEnough } from '../guards/context-guard.ts'
import type { GuildEvent } from '../kernel/event.ts'
import type { JsonObject, JsonValue } from '../kernel/json.ts'
import type { LlmMessage, ModelChoice } from '../llm/llm.ts'
import type { Journal } from './journal.ts'
import { read, type ModelRequest, type Step } from './step.ts'
import { trimOf } from './trim.ts'
import { type Turn, turnsOf } from './turns.ts'

export interface NextCall {
  readonly choice: Pick<ModelChoice, 'provider' | 'model'>
  readonly steer: string | null
  readonly closing: ModelRequest['closing']
  /** how much is left out because it does not fit, see `trim.ts` */
  readonly trim: number
  /** context and event at half their size: a policy has trimmed them */
  readonly halved?: boolean
  /** of a closing call: the story is cut to so many bytes */
  readonly bytesMax?: number | null
}

const eventTokensMax = 6_000
const closingResultTokens = 150
/** of required context and of the event in a closing call; optional context is left out */
const closingShare = 0.25

/** Prompt and rules, then what we say about data: the same bytes for every run of one agent version, so that providers can cache it. */
export function systemText(agent: CompiledAgent): string {
  return `${agent.system}\n\n${fenceRule}`
}

/**
 * The conversation so far, from the journal alone: a resumed run sends what the one before it would have sent. Context, then the event,
 * then the turns (design: runs 7). The closing call has no tools, which some vendors refuse in a conversation that used them: it gets
 * the story as one text.
 */
export function transcript(
  journal: Journal,
  event: GuildEvent,
  agent: CompiledAgent,
  next: NextCall,
): readonly LlmMessage[] {
  const turns = turnsOf(journal)
  if (next.closing) {
    const optional = agent.manifest.spec.context.filter((item) => !item.required).map(({ id }) => id)
    const left = { context: new Set(optional), share: closingShare, eventShare: closingShare }
    const told = [opening(journal, event, agent, left), ...turns.map(storyOf)].join('\n\n')
    const end = closingText(next.closing.detail)
    const max = next.bytesMax ?? null
    const story = max === null ? told : cutToBytes(told, max - Buffer.byteLength(end) - 2)
    return [{ role: 'user', text: `${story}\n\n${end}` }]
  }
  const trim = trimOf(journal, agent, next.trim)
  const policy = next.halved ? 0.5 : 1
  const left = { context: trim.context, share: trim.share * policy, eventShare: policy }
  const messages: LlmMessage[] = [{ role: 'user', text: opening(journal, event, agent, left) }]
  for (const { step, request, response, results } of turns) {
    if (request.steer) messages.push({ role: 'user', text: request.steer })
    const { text, toolCalls, opaque } = response
    // A vendor's own parts mean nothing to another one.
    const same = request.provider === next.choice.provider && request.model === next.choice.model
    messages.push({ role: 'assistant', text, toolCalls, ...(same && opaque ? { opaque } : {}) })
    const told = toolCalls.flatMap((call, index) => {
      const result = results[index]
      if (!result) return []
      const text = trim.results.has(step.seq + 1 + index) ? stubOf(call.name, result.text) : result.text
      return [{ callId: call.id, name: call.name, isError: result.isError, text }]
    })
    if (told.length > 0) messages.push({ role: 'tool', results: told })
  }
  if (next.steer) messages.push({ role: 'user', text: next.steer })
  return messages
}

/** What conditions and templates read as `context`: parsed data where there is some, else the text. */
export function contextFacts(journal: Journal): JsonObject {
  const facts: Record<string, JsonValue> = {}
  for (const step of journal.done) {
    if (step.kind !== 'context') continue
    const { outcome, data, text } = read.context(step)
    if (outcome === 'read') facts[step.name] = data ?? text
  }
  return facts
}

/** `payload` and `metadata` are short for the event's. */
export function factsOf(journal: Journal, event: GuildEvent, agent: CompiledAgent): JsonObject {
  return {
    event: { ...event, metadata: { ...event.metadata } } as unknown as JsonObject, // an event is JSON by its schema
    payload: event.payload,
    metadata: { ...event.metadata } as unknown as JsonObject,
    context: contextFacts(journal),
    agent: agentFacts(agent),
  }
}

export function agentFacts({ id, manifest }: CompiledAgent): JsonObject {
  const { type, chapter, version, owner } = manifest.metadata
  return { id, name: id, type, chapter: chapter ?? null, version, owner }
}

interface Left {
  readonly context: ReadonlySet<string>
  readonly share: number
  readonly eventShare: number
}

function opening(journal: Journal, event: GuildEvent, agent: CompiledAgent, left: Left): string {
  const items = new Map(agent.manifest.spec.context.map((item) => [item.id, item]))
  const context = journal.done.flatMap((step) => {
    const item = items.get(step.name)
    if (step.kind !== 'context' || !item) return []
    if (left.context.has(item.id)) return [`Context ${step.name} was left out: it did not fit.`]
    const tokensMax = left.share === 1 ? null : Math.ceil(item.maxTokens * left.share)
    return once(step, `${tokensMax}`, () => contextText(step, tokensMax))
  })
  const tokensMax = Math.ceil(eventTokensMax * left.eventShare)
  const told = once(event, `${tokensMax} ${agent.manifest.spec.trust.minIntegrity}`, () => [
    eventText(event, agent, tokensMax),
  ])
  return joinedOnce(event, [...context, ...told])
}

/** The same text, as the same object, for as long as its parts are: what is the same object is looked at, hashed and found again for nothing. */
function joinedOnce(event: GuildEvent, parts: readonly string[]): string {
  const before = joined.get(event)
  if (before?.parts.length === parts.length && before.parts.every((part, index) => part === parts[index]))
    return before.text
  const text = parts.join('\n\n')
  joined.set(event, { parts, text })
  return text
}

const joined = new WeakMap<GuildEvent, { readonly parts: readonly string[]; readonly text: string }>()

/** Each call tells the same again, and to fence pages of text takes a while; kept for as long as the step or the event is. */
const fenced = new WeakMap<object, Map<string, readonly string[]>>()

function once(of: object, key: string, make: () => readonly string[]): readonly string[] {
  const known = fenced.get(of) ?? new Map<string, readonly string[]>()
  fenced.set(of, known)
  const before = known.get(key)
  if (before !== undefined) return before
  const made = make()
  known.set(key, made)
  return made
}

/** An identical call is answered from the journal, so what is left out here can be had again for nothing. */
function stubOf(name: string, text: string): string {
  return `(left out: ${Buffer.byteLength(text)} bytes that ${name} answered here did not fit any more; call it again if you need them)`
}

/** @param tokensMax null: as it was cut when it was read */
function contextText(step: Step, tokensMax: number | null): readonly string[] {
  const { outcome, text, integrity } = read.context(step)
  switch (outcome) {
    case 'read':
      return [fence(`context ${step.name}`, integrity, tokensMax === null ? text : cutToTokens(text, tokensMax).text)]
    case 'withheld':
      return [`Context ${step.name} is withheld: its author is ${integrity}, which this agent does not read.`]
    case 'unavailable':
      return [`Context ${step.name} could not be read.`]
    case 'skipped':
      return []
  }
}

function eventText(event: GuildEvent, agent: CompiledAgent, tokensMax: number): string {
  const { subject, actor } = event.metadata
  const { type, source, payload } = event
  if (!trustedEnough(actor.integrity, agent.manifest.spec.trust.minIntegrity)) {
    const known = JSON.stringify({ type, source, subject: { kind: subject.kind } })
    return `The event, without its content: its author is ${actor.integrity}, which this agent does not read.\n${fence('event', actor.integrity, known)}`
  }
  const whole = JSON.stringify({ type, source, subject, actor: { kind: actor.kind, id: actor.id }, payload })
  return fence('event', actor.integrity, cutToTokens(whole, tokensMax).text)
}

function storyOf({ response, results }: Turn): string {
  const calls = response.toolCalls.map(({ name, args }, index) => {
    const asked = `You called ${name} with ${cutToTokens(JSON.stringify(args), closingResultTokens).text}`
    const result = results[index]
    if (!result) return `${asked}\nnot done`
    // Fenced anew: the cut takes the end mark away, and what follows must not read as part of the data, nor the data as ours.
    const cut = cutToTokens(result.text, closingResultTokens).text
    return `${asked}\n${fence(`result of ${name}`, result.integrity, cut)}`
  })
  return [response.text, ...calls].filter(Boolean).join('\n')
}

function cutToBytes(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= bytesMax) return text
  // A character cut in half becomes a replacement mark, which is longer: three bytes are kept for it.
  return new TextDecoder().decode(bytes.subarray(0, Math.max(0, bytesMax - 3))).toWellFormed()
}

function closingText(detail: string): string {
  return [
    `This run ends here: ${detail}. You have no tools any more.`,
    'In a few sentences: what you found, what was done, and the one thing that should happen next.',
  ].join('\n')
}
