import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

/** design: docs in ARCHITECTURE.md, "Import tiers". Each folder may import itself and what is listed, nothing else. */
const ports = ['bus', 'cache', 'codex', 'artifacts', 'llm', 'tools', 'database']
const records = ['ledger', 'audit', 'guards', 'traces']
const components = [
  'gateway',
  'poller',
  'dispatcher',
  'scheduler',
  'registry',
  'executor',
  'actions',
  'notifications',
  'retention',
]
const composition = ['http', 'processes', 'cli']
const mayImport: Readonly<Record<string, readonly string[]>> = {
  kernel: [],
  config: ['kernel'],
  database: ['kernel'],
  redis: ['kernel'],
  ...Object.fromEntries(
    ports
      .filter((port) => port !== 'database')
      .map((port) => [port, ['kernel', 'config', 'database', 'redis', 'codex']]),
  ),
  ...Object.fromEntries(records.map((record) => [record, ['kernel', 'config', ...ports, ...records]])),
  ...Object.fromEntries(components.map((component) => [component, ['kernel', 'config', ...ports, ...records]])),
  sandbox: ['kernel', 'config'],
  ...Object.fromEntries(
    composition.map((name) => [
      name,
      ['kernel', 'config', 'redis', ...ports, ...records, ...components, 'sandbox', ...composition],
    ]),
  ),
}
/** Adapters: only their own folder and composition may import them. */
const adapters = [
  'bus/postgres',
  'bus/redis',
  'bus/memory',
  'cache/postgres',
  'cache/redis',
  'redis',
  'database/postgres',
  'database/pglite',
  'llm/vercel',
  'llm/rules',
  'llm/replay',
  'tools/mcp',
  'tools/github',
  'artifacts/file.ts',
]
/** An SDK has one home; a second one is a sign that a port leaks. */
const sdkHomes: Readonly<Record<string, readonly string[]>> = {
  ai: ['llm/vercel'],
  '@ai-sdk/anthropic': ['llm/vercel'],
  '@ai-sdk/openai': ['llm/vercel'],
  '@ai-sdk/openai-compatible': ['llm/vercel'],
  '@electric-sql/pglite': ['database/pglite'],
  pg: ['database/postgres'],
  '@redis/client': ['redis'],
  '@modelcontextprotocol/client': ['tools/mcp'],
  '@modelcontextprotocol/server': ['tools/github'],
  '@octokit/core': ['actions/targets'],
  '@marcbachmann/cel-js': ['codex'],
  ajv: ['codex'],
  semver: ['codex'],
  yaml: ['codex'],
  fastify: ['http', 'gateway', 'sandbox', 'processes'],
  '@fastify/helmet': ['http'],
  '@fastify/swagger': ['http'],
  'fastify-type-provider-zod': ['http'],
  'prom-client': ['http'],
  pino: ['processes'],
  commander: ['cli'],
  picocolors: ['cli'],
  'string-width': ['cli'],
  re2js: ['codex'],
  croner: ['codex'],
  '@opentelemetry/api': ['traces'],
  '@opentelemetry/sdk-trace': ['traces'],
  '@opentelemetry/resources': ['traces'],
  '@opentelemetry/exporter-trace-otlp-http': ['traces'],
}
const zodEverywhere = ['zod']
/** Longer than 300 lines, each for a reason said in the file; never over 500. */
const shareOver300 = 0.1
const functionLinesMax = 70

const root = fileURLToPath(new URL('../src', import.meta.url))
const files = sources(root)
const isTest = (file: string) => /\.test\.ts$|\/conformance[\w-]*\.ts$|\.conformance\.ts$/.test(file)

describe('the architecture', () => {
  it('keeps the import tiers', () => {
    const wrong = files
      .filter((file) => !isTest(file))
      .flatMap((file) =>
        importsOf(file)
          .filter((target) => target.startsWith(root))
          .flatMap((target) => {
            const from = tier(file)
            const to = tier(target)
            if (from === to || mayImport[from]?.includes(to)) return []
            return [`${short(file)} → ${short(target)}`]
          }),
      )
    expect(wrong).toEqual([])
  })

  it('lets only composition name an adapter', () => {
    const wrong = files
      .filter((file) => !isTest(file))
      .flatMap((file) =>
        importsOf(file).flatMap((target) => {
          const adapter = adapters.find((path) => short(target).startsWith(path))
          if (!adapter || short(file).startsWith(adapter) || composition.includes(tier(file))) return []
          // Adapters of one port may build on one another (rules and replay beside a vendor's), and those of Redis on its connection.
          const beside = tier(file) === tier(target) || tier(target) === 'redis'
          if (beside && adapters.some((path) => short(file).startsWith(path))) return []
          return [`${short(file)} → ${short(target)}`]
        }),
      )
    expect(wrong).toEqual([])
  })

  it('imports each third-party SDK in one folder', () => {
    const wrong = files
      .filter((file) => !isTest(file))
      .flatMap((file) =>
        importsOf(file)
          .filter((target) => !target.startsWith(root) && !target.startsWith('node:') && !target.startsWith('.'))
          .flatMap((target) => {
            const name = target
              .split('/')
              .slice(0, target.startsWith('@') ? 2 : 1)
              .join('/')
            if (zodEverywhere.includes(name)) return []
            const homes = sdkHomes[name]
            if (homes?.some((home) => short(file).startsWith(home))) return []
            return [
              `${short(file)} imports ${name}, whose home is ${homes?.join(' or ') ?? 'not declared in this test'}`,
            ]
          }),
      )
    expect(wrong).toEqual([])
  })

  it('has no import cycles', () => {
    expect(
      cycles(
        new Map(files.map((file) => [file, importsOf(file, 'values').filter((target) => target.startsWith(root))])),
      ),
    ).toEqual([])
  })

  it('has at least 90 % of files within 300 lines and none over 500', () => {
    const lengths = files.map((file) => ({ file: short(file), lines: readFileSync(file, 'utf8').split('\n').length }))
    const long = lengths.filter(({ lines }) => lines > 300)
    expect(lengths.filter(({ lines }) => lines > 500)).toEqual([])
    expect({ long, share: long.length / lengths.length <= shareOver300 }).toMatchObject({ share: true })
  })

  it(`has no function over ${functionLinesMax} lines outside tables and tests`, () => {
    const wrong = files.filter((file) => !isTest(file)).flatMap((file) => longFunctions(file))
    expect(wrong).toEqual([])
  })
})

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
}

function importsOf(file: string, which: 'all' | 'values' = 'all'): string[] {
  const text = readFileSync(file, 'utf8')
  const found = [...text.matchAll(/^\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]/gm)]
  const dynamic = [...text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)].map((match) => match[1] ?? '')
  const fixed = found.filter((match) => which === 'all' || !match[1]).map((match) => match[2] ?? '')
  return [...fixed, ...(which === 'all' ? dynamic : [])].map((target) =>
    target.startsWith('.') ? resolve(dirname(file), target) : target,
  )
}

function tier(file: string): string {
  return short(file).split('/')[0] ?? ''
}

function short(file: string): string {
  return relative(root, file)
}

function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const state = new Map<string, 'open' | 'done'>()
  const found: string[] = []
  const visit = (file: string, path: readonly string[]) => {
    if (state.get(file) === 'done') return
    if (state.get(file) === 'open') {
      found.push([...path.slice(path.indexOf(file)), file].map(short).join(' → '))
      return
    }
    state.set(file, 'open')
    for (const target of graph.get(file) ?? []) visit(target, [...path, file])
    state.set(file, 'done')
  }
  for (const file of graph.keys()) visit(file, [])
  return found
}

/** By the layout that the formatter gives: a function begins on a line that ends in `{` and ends at the `}` of the same indent. */
function longFunctions(file: string): string[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  const start =
    /^(\s*)(?:export\s+)?(?:default\s+)?(?:(?:async\s+)?function\b|(?:static\s+|private\s+|async\s+|\*\s*|get\s+|set\s+|#)*[\w#]+\([^)]*\)[^=;]*\{$|const\s+\w+\s*=\s*(?:async\s*)?\([^)]*\)[^=]*=>\s*\{$)/
  return lines.flatMap((line, index) => {
    const match = start.exec(line)
    if (!match || /^\s*(if|for|while|switch|catch|return)\b/.test(line)) return []
    const indent = match[1] ?? ''
    const open = lines.findIndex((text, at) => at >= index && text.endsWith('{'))
    const end = lines.findIndex((text, at) => at > open && text.startsWith(`${indent}}`))
    const length = end - index + 1
    return length > functionLinesMax ? [`${short(file)}:${index + 1} ${length} lines`] : []
  })
}
