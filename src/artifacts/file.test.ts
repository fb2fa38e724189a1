import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FileArtifacts } from './file.ts'

describe('FileArtifacts', () => {
  let root: string
  let artifacts: FileArtifacts
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'guild artifacts '))
    artifacts = new FileArtifacts(root)
  })
  afterEach(() => rm(root, { recursive: true, force: true }))

  const read = async (path: string) => {
    const bytes = await artifacts.read(path)
    return bytes && Buffer.from(bytes).toString()
  }

  it('reads what was written, text and bytes', async () => {
    await artifacts.write('logs/2026-11-22/inv_1.json', '{"a":"ü"}')
    await artifacts.write('raw', new Uint8Array([0, 255]))
    expect(await read('logs/2026-11-22/inv_1.json')).toBe('{"a":"ü"}')
    expect([...((await artifacts.read('raw')) ?? [])]).toEqual([0, 255])
  })

  it('says null for what there is not', async () => {
    await artifacts.write('a', 'x')
    expect(await artifacts.read('b')).toBeNull()
    expect(await artifacts.read('a/b')).toBeNull()
  })

  it('replaces a file whole: a reader sees one version or the other', async () => {
    const versions = ['x'.repeat(200_000), 'y'.repeat(300_000)]
    await artifacts.write('f', versions[0] ?? '')
    const seen = new Set<string | null>()
    const writes = Promise.all(Array.from({ length: 20 }, (_, n) => artifacts.write('f', versions[n % 2] ?? '')))
    for (let n = 0; n < 20; n += 1) seen.add(await read('f'))
    await writes
    expect(versions).toEqual(expect.arrayContaining([...seen]))
    expect(await readdir(root)).toEqual(['f'])
  })

  it('lets only the owner read', async () => {
    await artifacts.write('logs/secret.json', 'x')
    expect((await stat(join(root, 'logs/secret.json'))).mode & 0o777).toBe(0o600)
    expect((await stat(join(root, 'logs'))).mode & 0o777).toBe(0o700)
  })

  it.each([
    '',
    '/',
    '/etc/passwd',
    '..',
    '../x',
    'a/../../x',
    'a//b',
    './a',
    'a/./b',
    'a\\..\\b',
    'a\u0000b',
    '.hidden',
    'a/.draft-x',
    'x'.repeat(2000),
  ])('refuses the path %j', async (path) => {
    await expect(artifacts.write(path, 'x')).rejects.toMatchObject({ code: 'GUILD_REQUEST_INVALID' })
    await expect(artifacts.read(path)).rejects.toMatchObject({ code: 'GUILD_REQUEST_INVALID' })
    await expect(artifacts.removeOlderThan(path, new Date())).rejects.toMatchObject({ code: 'GUILD_REQUEST_INVALID' })
  })

  it('removes files older than a date below a prefix, with their empty folders', async () => {
    await artifacts.write('logs/2026-10-01/old.json', 'x')
    await artifacts.write('logs/2026-11-22/new.json', 'x')
    await artifacts.write('reports/old.pdf', 'x')
    await writeFile(join(root, 'logs/2026-11-22/torn.json.draft-1'), 'half')
    const old = new Date('2026-10-01')
    for (const path of ['logs/2026-10-01/old.json', 'reports/old.pdf', 'logs/2026-11-22/torn.json.draft-1'])
      await utimes(join(root, path), old, old)
    expect(await artifacts.removeOlderThan('logs/', new Date('2026-10-23'))).toBe(1)
    expect(await readdir(join(root, 'logs'))).toEqual(['2026-11-22'])
    expect(await readdir(join(root, 'logs/2026-11-22'))).toEqual(['new.json'])
    expect(await read('reports/old.pdf')).toBe('x')
    expect(await artifacts.removeOlderThan('nothing/here', new Date())).toBe(0)
  })

  it('writes into a folder that was emptied and removed since the last file', async () => {
    await artifacts.write('logs/2026-10-01/a.json', '1')
    await rm(join(root, 'logs'), { recursive: true })
    await artifacts.write('logs/2026-10-01/b.json', '2')
    expect(await readdir(join(root, 'logs/2026-10-01'))).toEqual(['b.json'])
    expect((await stat(join(root, 'logs'))).mode & 0o777).toBe(0o700)
  })
})
