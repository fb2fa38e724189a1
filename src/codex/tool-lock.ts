import { stringify } from 'yaml'
import { canonical } from '../kernel/canonical.ts'
import { reasonOf } from '../kernel/errors.ts'
import { sha256 } from '../kernel/ids.ts'
import type { Documents } from './documents.ts'
import type { ToolPin } from './kinds.ts'
import { unknownName } from './nearest.ts'
import type { Report } from './report.ts'

export const toolLockFile = 'tools.lock.yaml'

/** All that a server says of a tool, as `tools.lock.yaml` keeps it. Text from outside until a person has read and merged it. */
export interface ToolDefinition {
  /** `connector.tool` */
  readonly name: string
  readonly description: string
  readonly inputSchema: object
  readonly outputSchema?: object | undefined
  readonly annotations?: object | undefined
}

export type ToolClass = ToolPin['class']

/** A definition that nobody would read to its end is not pinned. */
const definitionBytesMax = 64 * 1024

/**
 * SHA-256 of name, description, input schema, output schema and annotations in canonical JSON (design: runs 4). Of the name the part
 * after the dot: the server does not know what the connector is called. @throws GUILD_JSON_NOT_CANONICAL for what no JSON store holds
 */
export function definitionHash(definition: ToolDefinition): string {
  return sha256(canonicalDefinition(definition))
}

/** Why a definition cannot be pinned, and therefore never used; null: it can. */
export function definitionProblem(definition: ToolDefinition): string | null {
  if (!/^[a-z0-9-]+\.[\w-]+$/.test(definition.name)) return 'its name is none that a manifest could say'
  try {
    const text = canonicalDefinition(definition)
    const bytes = Buffer.byteLength(text)
    if (bytes > definitionBytesMax) return `its definition is longer than a person reads: ${bytes} bytes`
    const hidden = unseen.exec(text)?.[0]
    if (hidden === undefined)
      return control.test(text) ? 'its definition holds a control character, which people do not see' : null
    return `its definition holds a character that people do not see: U+${(hidden.codePointAt(0) ?? 0).toString(16).toUpperCase()}`
  } catch (error) {
    // A lone surrogate, or nesting deeper than the stack.
    return `its definition cannot be written down: ${reasonOf(error)}`
  }
}

/** The class a tool gets when it is first pinned: what its server says of it, which the reader of the file confirms. */
export function hintedClass({ annotations }: ToolDefinition): ToolClass {
  return annotations !== undefined && 'readOnlyHint' in annotations && annotations.readOnlyHint === true
    ? 'read'
    : 'write'
}

/** The pins of the file, by tool. One whose hash is not that of what stands beside it was not written by `guild codex lock`. */
export function compileToolPins(documents: Documents, report: Report): ReadonlyMap<string, ToolPin> {
  const servers = documents.Connector.filter(({ value }) => value.spec.tools && !('builtin' in value.spec.tools)).map(
    ({ value }) => value.metadata.name,
  )
  const pins = new Map<string, ToolPin>()
  for (const { yaml, value } of documents.ToolLock) {
    for (const [index, pin] of value.spec.tools.entries()) {
      const path = ['spec', 'tools', index]
      const [connector = ''] = pin.name.split('.')
      if (pins.has(pin.name)) report.error(yaml, [...path, 'name'], `${pin.name} is pinned above`)
      if (!servers.includes(connector)) {
        const why = unknownName('connector with a tool server of its own', connector, servers)
        report.warning(yaml, [...path, 'name'], `${why}; run guild codex lock`)
      }
      const problem = definitionProblem(pin)
      if (problem !== null) report.error(yaml, path, `${pin.name} cannot be pinned: ${problem}`)
      else if (definitionHash(pin) !== pin.hash) {
        const fix = 'run guild codex lock; only class may be changed by hand'
        report.error(yaml, [...path, 'hash'], `the hash of ${pin.name} is not that of what stands beside it: ${fix}`)
      }
      pins.set(pin.name, pin)
    }
  }
  return pins
}

/** The whole file, sorted by tool: the same pins are the same bytes. */
export function renderToolLock(pins: readonly ToolPin[]): string {
  const tools = pins
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, class: kind, hash, pinned, description, inputSchema, outputSchema, annotations }) => ({
      name,
      class: kind,
      hash,
      pinned,
      description,
      inputSchema,
      ...(outputSchema && { outputSchema }),
      ...(annotations && { annotations }),
    }))
  const file = { apiVersion: 'guild/v1', kind: 'ToolLock', metadata: { name: 'tools' }, spec: { tools } }
  return `${preface}${stringify(file, { lineWidth: 120, aliasDuplicateObjects: false })}`
}

const preface = `# Written by \`guild codex lock\`. Who merges it has read it: a tool is used only as it stands here, and only if its class is read.
# The texts are the servers' own: material to judge. A class may be changed by hand; anything else quarantines the tool.
`

// Direction, tag and zero-width characters: a reader of a diff would not see what a model reads.
const unseen =
  /[\uFE00-\uFE0D\u034F\u17B4\u17B5\u180B-\u180F\u007F-\u009F\u00AD\u061C\u115F\u1160\u200B\u200E\u200F\u2028-\u202E\u2060-\u206F\u3164\uFEFF\uFFA0\u{E0000}-\u{E0FFF}]/u
// Control characters as JSON writes them; an even number of backslashes before is text that only looks like one.
const control = /(?<!\\)(?:\\\\)*\\(?:u00[01][0-9a-f]|[bf])/

function canonicalDefinition({ name, description, inputSchema, outputSchema, annotations }: ToolDefinition): string {
  return canonical({
    name: name.slice(name.indexOf('.') + 1),
    description,
    inputSchema,
    outputSchema: outputSchema ?? null,
    annotations: annotations ?? null,
  })
}
