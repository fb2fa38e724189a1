import { describe, expect, it } from 'vitest'
import { aCodex, load } from '../../test/codex-files.ts'
import type { ToolPin } from './kinds.ts'
import { planLock } from './tool-drift.ts'
import { definitionProblem, renderToolLock, type ToolDefinition } from './tool-lock.ts'

const today = '2026-11-22'
const search: ToolDefinition = {
  name: 'acme.search',
  description: 'finds: tickets\n- "all" of them # really',
  inputSchema: { type: 'object', properties: { text: { type: 'string' }, limit: { type: 'integer' } } },
  annotations: { readOnlyHint: true },
}
const connector = `apiVersion: guild/v1
kind: Connector
metadata: { name: acme }
spec: { system: github, tools: { url: https://mcp.acme.test/ } }
`

describe('planLock', () => {
  it('pins what agents use, and names what they do not', () => {
    const other = { ...search, name: 'acme.delete_all' }
    const made = plan([], [search, other])
    expect(made.pins.map(({ name, class: kind }) => [name, kind])).toEqual([['acme.search', 'read']])
    expect(made.unused).toEqual(['acme.delete_all'])
    expect(plan([], [search, other], { all: true }).pins).toHaveLength(2)
  })

  it('says which field changed, from what to what', () => {
    const changed = { ...search, inputSchema: { type: 'object', properties: { text: { type: 'number' } } } }
    const [change] = plan(plan([], [search]).pins, [changed]).changes
    expect(change).toMatchObject({ kind: 'changed', tool: 'acme.search' })
    expect(change?.details).toEqual([
      'inputSchema.properties.limit: {"type":"integer"} → nothing',
      'inputSchema.properties.text.type: "string" → "number"',
    ])
  })

  it('changes nothing when nothing changed, and keeps pins of servers that were not asked', () => {
    const { pins } = plan([], [search])
    expect(plan(pins, [search])).toMatchObject({ changes: [], pins })
    const elsewhere = planLock({ pins: byName(pins), offered: new Map(), used: new Set(), all: false, today })
    expect(elsewhere).toMatchObject({ changes: [], pins })
  })

  it('drops what the server offers no more, and misses what an agent uses', () => {
    expect(plan(plan([], [search]).pins, []).changes).toMatchObject([{ kind: 'removed', tool: 'acme.search' }])
    expect(plan([], []).changes).toMatchObject([{ kind: 'missing', tool: 'acme.search' }])
  })

  it('makes a tool a write when its server takes its word back, and never a read by itself', () => {
    const quiet = { ...search, annotations: {} }
    const asRead = plan([], [search]).pins
    expect(plan(asRead, [quiet])).toMatchObject({ pins: [{ class: 'write' }] })
    expect(plan(plan([], [quiet]).pins, [search])).toMatchObject({ pins: [{ class: 'write' }] })
    // A person said read of a tool without a hint: a change of its words keeps that.
    const byHand = plan([], [quiet]).pins.map((pin): ToolPin => ({ ...pin, class: 'read' }))
    expect(plan(byHand, [{ ...quiet, description: 'other' }])).toMatchObject({ pins: [{ class: 'read' }] })
  })

  it.each([
    ['longer than a person reads', { ...search, description: 'x'.repeat(70_000) }],
    ['people do not see: U+202E', { ...search, description: 'a\u202Eb' }],
    ['people do not see: U+E0121', { ...search, description: 'a\u{E0121}b' }],
    ['people do not see: U+FE03', { ...search, description: 'a\uFE03b' }],
    ['people do not see: U+E0041', { ...search, inputSchema: { title: '\u{E0041}' } }],
    ['a control character, which people do not see', { ...search, description: 'a\u001b[31mb' }],
    ['cannot be written down', { ...search, description: '\uD800' }],
    ['none that a manifest could say', { ...search, name: 'acme.two words' }],
  ])('pins nothing that is %s', (why, definition) => {
    expect(definitionProblem(definition)).toContain(why)
    const made = plan([], [definition], { all: true })
    expect(made.pins).toEqual([])
    expect(made.changes.map(({ kind }) => kind)).toContain('refused')
  })
})

describe('tools.lock.yaml', () => {
  it('reads back what was written, and is the same bytes for the same pins', () => {
    const { pins } = plan([], [search])
    const { snapshot, lines } = load(withLock(renderToolLock(pins)))
    expect(lines).toEqual([])
    expect([...(snapshot?.toolPins.values() ?? [])]).toEqual(pins)
    expect(renderToolLock([...(snapshot?.toolPins.values() ?? [])])).toBe(renderToolLock(pins))
  })

  it('is refused when anything but a class was changed by hand', () => {
    const text = renderToolLock(plan([], [search]).pins)
    expect(load(withLock(text.replace('class: read', 'class: write'))).lines).toEqual([])
    const { snapshot, lines } = load(withLock(text.replace('type: integer', 'type: number')))
    expect(snapshot).toBeNull()
    expect(lines[0]).toMatch(/^tools\.lock\.yaml:11: the hash of acme\.search is not that of what stands beside it/)
  })

  it('is missed: a tool that nobody pinned is named, and degrades the agent that cannot do without it', () => {
    const files: Record<string, string> = { ...aCodex(), 'connectors/acme.yaml': connector }
    files['agents/scout.yaml'] = aCodex()['agents/scout.yaml']?.replace('github.get_issue', 'acme.search') ?? ''
    const optional = load(files)
    expect(optional.lines[0]).toMatch(/^agents\/scout\.yaml:22: warning: acme\.search is not pinned/)
    expect(optional.snapshot?.agents.get('scout')?.unmet).toEqual([])
    files['agents/scout.yaml'] = (files['agents/scout.yaml'] ?? '').replace('id: issue,', 'id: issue, required: true,')
    expect(load(files).snapshot?.agents.get('scout')?.unmet).toEqual([
      'needs the tool acme.search, which tools.lock.yaml does not pin',
    ])
  })
})

function plan(pins: readonly ToolPin[], offered: readonly ToolDefinition[], { all = false } = {}) {
  return planLock({
    pins: byName(pins),
    offered: new Map([['acme', offered]]),
    used: new Set(['acme.search', 'github.get_issue']),
    all,
    today,
  })
}

function byName(pins: readonly ToolPin[]): ReadonlyMap<string, ToolPin> {
  return new Map(pins.map((pin) => [pin.name, pin]))
}

function withLock(text: string): Record<string, string> {
  return { ...aCodex(), 'connectors/acme.yaml': connector, 'tools.lock.yaml': text }
}
