import { isGuildError } from '../kernel/errors.ts'
import { requirePrice } from '../ledger/price.ts'
import { isInForce, smallerFirst } from './degrade.ts'
import { mayHeal, type ModelFailure, type Picked, pickModel } from './model-choice.ts'
import { free, type Run } from './run-context.ts'
import { currentLimits } from './run-limits.ts'
import { read } from './step.ts'
import { ladder } from './trim.ts'
import { turnsOf } from './turns.ts'

const trimsMax = 3
export const overflow = 'GUILD_LLM_CONTEXT_OVERFLOW'

export interface Failed extends ModelFailure {
  /** what the call was without */
  readonly trim: number
}

export function failuresAt({ journal }: Run, seq: number): readonly Failed[] {
  return journal
    .attemptsAt(seq)
    .filter((step) => step.status === 'FAILED')
    .map((step) => {
      const { code, trim } = read.modelRequest(step)
      return { alias: step.name, code: code ?? '', error: step.error ?? '', trim }
    })
}

/** Which model is asked next: `pickModel` with what manifest, directory, journal and the health of providers say now. */
export async function pick(run: Run, failures: readonly Failed[], rulesOnly: boolean): Promise<Picked> {
  const { agent, snapshot, deps, journal } = run
  const limits = currentLimits(run)
  const smaller = isInForce(run, 'smaller-model')
  const { model } = agent.manifest.spec
  const order = smaller ? smallerFirst(model, run.budget.standing.level) : model.prefer
  const prefer = order.filter((alias) => !rulesOnly || alias === 'rules')
  const candidates = prefer.map((alias) => {
    const choice = deps.models.choose(snapshot, alias)
    if ('unavailable' in choice || free(choice.provider)) return { alias, choice }
    try {
      requirePrice(choice, limits)
      return { alias, choice }
    } catch (error) {
      if (!isGuildError(error, 'GUILD_PRICE_UNKNOWN')) throw error
      return { alias, choice: { unavailable: error.message } }
    }
  })
  const providers = candidates.flatMap(({ choice }) => ('unavailable' in choice ? [] : [choice.provider]))
  const blocked = await deps.health.blocked(providers)
  // A run stays with what answered it, but for a smaller model.
  const answered = smaller ? null : (turnsOf(journal).at(-1)?.request.alias ?? null)
  return pickModel(candidates, failures, ruledOut(run, failures), answered, blocked, deps.clock.now())
}

/** Models that answered with what no waiting heals, such as a wrong key; a context that stays too long after all cuts is one too. */
function ruledOut({ journal, agent }: Run, failures: readonly Failed[]): ReadonlyMap<string, string> {
  const tooLong = failures.filter(({ code }) => code === overflow)
  const rungs = tooLong.length === 0 ? 0 : ladder(journal, agent).length
  const out = new Map<string, string>()
  for (const step of journal.all) {
    if (step.kind !== 'llm' || step.status !== 'FAILED') continue
    const code = read.modelRequest(step).code ?? ''
    const overflows = tooLong.filter(({ alias }) => alias === step.name)
    const cuttable = overflows.length <= trimsMax && overflows.every(({ trim }) => trim < rungs)
    const heals = code === overflow ? cuttable : code === 'DEADLINE' || mayHeal(code)
    if (!heals) out.set(step.name, step.error ?? 'it failed')
  }
  return out
}

/** Said on the first call, and where a failure, of this run or of others, has led to another model. */
export function noteSkipped({ journal }: Run, seq: number, picked: Extract<Picked, { kind: 'call' }>): void {
  const instead = picked.choice.alias
  const last = journal.attemptsAt(seq).at(-1)
  const changed = last?.status === 'FAILED' && last.name !== instead
  const answered = turnsOf(journal).at(-1)?.request.alias
  const first = last === undefined && answered === undefined
  const moved = answered !== undefined && picked.skipped.some(({ alias }) => alias === answered)
  if (!changed && !first && !moved) return
  for (const { alias, why } of picked.skipped) {
    const reason = `${instead} answers instead of ${alias}: ${why}`
    journal.note({ stage: 'run', outcome: 'MODEL_SKIPPED', reason, detail: { alias, instead } })
  }
}
