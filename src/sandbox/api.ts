import type { FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import type { Echo } from './echo.ts'
import { type Account, type GithubState, instant, type Repository, type Thread } from './github-state.ts'
import type { Shapes } from './shapes.ts'

/** What every route of the sandbox has at hand. */
export interface Api {
  readonly state: GithubState
  readonly shapes: Shapes
  readonly echo: Echo
  readonly clock: Clock
}

export interface FieldError {
  readonly resource: string
  readonly field: string
  readonly code: string
  readonly message?: string
}

/** An answer other than success, as GitHub words it. */
export class ApiError extends Error {
  readonly status: number
  readonly errors: readonly FieldError[]
  constructor(status: number, message: string, errors: readonly FieldError[] = []) {
    super(message)
    this.status = status
    this.errors = errors
  }
}

export const bodyCharactersMax = 65_536

export function notFound(): ApiError {
  return new ApiError(404, 'Not Found')
}

export function invalid(resource: string, field: string, code: string, message?: string): ApiError {
  return new ApiError(422, 'Validation Failed', [{ resource, field, code, ...(message && { message }) }])
}

/** The body by its schema. @throws ApiError 422 naming the field */
export function bodyOf<T>(request: FastifyRequest, resource: string, schema: z.ZodType<T>): T {
  const result = schema.safeParse(request.body ?? {})
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const field = issue?.path.join('.') || 'body'
  const missing = issue?.code === 'invalid_type' && issue.input === undefined
  throw invalid(resource, field, missing ? 'missing_field' : 'invalid', issue?.message)
}

/** @throws ApiError 422 for text that is blank or longer than GitHub takes */
export function checkedText(resource: string, field: string, text: string | undefined | null): string {
  if (!text?.trim()) throw invalid(resource, field, 'missing_field')
  if (text.length > bodyCharactersMax)
    throw invalid(resource, field, 'unprocessable', `${field} is too long (maximum is ${bodyCharactersMax} characters)`)
  return text
}

export function param(request: FastifyRequest, name: string): string {
  const params = request.params as Readonly<Record<string, string>> // named in the path of the route
  return params[name] ?? ''
}

export function query(request: FastifyRequest): Readonly<Record<string, string | undefined>> {
  const given = request.query as Readonly<Record<string, string | readonly string[] | undefined>> // fastify's own parser
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, typeof value === 'string' ? value : value?.[0]]),
  )
}

export function callerOf({ state }: Api, request: FastifyRequest): Account {
  const token = /^(?:bearer|token)\s+(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const account = token === undefined ? null : state.whoIs(token)
  if (!account) throw new ApiError(401, token === undefined ? 'Requires authentication' : 'Bad credentials')
  return account
}

export function repositoryOf({ state }: Api, request: FastifyRequest): Repository {
  const found = state.repository(`${param(request, 'owner')}/${param(request, 'repo')}`)
  if (!found) throw notFound()
  return found
}

export function threadOf(api: Api, request: FastifyRequest): { repository: Repository; thread: Thread } {
  const repository = repositoryOf(api, request)
  const thread = repository.threads.get(Number(param(request, 'number')))
  if (!thread) throw notFound()
  return { repository, thread }
}

/** One page of a list, with GitHub's `Link` header. */
export function page<T>(api: Api, request: FastifyRequest, reply: FastifyReply, items: readonly T[]): readonly T[] {
  const given = query(request)
  const size = Math.min(Math.max(1, Math.trunc(Number(given['per_page'] ?? 30)) || 30), 100)
  const number = Math.max(1, Math.trunc(Number(given['page'] ?? 1)) || 1)
  const last = Math.max(1, Math.ceil(items.length / size))
  const link = (rel: string, to: number): string => {
    const url = new URL(request.url, api.shapes.web)
    url.searchParams.set('per_page', String(size))
    url.searchParams.set('page', String(to))
    return `<${url.href}>; rel="${rel}"`
  }
  const links = [
    ...(number > 1 ? [link('prev', number - 1), link('first', 1)] : []),
    ...(number < last ? [link('next', number + 1), link('last', last)] : []),
  ]
  if (links.length > 0) void reply.header('link', links.join(', '))
  return items.slice((number - 1) * size, number * size)
}

export function nowOf({ clock }: Api): string {
  return instant(clock.now())
}

/** Those at or after `since`; whole seconds, as there. */
export function since<T>(items: readonly T[], at: (item: T) => string, from: string | undefined): readonly T[] {
  const limit = Date.parse(from ?? '')
  if (Number.isNaN(limit)) return items
  const seconds = Math.floor(limit / 1_000) * 1_000
  return items.filter((item) => Date.parse(at(item)) >= seconds)
}
