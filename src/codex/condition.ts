/** A CEL condition, compiled at Codex load. Bounded: length at load, evaluation steps at run. */
export interface Condition {
  readonly text: string
  /** @throws GUILD_CEL_INVALID never at run: an evaluation error (missing member, wrong type) is `{value: false, error}` */
  test(facts: Readonly<Record<string, unknown>>): { readonly value: boolean; readonly error: string | null }
}
