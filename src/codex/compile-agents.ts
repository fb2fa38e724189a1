import { compare, satisfies, validRange } from 'semver'
import { canonicalHash } from '../kernel/canonical.ts'
import { isGuildError, reasonOf } from '../kernel/errors.ts'
import { compileRules } from './compile-rules.ts'
import { conditionAt, expressionAt } from './compile-routing.ts'
import type { Condition, ConditionVariable, Expression } from './condition.ts'
import type { CodexDocument, Documents } from './documents.ts'
import { effectiveLimits, rangesOf } from './limit-range.ts'
import { checkHandoff, handoffTool } from './handoff.ts'
import { compileJsonSchema } from './json-schema.ts'
import type { AgentManifest } from './kinds.ts'
import { unknownName } from './nearest.ts'
import type { Report } from './report.ts'
import type { CodexSnapshot, CompiledAgent, CompiledRule } from './snapshot.ts'
import { templateProblem } from './template-parser.ts'
import { unpinnedUses } from './tool-use.ts'

type AgentDocument = CodexDocument<AgentManifest>
type Files = ReadonlyMap<string, string>

const contextVariables: readonly ConditionVariable[] = ['event', 'payload', 'metadata', 'agent', 'context']
const grantVariables: readonly ConditionVariable[] = [...contextVariables, 'action', 'trust']
const contextRoots = ['event', 'payload', 'metadata', 'agent', 'context']

export interface AgentChecks {
  /** what served before: an agent that changed without a higher version is warned about */
  readonly previous?: CodexSnapshot | null
  /** a version that did not rise: `error` stops whoever merges (lint), `warning` lets it serve; default warning */
  readonly versions?: 'error' | 'warning'
  /** when given, an action type that is not among them is an error */
  readonly actionTypes?: readonly string[] | undefined
}

/** Manifests with everything they refer to: texts, schema, rules, conditions, constraints. */
export function compileAgents(
  documents: Documents,
  files: Files,
  report: Report,
  options: AgentChecks,
): ReadonlyMap<string, CompiledAgent> {
  checkTypes(documents.Agent, report)
  const rules = compileRules(documents, report)
  const agents = new Map<string, CompiledAgent>()
  for (const document of documents.Agent) {
    const { file, yaml, value } = document
    checkHome(document, documents, report)
    checkModels(document, documents, report)
    checkContext(document, documents, files, report)
    checkActions(document, rules, report, options)
    checkHandoff(document, documents.Agent, report)
    const agent: CompiledAgent = {
      id: value.metadata.name,
      ...bounded(document, documents),
      place: { file, line: yaml.lineOf(['metadata', 'name']) },
      system: systemOf(document, files, report),
      output: outputOf(document, files, report),
      rules: (value.spec.rules !== undefined && rules.get(value.spec.rules)) || [],
      files: Object.fromEntries(
        value.spec.context.flatMap((item) => ('codex' in item ? [[item.codex, files.get(item.codex) ?? '']] : [])),
      ),
      conditions: conditionsOf(document, report),
      slotKey: slotKeyOf(document, report),
      unmet: unmetOf(document, documents, report),
    }
    checkVersion(document, agent, report, options)
    agents.set(agent.id, agent)
  }
  return agents
}

/** The manifest with the limits that hold: the strictest of organisation, chapter and itself. */
function bounded({ yaml, value }: AgentDocument, documents: Documents): Pick<CompiledAgent, 'manifest' | 'limitsBy'> {
  const chapter = documents.Chapter.find((one) => one.value.metadata.name === value.metadata.chapter)?.value
  const ranges = rangesOf(
    documents.Policy.map((policy) => policy.value),
    chapter,
  )
  const { limits, by } = effectiveLimits(value.spec.limits, statedLimits(yaml.value), ranges)
  return { manifest: { ...value, spec: { ...value.spec, limits } }, limitsBy: by }
}

/** The limits that the file itself names; the rest of what the schema read are defaults. */
function statedLimits(raw: unknown): ReadonlySet<string> {
  const spec = typeof raw === 'object' && raw !== null && 'spec' in raw ? raw.spec : null
  const limits = typeof spec === 'object' && spec !== null && 'limits' in spec ? spec.limits : null
  return new Set(typeof limits === 'object' && limits !== null ? Object.keys(limits) : [])
}

/** A type must lead to one agent per chapter, and one org-wide. */
function checkTypes(agents: readonly AgentDocument[], report: Report): void {
  const homes = new Map<string, string>()
  for (const { yaml, value } of agents) {
    const { type, chapter, name } = value.metadata
    const home = `${type} in ${chapter ?? 'the whole organisation'}`
    const first = homes.get(home)
    if (first !== undefined) {
      report.error(yaml, ['metadata', 'type'], `there are two agents of type ${home}: ${first} and ${name}`)
    } else homes.set(home, name)
  }
}

function checkHome({ yaml, value }: AgentDocument, documents: Documents, report: Report): void {
  const { chapter } = value.metadata
  const chapters = documents.Chapter.map((other) => other.value.metadata.name)
  if (chapter !== undefined && !chapters.includes(chapter)) {
    report.error(yaml, ['metadata', 'chapter'], unknownName('chapter', chapter, chapters))
  }
}

function checkModels({ yaml, value }: AgentDocument, documents: Documents, report: Report): void {
  const models = documents.Provider.flatMap((provider) =>
    provider.value.spec.models.map(({ alias }) => `${provider.value.metadata.name}/${alias}`),
  )
  const known = [...models, 'rules', 'replay']
  for (const [level, name] of Object.entries(value.spec.model.onBudget)) {
    if (name !== undefined && !known.includes(name)) {
      report.error(yaml, ['spec', 'model', 'onBudget', level], unknownName('model', name, known))
    }
  }
  for (const [index, name] of value.spec.model.prefer.entries()) {
    const path = ['spec', 'model', 'prefer', index]
    if (!known.includes(name)) report.error(yaml, path, unknownName('model', name, known))
    if (name === 'rules' && value.spec.rules === undefined) {
      report.error(yaml, path, 'the model “rules” needs a file of rules: set spec.rules')
    }
  }
}

function checkContext({ yaml, value }: AgentDocument, documents: Documents, files: Files, report: Report): void {
  const servers = documents.Connector.filter((connector) => connector.value.spec.tools !== undefined).map(
    (connector) => connector.value.metadata.name,
  )
  const checkTool = (path: readonly PropertyKey[], tool: string): void => {
    const [connector = ''] = tool.split('.')
    if (!servers.includes(connector)) {
      report.error(yaml, path, unknownName('connector with tools', connector, servers))
    }
  }
  const ids = new Set<string>()
  for (const [index, item] of value.spec.context.entries()) {
    const path = ['spec', 'context', index]
    if (ids.has(item.id)) report.error(yaml, path, `a context item “${item.id}” stands above`)
    ids.add(item.id)
    if ('codex' in item) {
      const message = missingFile(item.codex, files)
      if (message && item.required) report.error(yaml, [...path, 'codex'], message)
      else if (message) report.warning(yaml, [...path, 'codex'], message)
    } else {
      checkTool([...path, 'tool'], item.tool)
      const problem = templateProblem(item.args, contextRoots)
      if (problem) report.error(yaml, [...path, 'args', ...problem.path], `the template is not valid: ${problem.why}`)
    }
  }
  for (const [index, { name }] of value.spec.tools.allow.entries()) {
    checkTool(['spec', 'tools', 'allow', index], name)
  }
  for (const { path, tool } of unpinnedUses(value, documents)) {
    report.warning(yaml, path, `${tool} is not pinned, so it is quarantined: run guild codex lock, read and merge it`)
  }
}

function checkActions(
  { yaml, value }: AgentDocument,
  rules: ReadonlyMap<string, readonly CompiledRule[]>,
  report: Report,
  { actionTypes }: AgentChecks,
): void {
  const granted = new Set<string>()
  for (const [index, { type }] of value.spec.tools.actions.entries()) {
    const path = ['spec', 'tools', 'actions', index, 'type']
    if (granted.has(type)) report.error(yaml, path, `${type} is granted above`)
    granted.add(type)
    if (actionTypes && !actionTypes.includes(type)) report.error(yaml, path, unknownName('action', type, actionTypes))
  }
  const { rules: file } = value.spec
  if (file === undefined) return
  const compiled = rules.get(file)
  if (!compiled) {
    report.error(yaml, ['spec', 'rules'], unknownName('file of rules', file, [...rules.keys()]))
    return
  }
  const used = new Set(compiled.flatMap((rule) => rule.do.map(({ action }) => action)))
  for (const action of [...used].filter(
    (type) => !granted.has(type) && !(type === handoffTool && value.spec.handoff),
  )) {
    report.warning(yaml, ['spec', 'rules'], `${file} asks for ${action}, which this manifest does not grant`)
  }
}

function systemOf({ yaml, value }: AgentDocument, files: Files, report: Report): string {
  const { system, rules } = value.spec.prompt
  const parts = [
    { file: system, path: ['spec', 'prompt', 'system'] },
    ...rules.map((file, index) => ({ file, path: ['spec', 'prompt', 'rules', index] })),
  ]
  return parts
    .map(({ file, path }) => {
      const message = missingFile(file, files)
      if (message) report.error(yaml, path, message)
      else if (files.get(file)?.trim() === '') report.error(yaml, path, `${file} is empty`)
      return files.get(file)?.trim() ?? ''
    })
    .join('\n\n')
}

function outputOf({ yaml, value }: AgentDocument, files: Files, report: Report): object | null {
  const { output } = value.spec.prompt
  if (output === undefined) return null
  const path = ['spec', 'prompt', 'output']
  const message = missingFile(output, files)
  if (message) {
    report.error(yaml, path, message)
    return null
  }
  try {
    const schema: unknown = JSON.parse(files.get(output) ?? '')
    compileJsonSchema(schema)
    return typeof schema === 'object' ? schema : null
  } catch (error) {
    const why = isGuildError(error) ? String(error.details['why']) : reasonOf(error)
    report.error(yaml, path, `${output} is no JSON Schema: ${why}`)
    return null
  }
}

function conditionsOf({ yaml, value }: AgentDocument, report: Report): ReadonlyMap<string, Condition> {
  const found = new Map<string, Condition>()
  const add = (path: readonly PropertyKey[], text: string | undefined, names: readonly ConditionVariable[]): void => {
    const condition = conditionAt(yaml, path, text, names, report)
    if (condition) found.set(condition.text, condition)
  }
  for (const [index, item] of value.spec.context.entries()) {
    if ('when' in item) add(['spec', 'context', index, 'when'], item.when, contextVariables)
  }
  for (const [index, grant] of value.spec.tools.actions.entries()) {
    add(['spec', 'tools', 'actions', index, 'when'], grant.when, grantVariables)
  }
  return found
}

/** Joining, dropping and stopping runs is about one thing, so they need to know which. */
function slotKeyOf({ yaml, value }: AgentDocument, report: Report): Expression | null {
  const { concurrency } = value.spec.limits
  if (!concurrency) return null
  const path = ['spec', 'limits', 'concurrency']
  if (concurrency.key === undefined && concurrency.overlap !== 'queue') {
    const example = 'metadata.subject.id'
    report.error(yaml, path, `overlap: ${concurrency.overlap} needs a key, for example key: ${example}`)
  }
  return expressionAt(yaml, [...path, 'key'], concurrency.key, ['event', 'payload', 'metadata'], report)
}

/** Constraints that nobody in this commit meets; the agent is DEGRADED until somebody does. */
function unmetOf({ yaml, value }: AgentDocument, documents: Documents, report: Report): readonly string[] {
  const unmet: string[] = []
  const add = (path: readonly PropertyKey[], message: string): void => {
    unmet.push(message)
    report.warning(yaml, path, `${message}; the agent is degraded`)
  }
  for (const [index, { type, version }] of value.spec.requires.agents.entries()) {
    const path = ['spec', 'requires', 'agents', index]
    if (validRange(version) === null) {
      report.error(yaml, [...path, 'version'], `“${version}” is no range of versions`)
      continue
    }
    const found = documents.Agent.filter((agent) => agent.value.metadata.type === type)
    const versions = found.map((agent) => agent.value.metadata.version)
    if (versions.some((have) => satisfies(have, version))) continue
    add(path, `needs ${type} ${version}, and ${versions.length > 0 ? `has ${versions.join(', ')}` : 'there is none'}`)
  }
  for (const [index, { name, capability, version }] of value.spec.requires.connectors.entries()) {
    const path = ['spec', 'requires', 'connectors', index]
    if (version !== undefined && validRange(version) === null) {
      report.error(yaml, [...path, 'version'], `“${version}” is no range of versions`)
      continue
    }
    const spec = documents.Connector.find((connector) => connector.value.metadata.name === name)?.value.spec
    const has = spec?.version ?? 'none that its file names'
    if (!spec) add(path, `needs the connector ${name}, and there is none`)
    else if (version !== undefined && !satisfies(has, version)) add(path, `needs ${name} ${version}, and has ${has}`)
    else if (capability !== undefined && !spec.capabilities.includes(capability)) {
      const have = spec.capabilities.length > 0 ? `has ${spec.capabilities.join(', ')}` : 'names no capability'
      add(path, `needs ${capability} of ${name}, which ${have}`)
    }
  }
  for (const { tool, path } of unpinnedUses(value, documents).filter(({ required }) => required)) {
    add(path, `needs the tool ${tool}, which tools.lock.yaml does not pin`)
  }
  return unmet
}

/** Runs are compared by version: what an agent says and may do must not change under the same one. */
function checkVersion(
  { yaml, value }: AgentDocument,
  agent: CompiledAgent,
  report: Report,
  { previous, versions }: AgentChecks,
): void {
  const before = previous?.agents.get(agent.id)
  if (!previous || !before) return
  const [was, is] = [before.manifest.metadata.version, value.metadata.version]
  const order = compare(is, was)
  const changed = identity(before) !== identity(agent)
  if (order > 0 || (order === 0 && !changed)) return
  const what = changed ? 'prompt, tools, rules or output changed and the version did not rise' : 'the version fell'
  const message = `${what} since ${previous.commit.slice(0, 12)}: it was ${was}, it is ${is}`
  const at = ['metadata', 'version']
  if (versions === 'error') report.error(yaml, at, message)
  else report.warning(yaml, at, message)
}

function identity({ system, output, manifest, rules }: CompiledAgent): string {
  const decided = rules.map(({ when, ...rest }) => ({ ...rest, when: when.text }))
  return canonicalHash({ system, output, tools: manifest.spec.tools, rules: decided })
}

function missingFile(file: string, files: Files): string | null {
  return files.has(file) ? null : unknownName('file', file, [...files.keys()])
}
