import { canonicalHash } from '../kernel/canonical.ts'
import { sha256 } from '../kernel/ids.ts'
import { compileAgents, type AgentChecks } from './compile-agents.ts'
import { compileDenials, compileRoutes } from './compile-routing.ts'
import { compilePrivacy } from './pattern.ts'
import { isZone } from './calendar.ts'
import { readDocuments, type CodexDocument, type Documents } from './documents.ts'
import type { TestFile } from './kinds.ts'
import { unknownName } from './nearest.ts'
import { Report } from './report.ts'
import { compileToolPins } from './tool-lock.ts'
import { checkTrifecta } from './waivers.ts'
import type { CodexProblem, CodexSnapshot } from './snapshot.ts'
import type { CodexFiles } from './files.ts'

export interface LoadOptions extends AgentChecks {
  readonly loadedAt: Date
  /** what becomes of an agent whose waiver has expired; default `restrict` */
  readonly expiredWaivers?: 'refuse' | 'restrict'
  /** an older commit, for a run that is pinned to it: it is not judged again by rules that came later */
  readonly pinned?: boolean
}

export interface LoadedCodex {
  /** null: there are errors, and nothing of the commit is used */
  readonly snapshot: CodexSnapshot | null
  /** errors and warnings, by file and line */
  readonly problems: readonly CodexProblem[]
  readonly tests: readonly CodexDocument<TestFile>[]
  /** every file that could be read, with its lines */
  readonly documents: Documents
}

/** Validates one commit as a whole. Pure: files in, snapshot or problems out; it never throws for what the files say. */
export function loadCodex(raw: CodexFiles, options: LoadOptions): LoadedCodex {
  const report = new Report()
  report.add(...raw.problems)
  const documents = readDocuments(raw.files, report)
  checkReferences(documents, report)
  const compiled = compileAgents(documents, raw.files, report, options)
  const routes = compileRoutes(documents, report)
  const checks = { now: options.loadedAt, expired: options.expiredWaivers ?? 'restrict' } as const
  const agents = options.pinned ? compiled : checkTrifecta(documents, compiled, routes, report, checks)
  const denials = compileDenials(documents, report)
  const privacy = compilePrivacy(documents, report)
  const toolPins = compileToolPins(documents, report)
  if (documents.Agent.length === 0 && report.errors.length === 0) {
    report.add({
      severity: 'warning',
      file: 'agents',
      line: 1,
      message: 'there is no agent: no event will wake anybody',
    })
  }
  if (report.errors.length > 0) return { snapshot: null, problems: report.problems, tests: documents.Test, documents }
  const snapshot: CodexSnapshot = {
    commit: raw.commit,
    hash: hashOf(raw.files),
    loadedAt: options.loadedAt,
    agents,
    chapters: byName(documents.Chapter),
    people: byName(documents.Person),
    routes,
    policies: documents.Policy.map(({ value }) => value),
    connectors: byName(documents.Connector),
    providers: byName(documents.Provider),
    rulesFiles: new Map(documents.Rules.map(({ file, value }) => [file, value])),
    toolPins,
    denials,
    privacy,
    warnings: report.problems,
  }
  return { snapshot, problems: report.problems, tests: documents.Test, documents }
}

/** Merkle hash: of the sorted pairs of path and content hash; tests and notes do not change what runs. */
function hashOf(files: ReadonlyMap<string, string>): string {
  const used = [...files].filter(([file]) => !/^(tests|adr)\//.test(file)).map(([file, text]) => [file, sha256(text)])
  return canonicalHash(used.toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1)))
}

function byName<T extends { readonly metadata: { readonly name: string } }>(
  documents: readonly CodexDocument<T>[],
): ReadonlyMap<string, T> {
  return new Map(documents.map(({ value }) => [value.metadata.name, value]))
}

/** What connectors and providers say about others and about themselves. */
function checkReferences(documents: Documents, report: Report): void {
  const chapters = documents.Chapter.map(({ value }) => value.metadata.name)
  for (const { yaml, value } of documents.Connector) {
    const { chapter } = value.spec
    if (chapter !== undefined && !chapters.includes(chapter)) {
      report.error(yaml, ['spec', 'chapter'], unknownName('chapter', chapter, chapters))
    }
  }
  for (const { yaml, value } of documents.Person) {
    const { timezone } = value.spec
    if (!isZone(timezone)) {
      report.error(yaml, ['spec', 'timezone'], `“${timezone}” is no IANA time zone, such as Europe/Berlin`)
    }
  }
  for (const { yaml, value } of documents.Provider) {
    const { name } = value.metadata
    if (name === 'rules' || name === 'replay') {
      report.error(yaml, ['metadata', 'name'], `“${name}” is built in; choose another name`)
    }
    const seen = new Set<string>()
    for (const [index, { alias }] of value.spec.models.entries()) {
      if (seen.has(alias)) report.error(yaml, ['spec', 'models', index, 'alias'], `the alias “${alias}” is taken above`)
      seen.add(alias)
    }
  }
}
