import { canonical } from '../kernel/canonical.ts'
import type { ToolPin } from './kinds.ts'
import { connectorOf } from './tool-use.ts'
import { definitionHash, definitionProblem, hintedClass, type ToolDefinition } from './tool-lock.ts'

/** What differs between the lock and what the servers offer now, for one tool. */
export interface ToolChange {
  readonly kind: 'added' | 'changed' | 'removed' | 'missing' | 'refused'
  readonly tool: string
  /** for people, one line each: `inputSchema.properties.limit: {"type":"integer"} → nothing` */
  readonly details: readonly string[]
  readonly from: string | null
  readonly to: string | null
}

export interface LockPlan {
  readonly changes: readonly ToolChange[]
  /** the lock as it should be */
  readonly pins: readonly ToolPin[]
  /** offered, neither pinned nor used by any agent: nothing to do */
  readonly unused: readonly string[]
}

export interface LockInput {
  readonly pins: ReadonlyMap<string, ToolPin>
  /** by connector, for those that were asked; pins of others stay as they are */
  readonly offered: ReadonlyMap<string, readonly ToolDefinition[]>
  /** tools that manifests name: these must be pinned */
  readonly used: ReadonlySet<string>
  /** pin everything that is offered */
  readonly all: boolean
  /** ISO date */
  readonly today: string
}

const detailsMax = 20
const shownCharsMax = 160

/** Compares and plans. Pure. What is pinned stays pinned while the server offers it; what no agent uses is pinned only on demand. */
export function planLock({ pins, offered, used, all, today }: LockInput): LockPlan {
  const changes: ToolChange[] = []
  const kept: ToolPin[] = [...pins.values()].filter(({ name }) => !offered.has(connectorOf(name)))
  const unused: string[] = []
  for (const [connector, definitions] of offered) {
    const byName = new Map(definitions.map((definition) => [definition.name, definition]))
    const gone = [...pins.keys()].filter((name) => connectorOf(name) === connector && !byName.has(name))
    changes.push(...gone.map((tool) => change('removed', tool, ['the server offers it no more'], pins.get(tool)?.hash)))
    const absent = [...used].filter((name) => connectorOf(name) === connector && !byName.has(name) && !pins.has(name))
    changes.push(
      ...absent.map((tool) => change('missing', tool, ['an agent uses it, and the server does not offer it'])),
    )
    for (const definition of byName.values()) {
      const pin = pins.get(definition.name)
      if (!pin && !all && !used.has(definition.name)) {
        unused.push(definition.name)
        continue
      }
      const made = pinOne(definition, pin, today)
      if (made.change) changes.push(made.change)
      if (made.pin) kept.push(made.pin)
    }
  }
  changes.sort((a, b) => (a.tool < b.tool ? -1 : 1))
  return { changes, pins: kept.toSorted((a, b) => (a.name < b.name ? -1 : 1)), unused: unused.toSorted() }
}

function pinOne(
  definition: ToolDefinition,
  pin: ToolPin | undefined,
  today: string,
): { readonly pin: ToolPin | null; readonly change: ToolChange | null } {
  const { name, description, inputSchema, outputSchema, annotations } = definition
  const problem = definitionProblem(definition)
  if (problem !== null) return { pin: null, change: change('refused', name, [problem], pin?.hash) }
  const hash = definitionHash(definition)
  if (pin?.hash === hash) return { pin, change: null }
  const hinted = hintedClass(definition)
  // A tool whose server takes its word back is a write again; that a server now calls it a read is for a person to confirm.
  const kind = pin ? (hinted === 'read' ? pin.class : hintedClass(pin) === 'read' ? 'write' : pin.class) : hinted
  const made: ToolPin = {
    name,
    class: kind,
    hash,
    pinned: today,
    description,
    inputSchema: { ...inputSchema },
    ...(outputSchema && { outputSchema: { ...outputSchema } }),
    ...(annotations && { annotations: { ...annotations } }),
  }
  if (!pin) return { pin: made, change: change('added', name, [`class ${kind}`, shown(description)], null, hash) }
  const fields = ['description', 'inputSchema', 'outputSchema', 'annotations'] as const
  const details = fields.flatMap((field) => differences(field, pin[field], definition[field]))
  if (kind !== pin.class) details.unshift(`class: ${pin.class} → ${kind}`)
  const cut = details.length > detailsMax ? [`… and ${details.length - detailsMax} more`] : []
  return { pin: made, change: change('changed', name, [...details.slice(0, detailsMax), ...cut], pin.hash, hash) }
}

/** One line per member that differs, at most as deep as the members of a schema's properties. */
function differences(path: string, before: unknown, after: unknown, depth = 0): string[] {
  if (textOf(before) === textOf(after)) return []
  if (depth < 4 && isRecord(before) && isRecord(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted()
    return keys.flatMap((key) => differences(`${path}.${key}`, before[key], after[key], depth + 1))
  }
  return [`${path}: ${shown(before)} → ${shown(after)}`]
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = textOf(value)
  return text.length > shownCharsMax ? `${text.slice(0, shownCharsMax)}…` : text
}

function textOf(value: unknown): string {
  return value === undefined ? '' : canonical(value)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function change(
  kind: ToolChange['kind'],
  tool: string,
  details: readonly string[],
  from: string | null = null,
  to: string | null = null,
): ToolChange {
  return { kind, tool, details, from, to }
}
