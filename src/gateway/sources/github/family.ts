import { z } from 'zod'
import type { Integrity, Priority, Subject } from '../../../kernel/event.ts'
import type { JsonObject, JsonValue } from '../../../kernel/json.ts'

/** One thing that happened, as a family of GitHub events reads it; `github.ts` adds actor, payload head and self. */
export interface Fact {
  readonly type: string
  readonly priority: Priority
  readonly subject: Subject
  readonly dedupKey: string
  readonly occurredAt: string | number | null | undefined
  /** flat, snake_case; undefined members are left out */
  readonly payload: JsonObject
  /** that of the least trusted words in it */
  readonly integrity: Integrity
  readonly correlationId?: string
  /** whoever did it, where it is not `sender` */
  readonly actor?: { readonly id: string }
}

export type Reading =
  { readonly kind: 'facts'; readonly facts: readonly Fact[] } | { readonly kind: 'misfit'; readonly reason: string }

/** All activities of one `X-GitHub-Event`. */
export interface Family {
  readonly event: string
  /** No facts: nothing that has a type of its own. */
  read(body: JsonObject, deliveryId: string): Reading
}

/**
 * @param schema also the proof that the body is what the (unsigned) event header claims, so it names what only this event has, and
 *   forbids (`absent`) what tells similar ones apart
 */
export function family<T>(
  event: string,
  schema: z.ZodType<T>,
  facts: (body: T, deliveryId: string) => readonly Fact[],
): Family {
  return {
    event,
    read(body, deliveryId) {
      const result = schema.safeParse(body)
      if (result.success) return { kind: 'facts', facts: facts(result.data, deliveryId) }
      const issue = result.error.issues[0]
      const where = issue?.path.join('.') || 'the body'
      return { kind: 'misfit', reason: `the body is no ${event}: ${where} ${issue?.message ?? 'does not fit'}` }
    },
  }
}

export const absent = z.never().optional()
export const text = z.string().nullish()
export const flag = z.boolean().nullish()
export const count = z.number().nullish()
export const user = z.object({ login: z.string(), type: text }).nullish()
export const repository = z.object({
  id: z.number(),
  full_name: z.string(),
  html_url: z.string(),
  default_branch: text,
  pushed_at: z.union([z.string(), z.number()]).nullish(),
})
/** Every event may carry these; `github.ts` reads them for all. */
export const head = z.object({ action: text, sender: user, repository: repository.nullish() })
/** An event inside a repository. */
export const inRepository = z.object({ action: z.string(), sender: user, repository })
export const labels = z.array(z.object({ name: z.string() })).nullish()

/**
 * How far the words of somebody with this association may be trusted. A contributor is one whose change was merged once: that gives no
 * right to steer an agent. https://docs.github.com/en/graphql/reference/enums#commentauthorassociation
 */
export function standing(association: string | null | undefined): Integrity {
  return association === 'OWNER' || association === 'MEMBER' || association === 'COLLABORATOR' ? 'member' : 'outsider'
}

/** An event is no more trustworthy than the least trusted words it carries. */
export function lowest(...associations: readonly (string | null | undefined)[]): Integrity {
  return associations.every((association) => standing(association) === 'member') ? 'member' : 'outsider'
}

export function labelNames(given: z.infer<typeof labels>): JsonValue {
  return (given ?? []).slice(0, 100).map((label) => label.name)
}

/** GitHub's own limit of a body; the whole text stays in `payload.github`. */
export function bounded(value: string | null | undefined, charactersMax = 65_536): string {
  // A cut may fall between the halves of a character, which no JSON store accepts.
  return (value ?? '').slice(0, charactersMax).toWellFormed()
}

/** What the body names is looked up among the table's own rows only: `constructor` is none. */
export function lookup<T>(table: Readonly<Record<string, T>>, key: string | null | undefined): T | undefined {
  return key && Object.hasOwn(table, key) ? table[key] : undefined
}

const branchPrefix = 'refs/heads/'

/** `refs/heads/main` → `main`; null for a tag or anything else. */
export function branchOf(ref: string): string | null {
  return ref.startsWith(branchPrefix) ? ref.slice(branchPrefix.length) : null
}
