import { createContext, Script } from 'node:vm'
import { Environment, EvaluationError, ParseError, TypeError as CelTypeError } from '@marcbachmann/cel-js'
import { GuildError, isGuildError, reasonOf } from '../kernel/errors.ts'
import { globMatches } from './glob.ts'

/** A CEL condition, compiled at Codex load. Bounded: length at load, evaluation steps at run. */
export interface Condition {
  readonly text: string
  /** @throws GUILD_CEL_INVALID never at run: an evaluation error (missing member, wrong type) is `{value: false, error}` */
  test(facts: Readonly<Record<string, unknown>>): { readonly value: boolean; readonly error: string | null }
}

/** A CEL expression that gives a text, a number or a truth value; bounded like a condition. */
export interface Expression {
  readonly text: string
  /** The value as text; `{value: null, error}` when it cannot be evaluated or is nothing that a text can name. */
  read(facts: Readonly<Record<string, unknown>>): { readonly value: string | null; readonly error: string | null }
}

/** What a condition may name. Where fewer are known (routing has no context), only those are allowed. */
export const conditionVariables = ['event', 'payload', 'metadata', 'context', 'agent', 'action', 'trust'] as const
export type ConditionVariable = (typeof conditionVariables)[number]

export const conditionLengthMax = 2_000
const nodesMax = 300
const depthMax = 40
const evaluationMsMax = 250

const environments = new Map<string, Environment>()
const watched = createContext({ task: (): unknown => undefined })
const runTask = new Script('task()')

/**
 * Compiles CEL (https://cel.dev), with optional access (`payload.?a.orValue(1)`), integer and decimal numbers mixed freely in
 * arithmetic, and `path.glob('src/**')`. At most 2 000 characters, 300 nodes, 40 levels; an evaluation that loops over lists or
 * matches a regular expression is cut off after 250 ms, because both may take as long as the sender of the event likes.
 * @throws GUILD_CEL_INVALID with `expression`, `why` and `offset` (of the first wrong character)
 */
export function compileCondition(
  text: string,
  variables: readonly ConditionVariable[] = conditionVariables,
): Condition {
  const program = parse(text, variables, ['bool', 'dyn'])
  const guarded = mayTakeLong(program.ast)
  return {
    text,
    test(facts) {
      try {
        const result: unknown = guarded ? watch(() => program(facts)) : program(facts)
        if (typeof result === 'boolean') return { value: result, error: null }
        return { value: false, error: 'it is neither true nor false' }
      } catch (error) {
        return { value: false, error: runtimeReason(error) }
      }
    },
  }
}

/** Compiles an expression such as `event.payload.ticket_id`. @throws GUILD_CEL_INVALID */
export function compileExpression(
  text: string,
  variables: readonly ConditionVariable[] = conditionVariables,
): Expression {
  const program = parse(text, variables, ['string', 'int', 'double', 'bool', 'dyn'])
  const guarded = mayTakeLong(program.ast)
  return {
    text,
    read(facts) {
      try {
        const result: unknown = guarded ? watch(() => program(facts)) : program(facts)
        const plain = ['string', 'number', 'bigint', 'boolean'].includes(typeof result)
        return plain ? { value: String(result), error: null } : { value: null, error: 'it is no text and no number' }
      } catch (error) {
        return { value: null, error: runtimeReason(error) }
      }
    },
  }
}

function parse(
  text: string,
  variables: readonly ConditionVariable[],
  types: readonly string[],
): ReturnType<Environment['parse']> {
  if (text.length > conditionLengthMax) {
    throw invalid(text, `it is longer than ${conditionLengthMax} characters`, 0)
  }
  try {
    const program = environment(variables).parse(text)
    const checked = program.check()
    if (!checked.valid) throw checked.error ?? new Error('it cannot be checked')
    if (!types.includes(checked.type ?? 'nothing')) {
      const wanted = types.includes('string') ? 'a text or a number' : 'true or false'
      throw invalid(text, `it gives ${checked.type ?? 'nothing'}, not ${wanted}`, 0)
    }
    return program
  } catch (error) {
    if (isGuildError(error)) throw error
    const known = error instanceof ParseError || error instanceof CelTypeError
    throw invalid(text, known ? error.summary : reasonOf(error), known ? (error.range?.start ?? 0) : 0, error)
  }
}

/** One environment per set of variables: registering the operators costs more than compiling a condition. */
function environment(variables: readonly ConditionVariable[]): Environment {
  const key = variables.join(' ')
  const known = environments.get(key)
  if (known) return known
  const made = new Environment({
    unlistedVariablesAreDyn: false,
    homogeneousAggregateLiterals: false,
    enableOptionalTypes: true,
    limits: { maxAstNodes: nodesMax, maxDepth: depthMax },
  })
  for (const variable of variables) made.registerVariable(variable, 'dyn')
  made.registerFunction('string.glob(string): bool', globMatches)
  // JSON knows one kind of number; CEL's `payload.additions + 1` would otherwise be an error (double + int).
  for (const [operator, compute] of Object.entries(arithmetic)) {
    const mixed = (left: unknown, right: unknown): number => compute(Number(left), Number(right))
    made.registerOperator(`double ${operator} int`, mixed)
    made.registerOperator(`int ${operator} double`, mixed)
  }
  environments.set(key, made)
  return made
}

const arithmetic: Readonly<Record<string, (left: number, right: number) => number>> = {
  '+': (left, right) => left + right,
  '-': (left, right) => left - right,
  '*': (left, right) => left * right,
  '/': (left, right) => left / right,
}

const loops = new Set(['all', 'exists', 'exists_one', 'map', 'filter', 'matches', 'glob'])

/** Only these get a watchdog: it costs a thread per evaluation, some 0.1 ms. */
function mayTakeLong(node: unknown): boolean {
  if (Array.isArray(node)) return node.some(mayTakeLong)
  if (typeof node !== 'object' || node === null || !('op' in node) || !('args' in node)) return false
  if (node.op === 'rcall' && Array.isArray(node.args) && loops.has(String(node.args[0]))) return true
  return mayTakeLong(node.args)
}

/** `vm` is used for its timeout alone, which also interrupts a running regular expression. The code is ours. */
function watch(task: () => unknown): unknown {
  watched['task'] = task
  try {
    return runTask.runInContext(watched, { timeout: evaluationMsMax })
  } finally {
    watched['task'] = undefined
  }
}

function runtimeReason(error: unknown): string {
  if (error instanceof EvaluationError || error instanceof CelTypeError) return error.summary
  if (typeof error === 'object' && error !== null && 'code' in error) {
    if (error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return `it took longer than ${evaluationMsMax} ms`
  }
  return reasonOf(error)
}

function invalid(expression: string, why: string, offset: number, cause?: unknown): GuildError {
  const shown = expression.length > 120 ? `${expression.slice(0, 120)}…` : expression
  return new GuildError('GUILD_CEL_INVALID', { expression: shown, why, offset }, { cause })
}
