import type { Gathered, Param, Statement } from './database.ts'
import { encodeParam } from './wire.ts'

/**
 * A statement that many callers may ask as one, by another that answers with `nth` and takes each of the parameters as an array over the
 * callers, unless `merge` says otherwise.
 */
export function gathered(statement: Statement, many: Statement, more: Partial<Omit<Gathered, 'many'>> = {}): Statement {
  return { ...statement, gathered: { many, merge: transposed, ...more } }
}

/** A statement whose parameters can be put together. Its rows say in `nth` whose they are, or nobody looks at its answer. */
export function mergeable(statement: Statement, merge: Gathered['merge'], key?: Gathered['key']): Statement {
  return { ...statement, gathered: { merge, ...(key && { key }) } }
}

/** JSON arrays as one. */
export function joinedJson(texts: readonly Param[]): string {
  const members = texts.map((text) => String(text).trim().slice(1, -1)).filter((inner) => inner.trim() !== '')
  return `[${members.join(',')}]`
}

/** Arrays of text as one, each. */
export function concatenated(calls: readonly (readonly Param[])[]): readonly Param[] {
  const [first = []] = calls
  return first.map((_, index) => calls.flatMap((params) => textsOf(params[index])))
}

function textsOf(param: Param | undefined): readonly string[] {
  return Array.isArray(param) ? param.map(String) : []
}

/** `[[a, 1], [b, 2]]` → `[[a, b], [1, 2]]`, in PostgreSQL's text. */
function transposed(calls: readonly (readonly Param[])[]): readonly Param[] {
  const [first = []] = calls
  return first.map((_, index) => calls.map((params) => encodeParam(params[index] ?? null)))
}
