import { compileCondition, type ConditionVariable } from './condition.ts'
import { conditionAt } from './compile-routing.ts'
import type { Documents } from './documents.ts'
import type { Report } from './report.ts'
import type { CompiledRule } from './snapshot.ts'
import { templateProblem } from './template-parser.ts'

const ruleVariables: readonly ConditionVariable[] = ['event', 'payload', 'metadata', 'context', 'agent']

/** Files of rules by path: conditions compiled, templates checked. */
export function compileRules(documents: Documents, report: Report): ReadonlyMap<string, readonly CompiledRule[]> {
  return new Map(
    documents.Rules.map(({ file, yaml, value }) => {
      const names = new Set<string>()
      const rules = value.spec.rules.map((rule, index): CompiledRule => {
        const path = ['spec', 'rules', index]
        if (names.has(rule.name)) report.error(yaml, path, `a rule “${rule.name}” stands above`)
        names.add(rule.name)
        const problem = templateProblem({ do: rule.do, summary: rule.summary }, ruleVariables)
        if (problem) report.error(yaml, [...path, ...problem.path], `the template is not valid: ${problem.why}`)
        return {
          name: rule.name,
          // A wrong condition makes the whole commit invalid: `false` only stands in until that is said.
          when: conditionAt(yaml, [...path, 'when'], rule.when, ruleVariables, report) ?? compileCondition('false'),
          do: rule.do,
          summary: rule.summary ?? null,
          stop: rule.stop,
        }
      })
      return [file, rules]
    }),
  )
}
