import type { CompiledPrivacy, PrivacyPattern } from '../../codex/snapshot.ts'
import type { DetectorClass } from '../../kernel/data-class.ts'
import { GuildError, isGuildError } from '../../kernel/errors.ts'
import type { JsonValue } from '../../kernel/json.ts'
import type { LlmMessage, LlmTool } from '../../llm/llm.ts'
import type { Finding } from './finding.ts'
import { type Named, Placeholders } from './placeholders.ts'
import { mapStrings, type Redactor, replaced, secretMark } from './redact.ts'

export interface PrivacyRules {
  /** secrets are always among them */
  readonly classes: ReadonlySet<DetectorClass>
  readonly patterns: readonly PrivacyPattern[]
}

/** The manifest's classes and those of every policy given: of the pinned commit, and of the serving one, which may only add. */
export function privacyRules(redact: readonly DetectorClass[], policies: readonly CompiledPrivacy[]): PrivacyRules {
  const patterns = new Map<string, PrivacyPattern>()
  for (const policy of policies) for (const one of policy.patterns) patterns.set(one.name, one)
  const classes = new Set<DetectorClass>(['secrets', ...redact, ...policies.flatMap((policy) => policy.redact)])
  return { classes, patterns: [...patterns.values()] }
}

interface Sent {
  readonly system: string
  readonly messages: readonly LlmMessage[]
  readonly tools: readonly LlmTool[]
  readonly output: object | null
}

/** The border to the provider, and the placeholders of one run. */
export class RunPrivacy {
  readonly redactor: Redactor
  readonly #rules: PrivacyRules
  readonly #placeholders = new Placeholders()
  readonly #learned = new Set<string>()
  /** texts of earlier calls come again with each one */
  readonly #seen = new Map<string, string>()

  constructor(redactor: Redactor, rules: PrivacyRules) {
    this.redactor = redactor
    this.#rules = rules
  }

  /** false: nothing needs placeholders, and nothing need be learned */
  get personal(): boolean {
    return this.#rules.classes.size > 1
  }

  /**
   * Gives the personal data of a value its placeholders. Called with all that a run has read, in the order of its journal, so that a
   * rebuilt run numbers them alike. `key` names the source; one that was learned is not looked at again.
   */
  learn(key: string, value: JsonValue | undefined): void {
    if (!this.personal || this.#learned.has(key)) return
    mapStrings(value, (text) => {
      for (const { class: kind, start, end } of this.redactor.find(text, this.#rules.classes)) {
        if (kind !== 'secrets') this.#placeholders.of(kind, text.slice(start, end))
      }
      return text
    })
    this.#learned.add(key)
  }

  /** All that has a placeholder, in the order of their numbers. */
  get named(): readonly Named[] {
    return this.#placeholders.all
  }

  /**
   * Names again what an earlier worker of this run has named, before anything is learned: what has been said to a model keeps its number,
   * also where other words of the run were seen in another order.
   */
  recall(named: readonly Named[]): void {
    for (const { kind, value } of named) this.#placeholders.of(kind, value)
  }

  /**
   * What of a model request may leave. The prompt is ours and keeps its addresses; nothing keeps a secret.
   * @throws GUILD_PRIVACY_FAILED, GUILD_PRIVACY_BLOCKED: then the call is not made
   */
  request<T extends Sent>(sent: T): T {
    const { redactor } = this
    return {
      ...sent,
      system: redactor.text(sent.system).value,
      messages: this.messages(sent.messages),
      // JSON by their types' origin: a tool server's list and a schema of the Codex.
      tools: redactor.json(sent.tools as unknown as JsonValue).value as unknown as readonly LlmTool[],
      output: sent.output && (redactor.json(sent.output as JsonValue).value as object),
    }
  }

  /** @throws as `request` */
  messages(messages: readonly LlmMessage[]): readonly LlmMessage[] {
    return messages.map((message): LlmMessage => {
      switch (message.role) {
        case 'user':
          return { ...message, text: this.#text(message.text) }
        case 'tool':
          return { ...message, results: message.results.map((one) => ({ ...one, text: this.#text(one.text) })) }
        case 'assistant': {
          const { opaque, ...said } = message
          const toolCalls = said.toolCalls.map((call) => ({
            ...call,
            args: mapStrings(call.args as JsonValue, (text) => this.#text(text)), // read from the journal, which holds JSON
          }))
          // A vendor's signed part cannot be changed, only left out.
          const kept = opaque && this.redactor.json(opaque).removed.length === 0 ? { opaque } : {}
          return { ...said, text: this.#text(said.text), toolCalls, ...kept }
        }
      }
    })
  }

  /** Puts the values back where a placeholder of this run stands and its class may pass; others stay as they are. */
  restore<T extends JsonValue | undefined>(value: T, mayPass: (kind: DetectorClass) => boolean): T {
    // Strings take the place of strings, nothing else changes.
    return mapStrings(value, (text) => this.#placeholders.restore(text, mayPass)) as T
  }

  #text(text: string): string {
    const before = this.#seen.get(text)
    if (before !== undefined) return before
    const found: readonly PatternFinding[] = [
      ...this.redactor.find(text, this.#rules.classes),
      ...patternFindings(this.#rules.patterns, text),
    ]
    const clean = replaced(text, apart(found), (finding: PatternFinding, value) => {
      if (finding.pattern) return `[private: ${finding.kind}]`
      return finding.class === 'secrets' ? secretMark(finding) : this.#placeholders.of(finding.class, value)
    })
    this.#seen.set(text, clean)
    return clean
  }
}

interface PatternFinding extends Finding {
  readonly pattern?: true
}

/**
 * Where patterns that redact match.
 * @throws GUILD_PRIVACY_BLOCKED where one that blocks does, GUILD_PRIVACY_FAILED when one cannot be applied
 */
export function patternFindings(patterns: readonly PrivacyPattern[], text: string): readonly PatternFinding[] {
  const found: PatternFinding[] = []
  for (const { name, place, action, find } of patterns) {
    try {
      for (const { start, end } of find(text)) {
        if (action === 'block')
          throw new GuildError('GUILD_PRIVACY_BLOCKED', { why: `${place.file}#${name} forbids it` })
        found.push({ start, end, class: 'secrets', kind: name, pattern: true })
      }
    } catch (error) {
      if (isGuildError(error)) throw error
      throw new GuildError('GUILD_PRIVACY_FAILED', { why: `the pattern ${place.file}#${name} cannot be applied` })
    }
  }
  return found
}

/** In order and without overlaps; what begins first covers what begins inside it, to the end of both. */
export function apart<T extends Finding>(found: readonly T[]): readonly T[] {
  const out: T[] = []
  for (const finding of found.toSorted((a, b) => a.start - b.start)) {
    const last = out.at(-1)
    if (!last || finding.start >= last.end) out.push(finding)
    else out[out.length - 1] = { ...last, end: Math.max(last.end, finding.end) }
  }
  return out
}
