import type { CodexProblem, CodexSnapshot, CompiledAgent, CompiledRoute } from '../codex/snapshot.ts'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { durationMs } from '../kernel/duration.ts'
import { GuildError } from '../kernel/errors.ts'
import type { JsonObject } from '../kernel/json.ts'
import { agentStatus, type AgentStatus } from './agent-status.ts'

const sql = statements(import.meta.url, './registry.sql', [
  'lockSync',
  'serving',
  'syncAgents',
  'syncRoutes',
  'recordSnapshot',
  'listAgents',
  'storeStatus',
])

/** An agent as API, CLI and console show it: the seed's columns, the derived ones computed from its runs. */
export interface Agent {
  readonly id: string
  readonly agent_type: string
  readonly chapter: string | null
  readonly version: string
  readonly capabilities: readonly string[]
  /** `limits`, `model`, `trust`, `health` and unmet requirements of the manifest */
  readonly resource_config: JsonObject
  readonly triggers: readonly JsonObject[]
  readonly status: AgentStatus['status']
  readonly status_reason: string | null
  readonly half_open: boolean
  readonly owner: string | null
  readonly codex_commit: string
  readonly last_invocation: Date | null
  readonly error_count_24h: number
  readonly removed_at: Date | null
  readonly created_at: Date
  readonly updated_at: Date
}

export interface AgentQuery {
  readonly capability?: string
  readonly type?: string
  readonly chapter?: string
  /** ACTIVE, DORMANT or DEGRADED */
  readonly status?: string
}

/**
 * Writes what a snapshot declares: agents (those no longer declared are kept, marked as removed), routing rules, and the snapshot.
 * @returns whether another commit, or other content, served before
 */
export async function syncRegistry(tx: Queryable, snapshot: CodexSnapshot, now: Date): Promise<boolean> {
  await tx.query(sql.lockSync)
  const { rows } = await tx.query<{ commit_id: string; hash: string | null }>(sql.serving)
  const changed = rows[0]?.commit_id !== snapshot.commit || rows[0]?.hash !== snapshot.hash
  const agents = [...snapshot.agents.values()].map(agentRow)
  await tx.query(sql.syncAgents, [JSON.stringify(agents), snapshot.commit, now])
  const routes = snapshot.routes.filter(({ mute }) => mute === null).map(routeRow)
  await tx.query(sql.syncRoutes, [JSON.stringify(routes), snapshot.commit])
  if (changed) await tx.query(sql.recordSnapshot, [snapshot.commit, snapshot.hash, 'VALID', '[]', now])
  await refreshAgents(tx, now)
  return changed
}

/** A commit that does not serve, with its errors; at most 200 of them are kept. */
export async function recordInvalidSnapshot(
  tx: Queryable,
  commit: string,
  problems: readonly CodexProblem[],
  now: Date,
): Promise<void> {
  await tx.query(sql.recordSnapshot, [commit, null, 'INVALID', JSON.stringify(problems.slice(0, 200)), now])
}

/** The agents of the serving Codex that fit, by id, with their health at this moment. */
export async function listAgents(
  db: Queryable,
  { capability, type, chapter, status }: AgentQuery = {},
  now: Date = new Date(),
): Promise<readonly Agent[]> {
  const agents = await read(db, now, [null, capability ?? null, type ?? null, chapter ?? null])
  return status === undefined ? agents : agents.filter((agent) => agent.status === status)
}

/** One agent, also one that has been removed. @throws GUILD_NOT_FOUND */
export async function getAgent(db: Queryable, id: string, now: Date = new Date()): Promise<Agent> {
  const [agent] = await read(db, now, [id, null, null, null])
  if (!agent) throw new GuildError('GUILD_NOT_FOUND', { what: 'agent', id })
  return agent
}

/** Writes status, last invocation and error count into the table, for those who read it with SQL. */
export async function refreshAgents(db: Queryable, now: Date): Promise<void> {
  const agents = await read(db, now, [null, null, null, null])
  const rows = agents.map(({ id, status, status_reason, last_invocation, error_count_24h }) => ({
    id,
    status,
    status_reason,
    last_invocation,
    error_count_24h,
  }))
  await db.query(sql.storeStatus, [JSON.stringify(rows)])
}

type Filter = readonly [id: string | null, capability: string | null, type: string | null, chapter: string | null]

interface AgentRow extends Omit<Agent, 'status' | 'status_reason' | 'half_open'> {
  readonly resource_config: JsonObject & {
    readonly unmet: readonly string[]
    /** absent in rows of older versions */
    readonly waiver?: { readonly rule: string; readonly until: string } | null
    readonly health: { readonly failureThreshold: number; readonly windowMs: number; readonly halfOpenAfterMs: number }
  }
  readonly failures: number
  readonly last_failure: Date | null
  readonly last_success: Date | null
}

async function read(db: Queryable, now: Date, filter: Filter): Promise<readonly Agent[]> {
  const { rows } = await db.query<AgentRow>(sql.listAgents, [now, ...filter])
  return rows.map(({ failures, last_failure, last_success, ...row }) => {
    const { status, reason, halfOpen } = agentStatus(
      {
        removedAt: row.removed_at,
        unmet: row.resource_config.unmet,
        waiver: row.resource_config.waiver ?? null,
        lastInvocation: row.last_invocation,
        failures,
        lastFailure: last_failure,
        lastSuccess: last_success,
        health: row.resource_config.health,
      },
      now,
    )
    return { ...row, status, status_reason: reason, half_open: halfOpen }
  })
}

function agentRow({ id, manifest, unmet, waiver }: CompiledAgent): object {
  const { metadata, spec } = manifest
  const { failureThreshold, window, halfOpenAfter } = spec.health
  return {
    id,
    agent_type: metadata.type,
    chapter: metadata.chapter ?? null,
    version: metadata.version,
    capabilities: spec.capabilities,
    resource_config: {
      limits: spec.limits,
      model: spec.model,
      trust: spec.trust,
      health: { failureThreshold, windowMs: durationMs(window), halfOpenAfterMs: durationMs(halfOpenAfter) },
      unmet,
      waiver: waiver ? { rule: waiver.rule, until: waiver.until.toISOString() } : null,
    },
    triggers: spec.triggers,
    owner: metadata.owner,
  }
}

function routeRow(route: CompiledRoute): object {
  return {
    id: route.rule,
    event_type: route.eventType,
    source: route.source,
    condition: route.where?.text ?? null,
    target_agents: route.targets,
    priority: route.priority,
  }
}
