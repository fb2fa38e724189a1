import type { CodexDocument, Documents } from './documents.ts'
import type { AgentManifest, PolicyFile } from './kinds.ts'
import { unknownName } from './nearest.ts'
import type { Report } from './report.ts'
import type { AgentWaiver, CompiledAgent, CompiledRoute } from './snapshot.ts'
import { type Leg, stands, trifectaOf } from './trifecta.ts'

const dayMs = 24 * 3_600_000
/** A waiver is a decision to look again, not to forget. */
const daysMax = 180
const warnDays = 14
const shownLegs = 3

export interface WaiverChecks {
  readonly now: Date
  /**
   * `refuse`: whoever merges is stopped by an expired waiver (lint). `restrict`: the Codex serves, and what the agent writes needs an
   * approval: a date must not take a whole guild down at midnight.
   */
  readonly expired: 'refuse' | 'restrict'
}

type Waiver = PolicyFile['spec']['waivers'][number]
interface PlacedWaiver extends Waiver {
  readonly document: CodexDocument<PolicyFile>
  readonly path: readonly PropertyKey[]
}

/** Fails every agent on which the trifecta stands, unless a waiver says who accepts that, why, and until when. */
export function checkTrifecta(
  documents: Documents,
  agents: ReadonlyMap<string, CompiledAgent>,
  routes: readonly CompiledRoute[],
  report: Report,
  checks: WaiverChecks,
): ReadonlyMap<string, CompiledAgent> {
  const waivers = readWaivers(documents, report, checks.now)
  const waived = new Map(agents)
  for (const document of documents.Agent) {
    const { name } = document.value.metadata
    const legs = trifectaOf(document, documents, routes)
    const waiver = waivers.get(name)
    if (!stands(legs)) {
      if (waiver) report.warning(waiver.document.yaml, waiver.path, `${name} needs no waiver any more; take it out`)
      continue
    }
    const agent = agents.get(name)
    if (waiver && agent) waived.set(name, { ...agent, waiver: applied(waiver, name, report, checks) })
    else {
      const { yaml } = document
      report.error(yaml, legs.outside[0]?.path ?? ['metadata', 'name'], sentence(document, legs))
    }
  }
  return waived
}

function readWaivers(documents: Documents, report: Report, now: Date): ReadonlyMap<string, PlacedWaiver> {
  const names = documents.Agent.map(({ value }) => value.metadata.name)
  const found = new Map<string, PlacedWaiver>()
  for (const document of documents.Policy) {
    for (const [index, waiver] of document.value.spec.waivers.entries()) {
      const path = ['spec', 'waivers', index]
      const { yaml } = document
      const error = (key: string, message: string) => report.error(yaml, [...path, key], message)
      if (!names.includes(waiver.agent)) error('agent', unknownName('agent', waiver.agent, names))
      if (found.has(waiver.agent)) error('agent', `${waiver.agent} has a waiver above`)
      if (untilOf(waiver).getTime() - now.getTime() > (daysMax + 1) * dayMs) {
        error('expires', `${waiver.expires} is too far away: a waiver lasts ${daysMax} days at most`)
      }
      found.set(waiver.agent, { ...waiver, document, path })
    }
  }
  return found
}

function applied(waiver: PlacedWaiver, agent: string, report: Report, { now, expired }: WaiverChecks): AgentWaiver {
  const { document, path, reason, approvedBy, expires } = waiver
  const until = untilOf(waiver)
  const at = [...path, 'expires']
  const leftDays = Math.ceil((until.getTime() - now.getTime()) / dayMs)
  if (leftDays <= 0) {
    const over = `the waiver of ${agent} for trifecta expired on ${expires}`
    if (expired === 'refuse') report.error(document.yaml, at, `${over}: cut a leg, or decide again`)
    else report.warning(document.yaml, at, `${over}: what ${agent} writes needs an approval`)
  } else if (leftDays <= warnDays) {
    report.warning(document.yaml, at, `the waiver of ${agent} for trifecta ends in ${leftDays} day(s), on ${expires}`)
  }
  return { rule: `${document.file}:${document.yaml.lineOf(path)}`, reason, approvedBy, until }
}

/** It holds through the day it names, in UTC. */
function untilOf({ expires }: Waiver): Date {
  return new Date(Date.parse(`${expires}T00:00:00Z`) + dayMs)
}

function sentence(
  { value }: CodexDocument<AgentManifest>,
  { untrusted, private: read, outside }: ReturnType<typeof trifectaOf>,
): string {
  const { name } = value.metadata
  return [
    `trifecta: ${name} can be talked into carrying private data outside.`,
    `(1) It sees words of strangers: ${listed(untrusted)}; cut it by trust.minIntegrity: member.`,
    `(2) It reads what is not public: ${listed(read)}; cut it by taking the tools away, or by dataClass: public of the connector.`,
    `(3) It writes outside of the thread it was woken in: ${listed(outside)}; cut it by within: thread, or autonomy: 1.`,
    `Or a policy says who accepts it: waivers: [{lint: trifecta, agent: ${name}, reason, approvedBy, expires}]`,
  ].join(' ')
}

function listed(legs: readonly Leg[]): string {
  const shown = legs.slice(0, shownLegs).map(({ what, at }) => `${what} (${at})`)
  return `${shown.join(', ')}${legs.length > shownLegs ? ` and ${legs.length - shownLegs} more` : ''}`
}
