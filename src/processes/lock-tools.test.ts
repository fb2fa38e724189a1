import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { aCodex } from '../../test/codex-files.ts'
import { startMcpHttp } from '../../test/wire/mcp-http.ts'
import { human } from '../cli/commands/codex-lock.ts'
import { lintCodex } from '../codex/lint.ts'
import { silentLog } from '../kernel/log.ts'
import { lockTools } from './lock-tools.ts'

it('pins what agents use, finds the drift, says what changed, and pins it again', async () => {
  await using server = await startMcpHttp('modern')
  await using codex = await aFolder(server.url)
  const lock = (more: { check?: boolean; all?: boolean; connectors?: readonly string[] } = {}) =>
    lockTools({
      url: codex.folder,
      settings: { home: codex.home },
      env: {},
      log: silentLog,
      connectors: [],
      all: false,
      check: false,
      ...more,
    })

  expect(await lock({ check: true })).toMatchObject({
    ok: false,
    written: false,
    changes: [{ kind: 'added', tool: 'acme.echo' }],
  })
  const first = await lock()
  expect(first).toMatchObject({ ok: true, written: true, pinned: 1, asked: ['acme'] })
  expect(first.unused).toContain('acme.write')
  expect((await lintCodex(codex.folder, { home: codex.home })).problems).toEqual([])
  expect(await lock({ check: true })).toMatchObject({ ok: true, changes: [] })
  const written = await readFile(join(codex.folder, 'tools.lock.yaml'), 'utf8')

  server.change({ descriptions: { echo: 'echoes, and \u001b[31mmore' }, writes: ['echo'] })
  expect(await lock({ check: true })).toMatchObject({ ok: false, changes: [{ kind: 'refused', tool: 'acme.echo' }] })
  server.change({ descriptions: { echo: 'echoes loudly' }, writes: ['echo'] })
  const drift = await lock({ check: true })
  expect(drift.changes[0]?.details).toEqual([
    'class: read → write',
    'description: "does echo" → "echoes loudly"',
    'annotations.readOnlyHint: true → false',
  ])
  expect(human(drift, true)).toContain('1 tool not as pinned')
  expect(await readFile(join(codex.folder, 'tools.lock.yaml'), 'utf8')).toBe(written)

  expect(await lock({ all: true })).toMatchObject({ ok: true, written: true, unused: [] })
  expect(await lock({ check: true, connectors: ['acme'] })).toMatchObject({ ok: true })
  await expect(lock({ connectors: ['github'] })).rejects.toThrow('github is no connector with a tool server of its own')
})

it('keeps the pins of a server that does not answer, and says so', async () => {
  await using codex = await aFolder('http://127.0.0.1:9/mcp')
  const options = {
    url: codex.folder,
    settings: { home: codex.home },
    env: {},
    log: silentLog,
    connectors: [],
    all: false,
  }
  const result = await lockTools({ ...options, check: false })
  expect(result).toMatchObject({ ok: false, written: false, failed: [{ connector: 'acme' }] })
  expect(human(result, false)).toContain('its pins stay as they were')
})

async function aFolder(url: string): Promise<AsyncDisposable & { readonly folder: string; readonly home: string }> {
  const root = await mkdtemp(join(tmpdir(), 'guild-lock-'))
  const folder = join(root, 'codex')
  const files = {
    ...aCodex(),
    'agents/scout.yaml': (aCodex()['agents/scout.yaml'] ?? '').replace('github.get_issue', 'acme.echo'),
    'connectors/acme.yaml': `apiVersion: guild/v1
kind: Connector
metadata: { name: acme }
spec: { system: github, tools: { url: '${url}' } }
`,
  }
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  return { folder, home: join(root, 'home'), [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) }
}
