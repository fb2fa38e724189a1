import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { GuildError } from '../kernel/errors.ts'
import { callerOf } from './guard.ts'

/** Who decides something, as the audit trail names them. */
export interface Decider {
  /** `person:<key name>` */
  readonly by: string
  readonly channel: 'api'
  readonly note: string | null
}

/** The parameter of a route about one thing. */
export const id = z.object({ id: z.string().min(1).max(200) })

const noQuery = z.object({})

export function about<Query extends z.ZodType = typeof noQuery>(
  tag: string,
  summary: string,
  answer: z.ZodType,
  querystring?: Query,
) {
  // Without a query of its own a route takes an empty one, which is what the default type says.
  return {
    tags: [tag],
    summary,
    querystring: querystring ?? (noQuery as z.ZodType as Query),
    response: { 200: answer },
  }
}

export function pageOf(row: z.ZodType) {
  return z.object({ items: z.array(row), next: z.string().nullable() })
}

export async function found(reading: Promise<unknown>, what: string, id: string): Promise<unknown> {
  const value = await reading
  if (value === null || value === undefined) throw new GuildError('GUILD_NOT_FOUND', { what, id })
  return value
}

export function decider(request: FastifyRequest, note: string | undefined): Decider {
  return { by: personOf(request), channel: 'api', note: note ?? null }
}

/** As the audit trail names whoever asks. */
export function personOf(request: FastifyRequest): string {
  return `person:${callerOf(request).name}`
}
