import type { JsonObject } from '../kernel/json.ts'
import type { CompiledRule } from './snapshot.ts'
import { renderTemplate } from './template.ts'
import { textOf } from './template-filters.ts'

export interface RuleCall {
  readonly action: string
  readonly args: JsonObject
  /** the rule that asked for it */
  readonly rule: string
}

export interface RuleDecision {
  readonly calls: readonly RuleCall[]
  /** one line per matched rule that has a summary; else says which rules matched, or that none did */
  readonly summary: string
  readonly matched: readonly string[]
  /** paths of templates that led to nothing, as `rule: path` */
  readonly missing: readonly string[]
  /** conditions that could not be evaluated and so counted as false, as `rule: why` */
  readonly errors: readonly string[]
}

export interface RuleFacts {
  readonly event: unknown
  readonly context: JsonObject
  readonly agent: JsonObject
}

/**
 * Decides without a model: every rule whose condition holds adds its calls, in order, until one says `stop`. Pure.
 * Conditions and templates see `event`, `payload`, `metadata`, `context` and `agent`.
 */
export function evaluateRules(rules: readonly CompiledRule[], facts: RuleFacts): RuleDecision {
  const seen = withParts(facts)
  const calls: RuleCall[] = []
  const matched: string[] = []
  const summaries: string[] = []
  const missing: string[] = []
  const errors: string[] = []
  for (const rule of rules) {
    const verdict = rule.when.test(seen)
    if (verdict.error !== null) errors.push(`${rule.name}: ${verdict.error}`)
    if (!verdict.value) continue
    matched.push(rule.name)
    for (const { action, args } of rule.do) {
      const rendered = renderTemplate(args, seen)
      missing.push(...rendered.missing.map((path) => `${rule.name}: ${path}`))
      calls.push({ action, args: rendered.value as JsonObject, rule: rule.name }) // an object renders to an object
    }
    if (rule.summary !== null) {
      const rendered = renderTemplate(rule.summary, seen)
      missing.push(...rendered.missing.map((path) => `${rule.name}: ${path}`))
      summaries.push(textOf(rendered.value).trim())
    }
    if (rule.stop) break
  }
  return { calls, summary: summaryOf(summaries, matched), matched, missing, errors }
}

/** `payload` and `metadata` are short for the event's. */
export function withParts(facts: RuleFacts): Readonly<Record<string, unknown>> {
  const { event, context, agent } = facts
  return { event, payload: part(event, 'payload'), metadata: part(event, 'metadata'), context, agent }
}

function part(event: unknown, name: 'payload' | 'metadata'): unknown {
  if (typeof event !== 'object' || event === null) return {}
  return (event as Readonly<Record<string, unknown>>)[name] ?? {}
}

function summaryOf(summaries: readonly string[], matched: readonly string[]): string {
  if (summaries.length > 0) return summaries.join('\n')
  if (matched.length > 0) return `Rules matched: ${matched.join(', ')}.`
  return 'No rule matched; nothing to do.'
}
