import type { Consumer, Delivery, Nack } from '../bus/bus.ts'
import type { Outbox } from '../bus/outbox.ts'
import { auditMessages } from '../audit/audit.ts'
import { cleanDecisions } from '../audit/decisions.ts'
import type { Codex, CodexSnapshot } from '../codex/snapshot.ts'
import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError, isGuildError, reasonOf } from '../kernel/errors.ts'
import type { GuildEvent } from '../kernel/event.ts'
import type { Log } from '../kernel/log.ts'
import { agentTopic, topics } from '../kernel/topics.ts'
import { dispatchSpan } from '../traces/event-spans.ts'
import type { Tracer } from '../traces/tracer.ts'
import { admitAll } from './admission.ts'
import { decide, type Ruling } from './decide.ts'
import type { EchoConfirmer } from './echo.ts'
import { eventSchema } from './event-schema.ts'
import { checkHeadroom, type Headroom } from './headroom.ts'
import { lookUp } from './look-up.ts'
import { auditEntry, cancelRows, decisionsOf, invocationRows, joinRows, receptionRow, woken } from './rows.ts'
import { bury, type Unreadable } from './unreadable.ts'

const sql = statements(import.meta.url, './dispatcher.sql', ['write', 'overlap'])

export interface DispatcherDeps {
  readonly database: Database
  readonly outbox: Pick<Outbox, 'add' | 'addAll'>
  readonly codex: Pick<Codex, 'current'>
  readonly clock: Clock
  readonly log: Log
  readonly echoes: EchoConfirmer
  /** absent: budgets are asked at the call only */
  readonly headroom?: Headroom
  /** our own accounts, beside `botLogins` of the connectors in the Codex */
  readonly botLogins?: readonly string[]
  readonly observe?: (ruling: Ruling) => void
  readonly tracer?: Tracer
}

/** Somebody else may win an event between our look and our write; then it is looked at again. Twice is already rare. */
const passesMax = 4
/** Over some 15 minutes, with the back-off of the bus. */
const refusalsMax = 10
/** The bus gives up much later: a process that crashes in a loop must not bury the events it happened to hold. */
const attemptsMax = 200

/**
 * From `guild.events.inbound` to invocations: one transaction per batch, with two statements of its own whatever the batch's size
 * (look up, write; up to two more where trees of causes continue or runs overlap) and one publish for the audit trail and all agents woken. Every message ends in one receipt
 * with one disposition (law 5); what is no event goes to the dead letters. Idempotent: a receipt that is known changes nothing.
 * A batch that the database refuses is tried again one by one, so that one bad message never takes its neighbours along.
 */
export function dispatcher(deps: DispatcherDeps): Consumer {
  return {
    subscription: { topic: topics.inbound, group: 'dispatcher', batchMax: 128, maxInFlight: 256, attemptsMax },
    async handle(batch) {
      const { events, unreadable } = read(batch)
      const refused = await dispatchAll(deps, events)
      // The last chance is over: the bus keeps the message as a dead letter, and the event must not end without a disposition.
      const lost = events.flatMap(({ delivery }): readonly Unreadable[] => {
        const nack = delivery.attempt >= refusalsMax ? refused.find(({ id }) => id === delivery.id) : undefined
        return nack && !nack.dead ? [{ delivery, reason: nack.reason }] : []
      })
      const ended = [...unreadable, ...lost]
      if (ended.length > 0) await deps.database.transaction((tx) => bury(tx, deps, ended))
      const dead = ended.map(({ delivery, reason }): Nack => ({ id: delivery.id, reason, dead: true }))
      return [...refused.filter(({ id }) => !dead.some((nack) => nack.id === id)), ...dead]
    },
  }
}

interface Readable {
  readonly delivery: Delivery
  readonly event: GuildEvent
}

function read(batch: readonly Delivery[]): { events: readonly Readable[]; unreadable: readonly Unreadable[] } {
  const events: Readable[] = []
  const unreadable: Unreadable[] = []
  for (const delivery of batch) {
    const parsed = eventSchema.safeParse(delivery.body)
    if (parsed.success) events.push({ delivery, event: parsed.data })
    else {
      const issue = parsed.error.issues[0]
      const where = issue?.path.join('.') || 'the message'
      unreadable.push({ delivery, reason: `it is no event: ${where}: ${issue?.message ?? 'it does not fit'}` })
    }
  }
  return { events, unreadable }
}

/** @returns those that the database refuses each by itself, which the bus returns with back-off and in the end keeps dead, and those that are dead already */
async function dispatchAll(deps: DispatcherDeps, readable: readonly Readable[]): Promise<readonly Nack[]> {
  if (readable.length === 0) return []
  try {
    const buried = await dispatch(
      deps,
      readable.map(({ event }) => event),
    )
    return readable.flatMap(({ delivery, event }) => (buried.has(event.metadata.receipt_id) ? [given(delivery)] : []))
  } catch (error) {
    if (isGuildError(error) && error.retryable) throw error
    if (readable.length === 1) return readable.map(({ delivery }) => ({ id: delivery.id, reason: reasonOf(error) }))
    deps.log.warn({ reason: reasonOf(error), events: readable.length }, 'batch refused, dispatching one by one')
  }
  const refused: Nack[] = []
  for (const one of readable) refused.push(...(await dispatchAll(deps, [one])))
  return refused
}

/** It had its receipt, and its process died before the bus heard of it: acknowledged now, it would be nobody's dead letter. */
function given(delivery: Delivery): Nack {
  return { id: delivery.id, reason: 'an earlier delivery ended with the disposition DEAD: see guild why', dead: true }
}

/** @returns the receipts that say DEAD since an earlier delivery */
async function dispatch(deps: DispatcherDeps, events: readonly GuildEvent[]): Promise<ReadonlySet<string>> {
  const snapshot = deps.codex.current()
  const startMs = deps.clock.now().getTime()
  const { rulings, buried } =
    (await deps.database.transaction((tx) => dispatchAlone(tx, deps, events, snapshot)).catch(unlessLost)) ??
    (await deps.database.transaction((tx) => dispatchAmongOthers(tx, deps, events, snapshot)))
  for (const ruling of rulings) {
    deps.log.info(logged(ruling), 'event decided')
    deps.observe?.(ruling)
  }
  if (deps.tracer?.on) {
    const times = { startMs, endMs: deps.clock.now().getTime(), codexCommit: snapshot.commit }
    deps.tracer.record(
      rulings.map((ruling) => dispatchSpan(ruling.event, { ...ruling, ...times, agents: agentsOf(ruling) })),
    )
  }
  return buried
}

/** What a batch came to. */
interface Dispatched {
  readonly rulings: readonly Ruling[]
  readonly buried: ReadonlySet<string>
}

/** Another dispatcher has won an event of the batch: what was meant to follow from it must not. */
class LostEvents extends Error {}

function unlessLost(error: unknown): null {
  if (error instanceof LostEvents) return null
  throw error
}

/** As if nobody else decided the same events, which is nearly always so: what follows from them is sent with them, and waits for nothing. */
async function dispatchAlone(
  tx: Queryable,
  deps: DispatcherDeps,
  events: readonly GuildEvent[],
  snapshot: CodexSnapshot,
): Promise<Dispatched> {
  const at = deps.clock.now().toISOString()
  const { rulings, buried } = await ruled(tx, deps, events, snapshot)
  const [won] = await Promise.all([write(tx, snapshot, rulings, at), publish(tx, deps, snapshot, rulings, at)])
  if (won.size < rulings.length) throw new LostEvents()
  return { rulings, buried }
}

/** Whoever loses an event looks at it again, and finds what the winner has written. */
async function dispatchAmongOthers(
  tx: Queryable,
  deps: DispatcherDeps,
  events: readonly GuildEvent[],
  snapshot: CodexSnapshot,
): Promise<Dispatched> {
  const at = deps.clock.now().toISOString()
  const written: Ruling[] = []
  const gone = new Set<string>()
  let pending = events
  for (let pass = 0; pending.length > 0; pass += 1) {
    if (pass === passesMax)
      throw new GuildError('GUILD_OVERLOADED', { why: 'other dispatchers keep winning the same events' })
    const { rulings, buried } = await ruled(tx, deps, pending, snapshot)
    for (const receipt of buried) gone.add(receipt)
    const won = await write(tx, snapshot, rulings, at)
    written.push(...rulings.filter(({ event }) => won.has(event.metadata.receipt_id)))
    pending = rulings
      .filter(({ event }) => !won.has(event.metadata.receipt_id))
      .map((ruling) => original(ruling, events))
  }
  await publish(tx, deps, snapshot, written, at)
  return { rulings: written, buried: gone }
}

async function ruled(
  tx: Queryable,
  deps: DispatcherDeps,
  events: readonly GuildEvent[],
  snapshot: CodexSnapshot,
): Promise<Dispatched> {
  const { arrivals, buried } = await lookUp(tx, deps.echoes, events)
  const meant = decide(arrivals, snapshot, deps.botLogins)
  const affordable = deps.headroom ? await checkHeadroom(tx, deps.headroom, meant, snapshot) : meant
  return { rulings: await admitAll(tx, affordable, snapshot), buried }
}

async function write(
  tx: Queryable,
  snapshot: CodexSnapshot,
  rulings: readonly Ruling[],
  at: string,
): Promise<ReadonlySet<string>> {
  if (rulings.length === 0) return new Set()
  const events = rulings.filter(({ disposition }) => disposition !== 'DUPLICATE')
  const { rows } = await tx.query<{ id: string }>(sql.write, [
    JSON.stringify(rulings.map(receptionRow)),
    JSON.stringify(invocationRows(events)),
    JSON.stringify(cleanDecisions(rulings.flatMap(decisionsOf))),
    at,
    snapshot.commit,
    snapshot.hash,
  ])
  const won = new Set(rows.map(({ id }) => id))
  const ours = events.filter(({ event }) => won.has(event.metadata.receipt_id))
  // An event may have joined the run of another in this batch, which another dispatcher has won: then nothing of this is true.
  if (ours.some((ruling) => joinsLost(ruling, events, won))) {
    throw new GuildError('GUILD_OVERLOADED', { why: 'another dispatcher has won a run that events of this batch join' })
  }
  const [joins, cancels] = [joinRows(ours), cancelRows(ours)]
  if (joins.length + cancels.length > 0) await tx.query(sql.overlap, [JSON.stringify(joins), JSON.stringify(cancels)])
  return won
}

function joinsLost({ wakings }: Ruling, rulings: readonly Ruling[], won: ReadonlySet<string>): boolean {
  return wakings.some(({ into }) => {
    const lead = into !== null && rulings.find((other) => woken(other).some((waking) => waking.invocationId === into))
    return lead && !won.has(lead.event.metadata.receipt_id)
  })
}

async function publish(
  tx: Queryable,
  { outbox }: DispatcherDeps,
  snapshot: CodexSnapshot,
  rulings: readonly Ruling[],
  at: string,
): Promise<void> {
  if (rulings.length === 0) return
  const perAgent = Map.groupBy(rulings.flatMap(woken), ({ agentId }) => agentId)
  await outbox.addAll(tx, [
    { topic: topics.audit, messages: auditMessages(rulings.map((ruling) => auditEntry(ruling, snapshot, at))) },
    ...[...perAgent].map(([agentId, wakings]) => ({
      topic: agentTopic(agentId),
      messages: wakings.map(({ invocationId, priority }) => ({
        id: invocationId,
        priority,
        body: { invocation_id: invocationId },
      })),
    })),
  ])
}

/** The event as it arrived: a ruling holds it with the place it was given in the first pass. */
function original(ruling: Ruling, events: readonly GuildEvent[]): GuildEvent {
  const id = ruling.event.metadata.receipt_id
  return events.find(({ metadata }) => metadata.receipt_id === id) ?? ruling.event
}

function logged({ event, disposition, rule, wakings }: Ruling): object {
  return {
    traceId: event.metadata.trace_id,
    eventId: event.id,
    type: event.type,
    disposition,
    rule,
    agents: agentsOf({ wakings }),
  }
}

function agentsOf({ wakings }: Pick<Ruling, 'wakings'>): readonly string[] {
  return wakings.filter(({ outcome }) => outcome === 'ROUTED').map(({ agentId }) => agentId)
}
