import { isGuildError } from '../kernel/errors.ts'
import { Calendar } from './calendar.ts'
import {
  compileCondition,
  compileExpression,
  type Condition,
  type ConditionVariable,
  type Expression,
} from './condition.ts'
import type { Documents } from './documents.ts'
import type { AgentManifest, CronTrigger } from './kinds.ts'
import { unknownName } from './nearest.ts'
import type { Report } from './report.ts'
import type { CompiledDenial, CompiledRoute } from './snapshot.ts'
import type { YamlFile } from './yaml-file.ts'

const routingVariables: readonly ConditionVariable[] = ['event', 'payload', 'metadata']
const denialVariables: readonly ConditionVariable[] = ['event', 'payload', 'metadata', 'agent', 'action', 'trust']

/** Rules and mutes of `routing/`, then the triggers of the manifests: the order in which they are tried. */
export function compileRoutes(documents: Documents, report: Report): readonly CompiledRoute[] {
  return [...routingRules(documents, report), ...triggers(documents, report)]
}

function routingRules(documents: Documents, report: Report): readonly CompiledRoute[] {
  const targets = [
    ...new Set(documents.Agent.flatMap(({ value }) => [value.metadata.name, value.metadata.type])),
  ].toSorted()
  return documents.Routing.flatMap(({ file, yaml, value }) => {
    const names = new Set<string>()
    const compile = (list: 'rules' | 'mute', index: number): CompiledRoute => {
      const rule = list === 'rules' ? value.spec.rules[index] : value.spec.mute[index]
      const path = ['spec', list, index]
      if (rule && names.has(rule.name)) report.error(yaml, path, `a rule “${rule.name}” stands above`)
      names.add(rule?.name ?? '')
      const named = rule && 'target_agents' in rule ? rule.target_agents : []
      for (const [at, target] of named.entries()) {
        if (!targets.includes(target)) {
          report.error(yaml, [...path, 'target_agents', at], unknownName('agent or agent type', target, targets))
        }
      }
      return {
        rule: `${file}#${rule?.name ?? ''}`,
        place: { file, line: yaml.lineOf(path) },
        eventType: rule?.event_type ?? '',
        source: rule?.source ?? null,
        where: conditionAt(yaml, [...path, 'where'], rule?.where, routingVariables, report),
        targets: named,
        priority: rule && 'priority' in rule ? (rule.priority ?? null) : null,
        mute: rule && 'reason' in rule ? rule.reason : null,
      }
    }
    return [
      ...value.spec.rules.map((_, index) => compile('rules', index)),
      ...value.spec.mute.map((_, index) => compile('mute', index)),
    ]
  })
}

function triggers(documents: Documents, report: Report): readonly CompiledRoute[] {
  return documents.Agent.flatMap(({ file, yaml, value }) =>
    value.spec.triggers.flatMap((trigger, index): readonly CompiledRoute[] => {
      const path = ['spec', 'triggers', index]
      if ('cron' in trigger) return [scheduled(file, yaml, path, value, trigger, report)]
      if (!('event' in trigger)) return []
      return [
        {
          rule: `${file}#trigger-${index}`,
          place: { file, line: yaml.lineOf(path) },
          eventType: trigger.event,
          source: trigger.source ?? null,
          where: conditionAt(yaml, [...path, 'where'], trigger.where, routingVariables, report),
          targets: [value.metadata.name],
          priority: trigger.priority ?? null,
          mute: null,
        },
      ]
    }),
  )
}

/** A cron trigger is woken by the events of its own schedules and of no others. */
function scheduled(
  file: string,
  yaml: YamlFile,
  path: readonly PropertyKey[],
  { metadata, spec }: AgentManifest,
  { cron, timezone, intent, priority }: CronTrigger,
  report: Report,
): CompiledRoute {
  const calendar = Calendar.read(cron, timezone === 'user' ? 'UTC' : timezone)
  if ('problem' in calendar) report.error(yaml, path, calendar.problem)
  const same = spec.triggers.filter((other) => 'cron' in other && other.intent === intent)
  if (same.length > 1) {
    report.error(
      yaml,
      [...path, 'intent'],
      `another trigger of this agent has the intent ${intent}: it names the schedule`,
    )
  }
  const id = `${metadata.name}#${intent}`
  const where = `payload.schedule == '${id}' || payload.schedule.startsWith('${id}@')`
  return {
    rule: `${file}#${intent}`,
    place: { file, line: yaml.lineOf(path) },
    eventType: 'SCHEDULE_FIRED',
    source: 'scheduler',
    where: compileCondition(where, routingVariables),
    targets: [metadata.name],
    priority,
    mute: null,
  }
}

export function compileDenials(documents: Documents, report: Report): readonly CompiledDenial[] {
  return documents.Policy.flatMap(({ file, yaml, value }) =>
    value.spec.deny.map((denial, index) => {
      const path = ['spec', 'deny', index]
      return {
        name: denial.name,
        place: { file, line: yaml.lineOf(path) },
        action: denial.action,
        when: conditionAt(yaml, [...path, 'when'], denial.when, denialVariables, report),
        reason: denial.reason,
      }
    }),
  )
}

/** Compiles the condition at a path; a wrong one is reported with its line, and null. */
export function conditionAt(
  yaml: YamlFile,
  path: readonly PropertyKey[],
  text: string | undefined,
  variables: readonly ConditionVariable[],
  report: Report,
): Condition | null {
  return compiledAt(yaml, path, text, report, (given) => compileCondition(given, variables))
}

/** Compiles the expression at a path; a wrong one is reported with its line, and null. */
export function expressionAt(
  yaml: YamlFile,
  path: readonly PropertyKey[],
  text: string | undefined,
  variables: readonly ConditionVariable[],
  report: Report,
): Expression | null {
  return compiledAt(yaml, path, text, report, (given) => compileExpression(given, variables))
}

function compiledAt<Compiled>(
  yaml: YamlFile,
  path: readonly PropertyKey[],
  text: string | undefined,
  report: Report,
  compile: (text: string) => Compiled,
): Compiled | null {
  if (text === undefined) return null
  try {
    return compile(text)
  } catch (error) {
    if (!isGuildError(error, 'GUILD_CEL_INVALID')) throw error
    const column = Number(error.details['offset'] ?? 0) + 1
    report.error(yaml, path, `the condition is not valid at character ${column}: ${String(error.details['why'])}`)
    return null
  }
}
