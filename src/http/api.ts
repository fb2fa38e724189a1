import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { dispositions } from '../kernel/event.ts'
import { type Keys, roles } from './auth.ts'
import { examine } from './doctor.ts'
import type { Page } from './page.ts'
import * as rows from './rows.ts'
import { about, type Decider, decider, found, id, pageOf, personOf } from './route.ts'
import { type ScheduleApi, scheduleRoutes } from './schedule-routes.ts'
import { readStatus, type StatusDeps } from './status.ts'

export interface ListQuery {
  readonly limit: number
  readonly before?: string | undefined
}

/** What the routes read and do; composition binds it to the components, which do not know each other. */
export interface Api extends ScheduleApi {
  events(
    query: ListQuery & { type?: string | undefined; source?: string | undefined; disposition?: string | undefined },
  ): Promise<Page<unknown>>
  event(id: string): Promise<unknown>
  /** everything that followed from the same first cause */
  tree(id: string): Promise<unknown>
  runs(query: ListQuery & { state?: string | undefined; agent?: string | undefined }): Promise<Page<unknown>>
  run(id: string): Promise<unknown>
  transcript(id: string): Promise<unknown>
  cancel(id: string, by: Decider): Promise<unknown>
  actions(query: ListQuery & { state?: string | undefined }): Promise<Page<unknown>>
  action(id: string): Promise<unknown>
  approvals(query: { state?: string | undefined }): Promise<Page<unknown>>
  /** @param hash `approval_hash` of what was seen. @param edit arguments instead of the proposed ones */
  approve(id: string, by: Decider, hash: string, edit: Record<string, unknown> | undefined): Promise<unknown>
  deny(id: string, by: Decider): Promise<unknown>
  undo(id: string, by: Decider): Promise<unknown>
  /** newest first */
  undoMany(
    query: { run?: string | undefined; agent?: string | undefined; since?: Date | undefined },
    by: Decider,
  ): Promise<Page<unknown>>
  /** what would come of an action, without doing anything */
  dryRun(asked: { agent: string; type: string; args: Record<string, unknown> }): Promise<unknown>
  agents(query: {
    capability?: string | undefined
    type?: string | undefined
    chapter?: string | undefined
    status?: string | undefined
  }): Promise<Page<unknown>>
  agent(id: string): Promise<unknown>
  why(id: string): Promise<unknown>
  dead(query: ListQuery): Promise<Page<unknown>>
  budgets(): Promise<Page<unknown>>
  grants(limit: number): Promise<unknown>
  grant(body: rows.GrantBody, by: string): Promise<unknown>
  audit(query: ListQuery): Promise<Page<unknown>>
  verifyAudit(anchor: { readonly seq: number; readonly hash: string } | undefined): Promise<unknown>
  verifyLedger(): Promise<unknown>
}

const limit = z.coerce.number().int().min(1).max(500).default(50).describe('page size')
const before = z.string().max(200).optional().describe('cursor: `next` of the page before')
const list = { limit, before }
/** `seq:hash`, as `head` of an earlier check. */
const anchor = z
  .string()
  .regex(/^\d{1,15}:[0-9a-f]{64}$/, 'seq:hash, as an earlier check gave it')
  .transform((given) => ({ seq: Number(given.split(':')[0]), hash: given.split(':')[1] ?? '' }))
  .optional()
const text = z.string().min(1).max(100).optional()

/** `/api/v1`: every route names the role it takes; there is no other way in. */
export function apiRoutes({
  api,
  keys,
  status,
}: {
  readonly api: Api
  readonly keys: Keys
  readonly status: StatusDeps
}) {
  return async (plain: FastifyInstance): Promise<void> => {
    const app = plain.withTypeProvider<ZodTypeProvider>()
    lineRoutes(app, api)
    runRoutes(app, api)
    lookRoutes(app, api)
    deskRoutes(app, api)
    scheduleRoutes(app, api)
    undoRoutes(app, api)
    trustRoutes(app, api, status)
    keyRoutes(app, keys)
  }
}

function lineRoutes(plain: FastifyInstance, api: Api): void {
  const app = plain.withTypeProvider<ZodTypeProvider>()
  const viewer = { config: { role: 'viewer' as const } }
  app.get(
    '/events',
    {
      ...viewer,
      schema: about(
        'Events',
        'What arrived, newest first',
        pageOf(rows.eventRow),
        z.object({ ...list, type: text, source: text, disposition: z.enum(dispositions).optional() }),
      ),
    },
    (request) => api.events(request.query),
  )
  app.get(
    '/events/:id',
    { ...viewer, schema: { ...about('Events', 'One event with its payload', rows.eventRow), params: id } },
    (request) => found(api.event(request.params.id), 'event', request.params.id),
  )
  app.get(
    '/actions',
    {
      ...viewer,
      schema: about('Actions', 'Every write, newest first', pageOf(rows.actionRow), z.object({ ...list, state: text })),
    },
    (request) => api.actions(request.query),
  )
  app.get(
    '/actions/:id',
    {
      ...viewer,
      schema: {
        ...about('Actions', 'One action with the exact call and its decisions', rows.actionDetail),
        params: id,
      },
    },
    (request) => found(api.action(request.params.id), 'action', request.params.id),
  )
}

function runRoutes(plain: FastifyInstance, api: Api): void {
  const app = plain.withTypeProvider<ZodTypeProvider>()
  const viewer = { config: { role: 'viewer' as const } }
  app.get(
    '/invocations',
    {
      ...viewer,
      schema: about(
        'Runs',
        'What agents did, newest first',
        pageOf(rows.runRow),
        z.object({ ...list, state: text, agent: text }),
      ),
    },
    (request) => api.runs(request.query),
  )
  app.get(
    '/invocations/:id',
    {
      ...viewer,
      schema: { ...about('Runs', 'One run with its steps, actions and decisions', rows.runDetail), params: id },
    },
    (request) => found(api.run(request.params.id), 'run', request.params.id),
  )
  app.get(
    '/invocations/:id/transcript',
    {
      // All that the model was told and said, in its own words: more than a viewer needs.
      config: { role: 'operator' },
      schema: {
        ...about('Runs', 'The whole transcript of a run that is over, while its retention lasts', rows.transcript),
        params: id,
      },
    },
    (request) => api.transcript(request.params.id),
  )
  app.post(
    '/invocations/:id/cancel',
    {
      config: { role: 'operator' as const },
      schema: {
        ...about('Runs', 'End a run: at its next edge, or at once when it is queued or waits', rows.cancelled),
        params: id,
        body: z.object({ note: z.string().max(2_000).optional().describe('why, for the audit trail') }),
      },
    },
    (request) => api.cancel(request.params.id, decider(request, request.body.note)),
  )
}

function lookRoutes(plain: FastifyInstance, api: Api): void {
  const app = plain.withTypeProvider<ZodTypeProvider>()
  const viewer = { config: { role: 'viewer' as const } }
  app.get(
    '/agents',
    {
      ...viewer,
      schema: about(
        'Agents',
        'The registry',
        pageOf(rows.agentRow),
        z.object({ capability: text, type: text, chapter: text, status: text }),
      ),
    },
    (request) => api.agents(request.query),
  )
  app.get(
    '/agents/:id',
    { ...viewer, schema: { ...about('Agents', 'One agent', rows.agentRow), params: id } },
    (request) => found(api.agent(request.params.id), 'agent', request.params.id),
  )
  app.get(
    '/why/:id',
    {
      ...viewer,
      schema: {
        ...about('Why', 'Everything recorded about one event, run, action, reception or delivery', z.looseObject({})),
        params: id,
      },
    },
    (request) => found(api.why(request.params.id), 'record of', request.params.id),
  )
  app.get(
    '/events/:id/tree',
    {
      ...viewer,
      schema: {
        ...about(
          'Events',
          'Everything that followed from the same first cause: events, runs, depth and cost',
          rows.treeRow,
        ),
        params: id,
      },
    },
    (request) => api.tree(request.params.id),
  )
  app.get(
    '/dead',
    { ...viewer, schema: about('Dead letters', 'What could not be handled', pageOf(rows.deadRow), z.object(list)) },
    (request) => api.dead(request.query),
  )
}

function deskRoutes(plain: FastifyInstance, api: Api): void {
  const app = plain.withTypeProvider<ZodTypeProvider>()
  const operator = { config: { role: 'operator' as const } }
  const note = z.string().max(2_000).optional().describe('why, for the audit trail')
  app.get(
    '/approvals',
    {
      config: { role: 'viewer' as const },
      schema: about('Desk', 'What waits for a person', pageOf(rows.approvalRow), z.object({ state: text })),
    },
    (request) => api.approvals(request.query),
  )
  app.post(
    '/approvals/:id/approve',
    {
      ...operator,
      schema: {
        ...about('Desk', 'Let an action go. With `args` the edited arguments are approved instead', rows.actionRow),
        params: id,
        body: z.object({
          note,
          approval_hash: z
            .string()
            .length(64)
            .describe('of what was seen: it binds arguments, target, commit and deadline'),
          args: z.record(z.string(), z.unknown()).optional(),
        }),
      },
    },
    (request) =>
      api.approve(
        request.params.id,
        decider(request, request.body.note),
        request.body.approval_hash,
        request.body.args,
      ),
  )
  app.post(
    '/approvals/:id/deny',
    {
      ...operator,
      schema: { ...about('Desk', 'Refuse an action', rows.actionRow), params: id, body: z.object({ note }) },
    },
    (request) => api.deny(request.params.id, decider(request, request.body.note)),
  )
}

function undoRoutes(plain: FastifyInstance, api: Api): void {
  const app = plain.withTypeProvider<ZodTypeProvider>()
  const operator = { config: { role: 'operator' as const } }
  const note = z.string().max(2_000).optional().describe('why, for the audit trail')
  app.post(
    '/actions/:id/undo',
    {
      ...operator,
      schema: {
        ...about('Actions', 'Take an action back; one that was not sent yet is stopped', rows.undoRow),
        params: id,
        body: z.object({ note }),
      },
    },
    (request) => api.undo(request.params.id, decider(request, request.body.note)),
  )
  app.post(
    '/actions/undo',
    {
      ...operator,
      schema: {
        ...about(
          'Actions',
          'Take back what a run or an agent has done, newest first, 100 at most',
          pageOf(rows.undoRow),
        ),
        body: z.object({ run: text, agent: text, since: z.iso.datetime().optional(), note }),
      },
    },
    (request) => {
      const { run, agent, since, note: why } = request.body
      const from = since === undefined ? undefined : new Date(since)
      return api.undoMany({ run, agent, since: from }, decider(request, why))
    },
  )
  app.post(
    '/actions/dry-run',
    {
      ...operator,
      schema: {
        ...about('Actions', 'What policy says, the exact call, and what it would change; nothing is done', rows.dryRun),
        body: z.object({
          agent: z.string().min(1).max(100),
          type: z.string().min(1).max(50),
          args: z.record(z.string(), z.unknown()),
        }),
      },
    },
    (request) => api.dryRun(request.body),
  )
}

function trustRoutes(plain: FastifyInstance, api: Api, status: StatusDeps): void {
  const app = plain.withTypeProvider<ZodTypeProvider>()
  const viewer = { config: { role: 'viewer' as const } }
  app.get('/status', { ...viewer, schema: about('Trust', 'What runs and what waits', z.looseObject({})) }, () =>
    readStatus(status),
  )
  app.get(
    '/doctor',
    { ...viewer, schema: about('Trust', 'Every check and its finding', z.looseObject({ ok: z.boolean() })) },
    () => examine(status),
  )
  app.get(
    '/budgets',
    { ...viewer, schema: about('Trust', 'Limits, consumed and reserved', pageOf(rows.budgetRow)) },
    () => api.budgets(),
  )
  app.get(
    '/budgets/grants',
    {
      ...viewer,
      schema: about(
        'Desk',
        'Runs that a budget has stopped and a grant sets going again, and what was granted',
        rows.grants,
        z.object({ limit }),
      ),
    },
    (request) => api.grants(request.query.limit),
  )
  app.post(
    '/budgets/grants',
    {
      config: { role: 'operator' as const },
      schema: {
        ...about('Desk', 'More for a run, or for the running periods of agent, chapter or organisation', rows.granted),
        body: rows.grantBody,
      },
    },
    (request) => api.grant(request.body, personOf(request)),
  )
  app.get('/ledger/verify', { ...viewer, schema: about('Trust', 'Do the sums add up?', rows.ledgerReport) }, () =>
    api.verifyLedger(),
  )
  app.get(
    '/audit',
    { ...viewer, schema: about('Trust', 'The audit trail, newest first', pageOf(rows.auditRow), z.object(list)) },
    (request) => api.audit(request.query),
  )
  app.get(
    '/audit/verify',
    { ...viewer, schema: about('Trust', 'Recomputes the hash chain', rows.auditReport, z.object({ anchor })) },
    (request) => api.verifyAudit(request.query.anchor),
  )
}

function keyRoutes(plain: FastifyInstance, keys: Keys): void {
  const app = plain.withTypeProvider<ZodTypeProvider>()
  const admin = { config: { role: 'admin' as const } }
  app.get(
    '/keys',
    { ...admin, schema: about('Keys', 'API keys, never the keys themselves', pageOf(rows.keyRow)) },
    async () => ({ items: await keys.list(), next: null }),
  )
  app.post(
    '/keys',
    {
      ...admin,
      schema: {
        ...about(
          'Keys',
          'Makes a key; the answer is the only place that shows it',
          z.object({ id: z.string(), key: z.string() }),
        ),
        body: z.object({ name: z.string().min(1).max(100), role: z.enum(roles) }),
      },
    },
    async (request) => {
      const made = await keys.create(request.body.name, request.body.role, new Date(), personOf(request))
      return { id: made.id, key: made.key.reveal() }
    },
  )
  app.post(
    '/keys/:id/revoke',
    {
      ...admin,
      schema: { ...about('Keys', 'Makes a key useless at once', z.object({ revoked: z.boolean() })), params: id },
    },
    async (request) => {
      await keys.revoke(request.params.id, new Date(), personOf(request))
      return { revoked: true }
    },
  )
}
