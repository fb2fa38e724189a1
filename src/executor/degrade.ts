import type { AgentManifest } from '../codex/kinds.ts'
import { admissionAt, degradationsAt, type InForce, madeFor, standingText } from '../ledger/degradations.ts'
import { type BudgetLevel, levelNames, type Standing } from '../ledger/ledger.ts'
import { budgetLevels } from '../ledger/room.ts'
import type { Halt } from './ending.ts'
import type { Refusal } from './reserve-call.ts'
import { budgetReasons, currentLimits } from './run-limits.ts'
import type { Run } from './run-context.ts'
import { turnsOf } from './turns.ts'

/** A budget recovers with its period, or by a grant. */
const lookAgainMs = 15 * 60_000

/**
 * Where the budgets stand, as a run last heard it: from the reservation of its last call. In force is what the policies of the serving
 * commit name for that level.
 */
export class BudgetView {
  #standing: Standing = { level: 'green', limit: null }

  get standing(): Standing {
    return this.#standing
  }

  /** A decision record when it got worse and something is taken away by it. */
  heard(run: Run, standing: Standing): void {
    const before = this.#standing
    this.#standing = standing
    if (worse(standing.level, before.level)) note(run, standing)
  }

  /** For runs that reserve nothing: one statement, and only where a policy names what they could lose. */
  async look(run: Run): Promise<void> {
    const { deps } = run
    if (degradationsAt(policiesOf(run), 'red').length === 0) return
    const { standing } = await budgetLevels(deps.database, currentLimits(run), deps.clock.now())
    this.heard(run, standing)
  }
}

export function inForce(run: Run): readonly InForce[] {
  return degradationsAt(policiesOf(run), run.budget.standing.level)
}

export function isInForce(run: Run, name: InForce['name']): boolean {
  return inForce(run).some((one) => one.name === name)
}

/** The worst level that a call prepared now is right for. */
export function preparedFor(run: Run): BudgetLevel {
  return madeFor(policiesOf(run), run.budget.standing.level)
}

/** `rules-only`: nothing that costs may be asked. */
export function rulesOnlyRefusal(run: Run): Refusal | null {
  const rule = inForce(run).find(({ name }) => name === 'rules-only')
  if (!rule) return null
  const { standing } = run.budget
  const reason = budgetReasons[standing.limit?.entityType ?? 'organization']
  return { kind: 'refused', reason, detail: `${standingText(standing)}, and ${rule.rule} lets only rules decide` }
}

/** `no-background` and `only-high`: a run that no model has answered yet waits, and stops if the level outlasts its patience. */
export function heldBack(run: Run): Halt | null {
  if (turnsOf(run.journal).length > 0) return null
  const { standing } = run.budget
  const admission = admissionAt(policiesOf(run), standing, run.journal.invocation.priority)
  if (admission.kind === 'start') return null
  const detail = admission.reason
  const reason = budgetReasons[standing.limit?.entityType ?? 'organization']
  const summary = `The run did not start: ${detail}.`
  return {
    kind: 'wait',
    delayMs: lookAgainMs,
    reason: detail,
    ending: { state: 'STOPPED', reason, detail, summary, output: null },
  }
}

/** What the model is told, once per level. @returns null: nothing new */
export function levelLine(run: Run): string | null {
  const { standing } = run.budget
  const told = turnsOf(run.journal).at(-1)?.request.level ?? 'green'
  if (!worse(standing.level, told) || standing.level === 'green') return null
  const names = inForce(run).map(({ name }) => name)
  const effect = names.length > 0 ? ` In force: ${names.join(', ')}.` : ''
  return `Note: ${standingText(standing)}.${effect} Be brief; make only the calls that matter.`
}

/**
 * The order in which models are asked under `smaller-model`: the one that the manifest names for the level (or for the nearest one
 * below it), else the next of the chain. With nothing smaller the order stays.
 */
export function smallerFirst(
  { prefer, onBudget }: Pick<AgentManifest['spec']['model'], 'prefer' | 'onBudget'>,
  level: BudgetLevel,
): readonly string[] {
  const reached = (['yellow', 'orange', 'red'] as const).filter((name) => !worse(name, level))
  const named = reached.map((name) => onBudget[name]).findLast((alias) => alias !== undefined)
  if (named !== undefined) return [named, ...prefer.filter((alias) => alias !== named)]
  const [first, second] = prefer.filter((alias) => alias !== 'rules' && alias !== 'replay')
  if (first === undefined || second === undefined) return prefer
  return [...prefer.slice(prefer.indexOf(second)), ...prefer.slice(0, prefer.indexOf(second))]
}

function note(run: Run, standing: Standing): void {
  const names = degradationsAt(policiesOf(run), standing.level)
  const [first] = names
  if (!first) return
  const reason = `${standingText(standing)}: ${names.map(({ name }) => name).join(', ')} in force`
  run.journal.note({
    stage: 'budget',
    outcome: 'DEGRADED',
    rule: first.rule,
    reason,
    detail: { level: standing.level, degradations: names.map((one) => ({ ...one })) },
  })
}

function policiesOf({ deps }: Run) {
  return deps.codex.current().policies
}

function worse(a: BudgetLevel, b: BudgetLevel): boolean {
  return levelNames.indexOf(a) > levelNames.indexOf(b)
}
