import { type ActionState, actionStates } from '../actions/action-row.ts'
import { getAction, listActions, listApprovals } from '../actions/views.ts'
import { listAudit } from '../audit/trail.ts'
import { verifyAudit } from '../audit/verify.ts'
import type { Bus, DeadLetter, LoggedMessage } from '../bus/bus.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Codex } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import { listEvents, readEvent } from '../dispatcher/events.ts'
import { readTree } from '../dispatcher/tree.ts'
import { why } from '../dispatcher/why.ts'
import { cancelRun } from '../executor/cancel.ts'
import { listStopped } from '../executor/resume.ts'
import { getRun, listRuns } from '../executor/runs.ts'
import { readTranscript } from '../executor/transcript-file.ts'
import type { Api } from '../http/api.ts'
import type { Page } from '../http/page.ts'
import type { GrantBody } from '../http/rows.ts'
import { systemClock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import type { Disposition } from '../kernel/event.ts'
import { topics } from '../kernel/topics.ts'
import { listBudgets } from '../ledger/budgets.ts'
import { degradationsAt } from '../ledger/degradations.ts'
import { listGrants } from '../ledger/grants.ts'
import { verifyLedger } from '../ledger/verify-ledger.ts'
import { getAgent, listAgents } from '../registry/registry.ts'
import { getSchedule, listSchedules, setSchedule } from '../scheduler/schedules.ts'
import type { Components } from './components.ts'
import { grant, type GrantRequest } from './grants.ts'

export interface ApiParts {
  readonly database: Database
  readonly bus: Bus
  readonly outbox: Outbox
  readonly codex: Codex
  readonly organisation: string
  readonly parts: Components
}

/** The API over the components' own reads; lists answer one more page while there is one. */
export function api({ database, bus, outbox, codex, organisation, parts }: ApiParts): Api {
  return {
    events: ({ disposition, ...query }) =>
      listEvents(database, defined({ ...query, disposition: disposition as Disposition | undefined })), // the route has checked it
    event: (id) => readEvent(database, id),
    tree: (id) => readTree(database, id),
    async runs(query) {
      return page(await listRuns(database, more(query)), query.limit, ({ id }) => id)
    },
    run: (id) => runWithLimits(database, parts, id),
    transcript: (id) => readTranscript(database, parts.artifacts, id),
    cancel: (id, { by, note }) => cancelRun({ database, outbox, clock: systemClock }, { id, by, note }),
    async actions({ state, ...query }) {
      const states = state === undefined ? undefined : [stateOf(state)]
      return page(await listActions(database, defined({ ...more(query), states })), query.limit, ({ id }) => id)
    },
    action: (id) => getAction(database, id),
    async approvals({ state }) {
      if (state === undefined || state === 'PENDING') await parts.preview.refresh(null, AbortSignal.timeout(refreshMs))
      const known = (['PENDING', 'APPROVED', 'DENIED', 'EXPIRED'] as const).find((one) => one === state)
      return { items: await listApprovals(database, defined({ limit: 200, state: known })), next: null }
    },
    async approve(id, by, argsHash, editedArgs) {
      const { actionId } = await parts.approvals.approve(database, id, defined({ ...by, argsHash, editedArgs }))
      return getAction(database, actionId)
    },
    async deny(id, by) {
      const { actionId } = await parts.approvals.deny(database, id, by)
      return getAction(database, actionId)
    },
    undo: (id, by) => parts.undo.undo(database, id, by),
    async undoMany({ run, agent, since }, by) {
      return { items: await parts.undo.undoMany(database, { run, agent, since }, by), next: null }
    },
    dryRun: (asked) => parts.preview.dryRun(asked, AbortSignal.timeout(refreshMs)),
    async agents(query) {
      return { items: await listAgents(database, defined(query)), next: null }
    },
    agent: (id) => getAgent(database, id),
    async schedules(query) {
      return { items: await listSchedules(database, defined(query), new Date()), next: null }
    },
    schedule: (id) => getSchedule(database, id, new Date()),
    setSchedule: (id, enabled, by) => setSchedule({ database, outbox }, id, enabled, by, new Date()),
    why: (id) => why(database, id),
    async dead({ limit, before }) {
      const letters = await bus.peek(topics.dead, defined({ limit: limit + 1, before }))
      return page(letters.map(deadRow), limit, ({ position }) => position)
    },
    async budgets() {
      const { policies } = codex.current()
      const budgets = await listBudgets(database, new Date())
      const items = budgets.map((row) => ({
        ...row,
        degradations: degradationsAt(policies, row.level).map(({ name }) => name),
      }))
      return { items, next: null }
    },
    async grants(limit) {
      return { waiting: await listStopped(database, limit), given: await listGrants(database, limit) }
    },
    grant: (body, by) => grant({ database, outbox, codex, clock: systemClock, organisation }, grantRequest(body, by)),
    async audit({ limit, before }) {
      const rows = await listAudit(database, limit + 1, before === undefined ? null : Number(before))
      return page(rows, limit, ({ seq }) => String(seq))
    },
    verifyAudit: (anchor) => verifyAudit(database, defined({ anchor })),
    verifyLedger: () => verifyLedger(database),
  }
}

async function runWithLimits(database: Database, parts: Components, id: string) {
  const run = await getRun(database, id)
  return run && { ...run, limits: parts.runLimits(run.agent_id) }
}

function grantRequest({ run, agent, chapter, tokens, cost, reason, key }: GrantBody, by: string): GrantRequest {
  const target: GrantRequest['target'] =
    run !== undefined
      ? { kind: 'run', id: run }
      : agent !== undefined
        ? { kind: 'agent', id: agent }
        : chapter !== undefined
          ? { kind: 'chapter', id: chapter }
          : { kind: 'organization' }
  return { target, tokens: tokens ?? 0, costMicros: Math.round((cost ?? 0) * 1e6), reason: reason ?? null, key, by }
}

/** The desk shows what it has after so long, also when a target answers slowly. */
const refreshMs = 5_000

function deadRow({ position, id, body, publishedAt }: LoggedMessage) {
  const letter = body as DeadLetter // written by the bus or the gateway, never by a sender
  return { position, ...letter, id: letter.id ?? id, at: publishedAt }
}

function stateOf(text: string): ActionState {
  const state = actionStates.find((one) => one === text)
  if (!state)
    throw new GuildError('GUILD_REQUEST_INVALID', {
      why: `there is no action state ${text}; it is one of ${actionStates.join(', ')}`,
    })
  return state
}

/** Asks for one more than the page holds, to know whether there is a next one. */
function more<Query extends { readonly limit: number }>(query: Query): Query {
  return { ...query, limit: query.limit + 1 }
}

function page<Item>(items: readonly Item[], limit: number, cursor: (item: Item) => string): Page<Item> {
  const shown = items.slice(0, limit)
  const last = items.length > limit ? shown.at(-1) : undefined
  return { items: shown, next: last ? cursor(last) : null }
}

/** Leaves out what is undefined: an absent filter is not a filter for nothing. */
function defined<T extends object>(value: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as never
}
