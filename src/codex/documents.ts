import type { z } from 'zod'
import { explain } from './explain.ts'
import { kinds, type Kind } from './kinds.ts'
import { nearest } from './nearest.ts'
import type { Report } from './report.ts'
import { parseYamlFile, type YamlFile } from './yaml-file.ts'

/** Which kind lives where: one kind per folder, so that a path in a log says what the file is. */
export const kindFolders: Readonly<Record<string, Kind>> = {
  agents: 'Agent',
  chapters: 'Chapter',
  people: 'Person',
  routing: 'Routing',
  policies: 'Policy',
  connectors: 'Connector',
  providers: 'Provider',
  rules: 'Rules',
  tests: 'Test',
}
/** Kinds of which there is one file, at the root. */
export const rootFiles: Readonly<Record<string, Kind>> = { 'tools.lock.yaml': 'ToolLock' }
/** Folders of texts that the kinds refer to. */
const textFolders = ['prompts', 'schemas', 'state', 'adr']
export const codexFolders: readonly string[] = [...Object.keys(kindFolders), ...textFolders]

export interface CodexDocument<T> {
  readonly file: string
  readonly yaml: YamlFile
  readonly value: T
}
export type Documents = { readonly [K in Kind]: readonly CodexDocument<z.infer<(typeof kinds)[K]>>[] }
type Bins = { [K in Kind]: CodexDocument<z.infer<(typeof kinds)[K]>>[] }

/** Reads every YAML file of the kinds' folders; what does not fit its schema is reported and left out. */
export function readDocuments(files: ReadonlyMap<string, string>, report: Report): Documents {
  const bins: Bins = {
    Agent: [],
    Chapter: [],
    Person: [],
    Routing: [],
    Policy: [],
    Connector: [],
    Provider: [],
    ToolLock: [],
    Rules: [],
    Test: [],
  }
  for (const [file, text] of [...files].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const kind = rootFiles[file] ?? kindFolders[file.slice(0, Math.max(0, file.indexOf('/')))]
    if (!kind) continue
    // Policies are also house rules: texts that prompts take in.
    if (kind === 'Policy' && file.endsWith('.md')) continue
    if (!/\.ya?ml$/.test(file)) {
      report.add({ severity: 'warning', file, line: 1, message: 'not read: the files of this folder are .yaml' })
      continue
    }
    const { yaml, problems } = parseYamlFile(file, text)
    report.add(...problems)
    if (yaml) readInto(bins, kind, yaml, report)
  }
  return bins
}

function readInto(bins: Bins, kind: Kind, yaml: YamlFile, report: Report): void {
  if (!isOfKind(yaml, kind, report)) return
  const schema: z.ZodType = kinds[kind]
  const result = schema.safeParse(yaml.value)
  if (!result.success) {
    report.add(...explain(yaml, schema, result.error))
    return
  }
  // The schema of this kind has just read it; the compiler cannot follow the pair of kind and bin.
  const document = { file: yaml.file, yaml, value: result.data } as Bins[Kind][number]
  const { name } = document.value.metadata
  const expected = yaml.file.replace(/^.*\/|(\.lock)?\.ya?ml$/g, '')
  if (name !== expected) {
    report.error(yaml, ['metadata', 'name'], `the name “${name}” differs from the file’s name “${expected}”`)
  }
  const twin = bins[kind].find((other) => other.value.metadata.name === name)
  if (twin) report.error(yaml, ['metadata', 'name'], `${kind} “${name}” exists already in ${twin.file}`)
  else (bins[kind] as CodexDocument<unknown>[]).push(document)
}

function isOfKind(yaml: YamlFile, kind: Kind, report: Report): boolean {
  const { value } = yaml
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report.error(yaml, [], `must hold one object of kind ${kind}`)
    return false
  }
  const said = 'kind' in value ? value.kind : undefined
  if (said === kind || said === undefined) return true // the schema says that it is missing
  const home = Object.entries(kindFolders).find(([, other]) => other === said)?.[0]
  const meant = typeof said === 'string' ? nearest(said, Object.keys(kinds)) : null
  const root = Object.entries(rootFiles).find(([, other]) => other === said)?.[0]
  const hint = root ? `its place is ${root}` : home ? `its place is ${home}/` : meant ? `did you mean “${meant}”?` : ''
  report.error(yaml, ['kind'], `this folder holds ${kind}, not ${JSON.stringify(said)}${hint && `; ${hint}`}`)
  return false
}
