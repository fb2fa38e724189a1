import type { Codex, CompiledAgent } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { actionPolicy } from '../guards/action-policy.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError, reasonOf } from '../kernel/errors.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { Log } from '../kernel/log.ts'
import { connectorFor, isLive, policyInput } from './action-facts.ts'
import type { Desk } from './desk.ts'
import type { ReadProposal } from './draft.ts'
import type { ActionCall, Comparison, RenderedRequest, Target } from './target.ts'

const sql = statements(import.meta.url, './preview.sql', ['toLook', 'noteSeen'])

export interface PreviewDeps {
  readonly db: Database
  readonly desk: Desk
  readonly codex: Pick<Codex, 'current'>
  readonly targetOf: (connector: string) => Target | null
  readonly clock: Clock
  readonly log: Log
  readonly live: readonly string[]
}

/** What would come of an action, without doing anything. */
export interface DryRun {
  readonly verdict: 'run' | 'ask' | 'deny' | 'recommend'
  readonly autonomy: number
  readonly rule: string
  readonly reason: string
  readonly hold_ms: number
  /** true: it would be rendered and recorded only */
  readonly shadow: boolean
  readonly connector: string
  readonly target: string
  /** the exact call, its token redacted; null: no target is configured */
  readonly request: RenderedRequest | null
  /** null: nothing to compare; or refused or in shadow, where nothing is asked of the target */
  readonly before: JsonObject | null
  readonly after: JsonObject | null
}

/** A page that polls must not use up the rate limit of the target. */
const looksMax = 20
const looksAtOnce = 4
const freshMs = 30_000
const lookMs = 3_000

/** Shows what an action would change: the target is read when a person looks (runs.md 10), never in shadow mode. */
export class Preview {
  readonly #deps: PreviewDeps

  constructor(deps: PreviewDeps) {
    this.#deps = deps
  }

  /**
   * Reads the targets of what waits for a person, where that was not done in the last 30 s, at most 20 and 3 s each. One that cannot be
   * read stays as it was seen last.
   * @param id of one approval or its action
   */
  async refresh(id: string | null, signal: AbortSignal): Promise<void> {
    const { db, clock } = this.#deps
    const fresh = new Date(clock.now().getTime() - freshMs)
    const { rows } = await db.query<Waiting>(sql.toLook, [fresh, id, looksMax])
    const queue = [...rows]
    const worker = async (): Promise<void> => {
      for (let row = queue.shift(); row; row = queue.shift()) await this.#lookAt(row, signal)
    }
    await Promise.all(Array.from({ length: Math.min(looksAtOnce, rows.length) }, worker))
  }

  /** @throws GUILD_NOT_FOUND (agent), GUILD_ACTION_INVALID (arguments) */
  async dryRun(
    asked: { readonly agent: string; readonly type: string; readonly args: unknown },
    signal: AbortSignal,
  ): Promise<DryRun> {
    const { codex, desk, targetOf, clock, live } = this.#deps
    const snapshot = codex.current()
    const agent = snapshot.agents.get(asked.agent)
    if (!agent) throw new GuildError('GUILD_NOT_FOUND', { what: 'agent', id: asked.agent })
    const read = desk.read(asked)
    if (read.kind === 'invalid') throw new GuildError('GUILD_ACTION_INVALID', { type: asked.type, why: read.reason })
    const connector = connectorFor(read.system, '', snapshot)
    const input = policyInput({ ...subjectOf(read, connector, agent), at: clock.now() }, snapshot, live)
    // No event has woken anybody: what is shown is the action in its own thread.
    const verdict = actionPolicy({ ...input, thread: [read.target] })
    const id = 'act_dry_run'
    const call: ActionCall = {
      actionId: id,
      marker: `guild:${id}`,
      type: read.type.type,
      agentId: agent.id,
      previousRemoteId: null,
      target: read.target,
      args: read.args,
      notAfter: clock.now(),
    }
    const target = targetOf(connector)
    // What the agent may not even ask for is not read for whoever asks in its name: the token sees more than they do.
    const looks = !verdict.shadow && (verdict.verdict === 'run' || verdict.verdict === 'ask')
    const seen = target && looks ? await this.#look(target, call, signal) : null
    const { autonomy, rule, reason, shadow, holdMs } = verdict
    return {
      verdict: verdict.verdict,
      autonomy,
      rule,
      reason,
      hold_ms: holdMs,
      shadow,
      connector,
      target: read.target,
      request: target && (await target.render(call)),
      before: seen?.before ?? null,
      after: seen?.after ?? null,
    }
  }

  async #lookAt(row: Waiting, signal: AbortSignal): Promise<void> {
    const { db, codex, targetOf, clock, live } = this.#deps
    if (!isLive(row, codex.current(), live)) return
    const target = targetOf(row.connector)
    if (!target) return
    const {
      id: actionId,
      marker,
      type,
      agent_id: agentId,
      previous_remote_id: previousRemoteId,
      target: place,
      args,
    } = row
    const call = { actionId, marker, type, agentId, previousRemoteId, target: place, args, notAfter: clock.now() }
    const seen = await this.#look(target, call, signal)
    const states = [seen && JSON.stringify(seen.before), seen && JSON.stringify(seen.after)]
    await db.query(sql.noteSeen, [row.approval_id, ...states, clock.now()])
  }

  /** null: nothing to compare, or no answer in time */
  async #look(target: Target, call: ActionCall, signal: AbortSignal): Promise<Comparison | null> {
    try {
      const look = await target.look(call, AbortSignal.any([signal, AbortSignal.timeout(lookMs)]))
      return look.kind === 'seen' ? look.comparison : null
    } catch (error) {
      this.#deps.log.warn({ actionId: call.actionId, error: reasonOf(error) }, 'the target could not be looked at')
      return null
    }
  }
}

/** As if a run without an event asked: conditions that read one refuse. */
function subjectOf(read: ReadProposal, connector: string, agent: CompiledAgent) {
  const { system, args, target, type } = read
  const grant = agent.manifest.spec.tools.actions.find((one) => one.type === type.type) ?? null
  const chapter = agent.manifest.metadata.chapter ?? null
  return {
    type: type.type,
    system,
    connector,
    target,
    args,
    chapter,
    integrity: 'verified',
    usedInRun: 0,
    agent,
    grant,
    event: null,
  } as const
}

interface Waiting {
  readonly approval_id: string
  readonly id: string
  readonly marker: string
  readonly type: string
  readonly agent_id: string
  readonly target: string
  readonly target_system: string
  readonly args: JsonObject
  readonly connector: string
  readonly previous_remote_id: string | null
}
