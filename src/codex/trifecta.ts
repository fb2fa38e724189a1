import { integrities, type Integrity } from '../kernel/event.ts'
import { ceilingOf } from './ceilings.ts'
import type { CodexDocument, Documents } from './documents.ts'
import type { AgentManifest, ConnectorFile } from './kinds.ts'
import type { CompiledRoute } from './snapshot.ts'
import { connectorOf, toolUses } from './tool-use.ts'
import { own } from '../kernel/own.ts'

/**
 * The lethal trifecta: whoever can (1) be told what to do by strangers, (2) read what is not public and (3) write where strangers look
 * can be talked into carrying the one to the other. Each leg is a list of what makes it stand, for people; an empty one is cut.
 */
export interface Trifecta {
  readonly untrusted: readonly Leg[]
  readonly private: readonly Leg[]
  readonly outside: readonly Leg[]
}

export interface Leg {
  /** `github.get_issue` or `PR_OPENED`, with what it is about it */
  readonly what: string
  /** `agents/scout.yaml:12` */
  readonly at: string
  /** in the manifest; null: elsewhere */
  readonly path: readonly PropertyKey[] | null
}

/** Events of these are made by the guild itself: nobody outside has a say in their words. */
const ownSources: readonly string[] = ['scheduler', 'guild']

/** What stands of the three legs, from the files alone. Pure. */
export function trifectaOf(
  agent: CodexDocument<AgentManifest>,
  documents: Documents,
  routes: readonly CompiledRoute[],
): Trifecta {
  const connectors = new Map(documents.Connector.map(({ value }) => [value.metadata.name, value]))
  return {
    untrusted: untrustedLegs(agent, documents, connectors, routes),
    private: privateLegs(agent, connectors),
    outside: outsideLegs(agent, documents),
  }
}

export function stands({ untrusted, private: read, outside }: Trifecta): boolean {
  return untrusted.length > 0 && read.length > 0 && outside.length > 0
}

/** Rules cannot be talked into anything: an agent that never asks a model has no first leg. */
function untrustedLegs(
  { file, yaml, value }: CodexDocument<AgentManifest>,
  documents: Documents,
  connectors: ReadonlyMap<string, ConnectorFile>,
  routes: readonly CompiledRoute[],
): readonly Leg[] {
  const { model, trust } = value.spec
  const answering = [...model.prefer, ...Object.values(model.onBudget)]
  const shown = (integrity: Integrity) => integrities.indexOf(integrity) <= integrities.indexOf(trust.minIntegrity)
  if (answering.every((alias) => alias === 'rules')) return []
  const { name, type } = value.metadata
  const events = routes
    .filter(
      ({ targets, source, mute }) =>
        mute === null && (targets.includes(name) || targets.includes(type)) && !ownSources.includes(source ?? ''),
    )
    .map(({ eventType, source, place }) => ({
      what: `${eventType} from ${source ?? 'any source'}`,
      at: `${place.file}:${place.line}`,
      path: null,
    }))
  const tools = toolUses(value).flatMap(({ tool, path }): readonly Leg[] => {
    const connector = connectors.get(connectorOf(tool))
    const builtin = connector?.spec.tools !== undefined && 'builtin' in connector.spec.tools
    const integrity = builtin ? 'outsider' : (connector?.spec.integrity ?? 'outsider')
    if (integrity === 'member' || !shown(integrity)) return []
    return [{ what: `results of ${tool}`, at: `${file}:${yaml.lineOf(path)}`, path }]
  })
  // Whoever hands work on may have read anything.
  const handed = documents.Agent.flatMap(({ value: giver, ...from }): readonly Leg[] => {
    const to = giver.spec.handoff?.to ?? []
    if (!to.includes(name) && !to.includes(type)) return []
    const at = `${from.file}:${from.yaml.lineOf(['spec', 'handoff', 'to'])}`
    return [{ what: `what ${giver.metadata.name} hands on`, at, path: null }]
  })
  // What an event carries is withheld below minIntegrity, whoever sent it.
  return shown('outsider') ? [...events, ...handed, ...tools] : tools
}

function privateLegs(
  { file, yaml, value }: CodexDocument<AgentManifest>,
  connectors: ReadonlyMap<string, ConnectorFile>,
): readonly Leg[] {
  const { dataClasses } = value.spec.trust
  return toolUses(value).flatMap(({ tool, path }) => {
    const spec = connectors.get(connectorOf(tool))?.spec
    const held = own(spec?.toolClasses, tool.slice(tool.indexOf('.') + 1)) ?? spec?.dataClass ?? 'internal'
    if (held === 'public' || !dataClasses.includes(held)) return []
    return [{ what: `${tool}, whose data is ${held}`, at: `${file}:${yaml.lineOf(path)}`, path }]
  })
}

/** What a person approves each time is not done by the agent; neither is a reply where it was spoken to. */
function outsideLegs({ file, yaml, value }: CodexDocument<AgentManifest>, documents: Documents): readonly Leg[] {
  const chapter = documents.Chapter.find((one) => one.value.metadata.name === value.metadata.chapter)
  const files = [...documents.Policy.map((one) => one.value.spec), ...(chapter ? [chapter.value.spec] : [])]
  return value.spec.tools.actions.flatMap(({ type, autonomy, within, targets, max }, index) => {
    const allowed = Math.min(autonomy, ...files.map((spec) => ceilingOf(spec, type, null)))
    if (within === 'thread' || allowed <= 1 || max === 0) return []
    const path = ['spec', 'tools', 'actions', index]
    return [{ what: `${type} on ${targets.join(', ')} by itself`, at: `${file}:${yaml.lineOf(path)}`, path }]
  })
}
