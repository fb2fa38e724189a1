import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { aCodex } from '../../test/codex-files.ts'
import { GitCodex, type GitCodexOptions } from './codex.ts'
import type { CodexProblem, CodexSnapshot } from './snapshot.ts'
import { openSource } from './source.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'codex test '))
  folders.push(made)
  return made
}

function write(into: string, files: Readonly<Record<string, string>>): void {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(into, file)), { recursive: true })
    writeFileSync(join(into, file), text)
  }
}

function git(dir: string, ...args: readonly string[]): string {
  const identity = ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'commit.gpgsign=false']
  return execFileSync('git', ['-C', dir, ...identity, ...args], { encoding: 'utf8' }).trim()
}

function commit(dir: string, files: Readonly<Record<string, string>>): string {
  write(dir, files)
  git(dir, 'add', '--all')
  git(dir, 'commit', '--quiet', '--allow-empty', '-m', 'change')
  return git(dir, 'rev-parse', 'HEAD')
}

function repository(files: Readonly<Record<string, string>> = aCodex()): { dir: string; head: string } {
  const dir = folder()
  git(dir, 'init', '--quiet', '-b', 'main')
  return { dir, head: commit(dir, files) }
}

async function open(url: string, more: Partial<GitCodexOptions> = {}): Promise<GitCodex> {
  return await GitCodex.open({ url, home: folder(), refreshMs: 100, log: silentLog, clock: systemClock, ...more })
}

const broken = { 'agents/scout.yaml': 'apiVersion: guild/v1\nkind: Agnt\n' }
const prompt = (text: string) => ({ 'prompts/scout.md': text })
const said = (snapshot: CodexSnapshot) => snapshot.agents.get('scout')?.system.split('\n')[0]

describe('GitCodex', () => {
  it('serves the newest commit, and earlier ones to the runs pinned to them', async () => {
    const { dir, head } = repository()
    const codex = await open(dir)
    expect(codex.current().commit).toBe(head)
    const next = commit(dir, prompt('Second.'))
    expect(await codex.refresh()).toBe(true)
    expect(codex.current().commit).toBe(next)
    expect(said(codex.current())).toBe('Second.')
    expect(said(await codex.at(head))).toBe('You scout.')
    expect(await codex.refresh()).toBe(false)
  })

  it('reads what is committed, not what lies in the folder', async () => {
    const { dir } = repository()
    write(dir, broken)
    const codex = await open(dir)
    expect(said(codex.current())).toBe('You scout.')
  })

  it('reads a folder inside a repository, and is not moved by commits elsewhere', async () => {
    const { dir } = repository(
      Object.fromEntries(Object.entries(aCodex()).map(([file, text]) => [`my codex/${file}`, text])),
    )
    const codex = await open(join(dir, 'my codex'))
    const first = codex.current().commit
    commit(dir, { 'src/main.ts': 'export {}' })
    expect(await codex.refresh()).toBe(false)
    expect(codex.current().commit).toBe(first)
    commit(dir, { 'my codex/prompts/scout.md': 'Moved.' })
    expect(await codex.refresh()).toBe(true)
  })

  it('serves the branch that is asked for', async () => {
    const { dir } = repository()
    git(dir, 'checkout', '--quiet', '-b', 'try/it')
    commit(dir, prompt('On a branch.'))
    git(dir, 'checkout', '--quiet', 'main')
    expect(said((await open(`${dir}#try/it`)).current())).toBe('On a branch.')
    expect(said((await open(dir)).current())).toBe('You scout.')
  })

  it('keeps the last good commit while the newest is invalid, and says what is wrong with it', async () => {
    const { dir, head } = repository()
    const refused: [string, readonly CodexProblem[]][] = []
    const codex = await open(dir, {
      onInvalid: async (at, problems) => {
        refused.push([at, problems])
      },
    })
    const bad = commit(dir, broken)
    expect(await codex.refresh()).toBe(false)
    expect(await codex.refresh()).toBe(false)
    expect(codex.current().commit).toBe(head)
    expect(codex.problems()?.commit).toBe(bad)
    expect(codex.problems()?.problems[0]).toMatchObject({ file: 'agents/scout.yaml', line: 2, severity: 'error' })
    expect(refused.map(([at]) => at)).toEqual([bad])
    const good = commit(dir, aCodex())
    await codex.refresh()
    expect(codex.problems()).toBeNull()
    expect([head, good]).toContain(codex.current().commit)
  })

  it('does not begin with an invalid commit, and names every line', async () => {
    const { dir } = repository({ ...aCodex(), ...broken })
    await expect(open(dir)).rejects.toMatchObject({
      code: 'GUILD_CODEX_INVALID',
      details: {
        problems: expect.stringMatching(
          /^agents\/scout.yaml:2: this folder holds Agent, not "Agnt"; did you mean “Agent”\?/,
        ),
      },
    })
  })

  it('begins with what served last when the newest commit is invalid or out of reach', async () => {
    const { dir, head } = repository()
    const home = folder()
    await open(dir, { home })
    commit(dir, broken)
    const codex = await open(dir, { home })
    expect(codex.current().commit).toBe(head)
    expect(codex.problems()?.problems).not.toEqual([])
    commit(dir, aCodex())
    await codex.refresh()
    expect(codex.problems()).toBeNull()
    rmSync(join(dir, '.git', 'HEAD'))
    expect((await open(dir, { home })).current().agents.size).toBe(1)
  })

  it('announces a snapshot before it serves, and tries again when that fails', async () => {
    const { dir, head } = repository()
    const announced: string[] = []
    let down = false
    const codex = await open(dir, {
      onChange: async (snapshot) => {
        if (down) throw new Error('no database')
        announced.push(snapshot.commit)
      },
    })
    down = true
    const next = commit(dir, prompt('Second.'))
    expect(await codex.refresh()).toBe(false)
    expect(codex.current().commit).toBe(head)
    down = false
    expect(await codex.refresh()).toBe(true)
    expect(announced).toEqual([head, next])
  })

  it('gives a pinned run its commit after an amend, a restart and the loss of the repository', async () => {
    const { dir, head } = repository()
    const home = folder()
    const codex = await open(dir, { home })
    write(dir, prompt('Amended.'))
    git(dir, 'commit', '--quiet', '--all', '--amend', '-m', 'other')
    await codex.refresh()
    git(
      dir,
      '-c',
      'gc.reflogExpire=now',
      '-c',
      'gc.reflogExpireUnreachable=now',
      'reflog',
      'expire',
      '--expire=now',
      '--all',
    )
    git(dir, 'gc', '--quiet', '--prune=now')
    const restarted = await open(dir, { home })
    expect(said(restarted.current())).toBe('Amended.')
    expect(said(await restarted.at(head))).toBe('You scout.')
    await expect(restarted.at('1'.repeat(40))).rejects.toMatchObject({ code: 'GUILD_CODEX_UNAVAILABLE' })
    await expect(restarted.at('HEAD')).rejects.toMatchObject({ code: 'GUILD_CODEX_UNAVAILABLE' })
  })

  it('reads a folder without Git as it lies there, and keeps its old states', async () => {
    const dir = folder()
    const home = folder()
    write(dir, aCodex())
    const codex = await open(dir, { home })
    const first = codex.current().commit
    expect(first).toMatch(/^worktree-[0-9a-f]{40}$/)
    write(dir, prompt('Edited.'))
    expect(await codex.refresh()).toBe(true)
    expect(said(codex.current())).toBe('Edited.')
    expect(said(await (await open(dir, { home })).at(first))).toBe('You scout.')
  })

  it('reads a folder of which Git knows nothing, though it lies in a repository', async () => {
    const { dir } = repository({ 'README.md': 'x' })
    write(join(dir, 'codex'), aCodex())
    expect((await open(join(dir, 'codex'))).current().commit).toMatch(/^worktree-/)
  })

  it('fetches a URL into a mirror of its own, and survives a force push there', async () => {
    const { dir, head } = repository()
    const home = folder()
    const url = `file://${dir.replaceAll(' ', '%20')}`
    const codex = await open(`${url}#main`, { home })
    expect(codex.current().commit).toBe(head)
    write(dir, prompt('Rewritten.'))
    git(dir, 'commit', '--quiet', '--all', '--amend', '-m', 'other')
    expect(await codex.refresh()).toBe(true)
    expect(said(codex.current())).toBe('Rewritten.')
    expect(said(await codex.at(head))).toBe('You scout.')
  })

  it('is fetched by many processes of one home at once, from the first time on', { timeout: 60_000 }, async () => {
    const { dir, head } = repository()
    const home = folder()
    const many = await Promise.all(Array.from({ length: 6 }, () => open(`file://${dir}`, { home })))
    expect(new Set(many.map((codex) => codex.current().commit))).toEqual(new Set([head]))
    for (let round = 0; round < 3; round += 1) {
      const next = commit(dir, prompt(`Round ${round}.\n`))
      expect(await Promise.all(many.map((codex) => codex.refresh()))).toEqual(many.map(() => true))
      expect(new Set(many.map((codex) => codex.current().commit))).toEqual(new Set([next]))
    }
    const mirrors = readdirSync(join(home, 'codex')).filter((name) => name.startsWith('mirror'))
    expect(mirrors).toHaveLength(1)
    expect(git(join(home, 'codex', mirrors[0] ?? ''), 'for-each-ref', 'refs/guild/fetch')).toBe('')
  })

  it('refreshes by itself until it is told to stop', async () => {
    const { dir } = repository()
    const seen = Promise.withResolvers<string>()
    const codex = await open(dir, {
      onChange: async (snapshot) => {
        if (said(snapshot) === 'Second.') seen.resolve(snapshot.commit)
      },
    })
    const stop = new AbortController()
    const running = codex.run(stop.signal)
    const next = commit(dir, prompt('Second.'))
    expect(await seen.promise).toBe(next)
    stop.abort()
    await running
  })
})

describe('openSource', () => {
  it.each([
    ['--upload-pack=touch /tmp/x', 'this is not a path or URL'],
    ['ext::sh -c id', 'this is not a path or URL'],
    ['git://example.com/x', 'the protocol git: is not one of'],
    ['ftp://example.com/x', 'the protocol ftp: is not one of'],
    ['/nowhere/at/all', 'there is no such folder'],
    ['https://example.com/x.git#--orphan', '“--orphan” is no branch'],
    ['https://example.com/x.git#a..b', '“a..b” is no branch'],
  ])('refuses %s', async (url, why) => {
    await expect(openSource({ url, home: folder() })).rejects.toMatchObject({
      code: 'GUILD_CODEX_UNAVAILABLE',
      message: expect.stringContaining(why),
    })
  })

  it('never shows the credentials of a URL', async () => {
    const source = await openSource({ url: 'http://me:secret@127.0.0.1:1/x.git', home: folder() })
    expect(source.shown).toBe('http://127.0.0.1:1/x.git')
    await expect(source.head()).rejects.toMatchObject({
      code: 'GUILD_CODEX_UNAVAILABLE',
      message: expect.not.stringContaining('secret'),
    })
  })

  it('refuses links, large files and files that are no text; ignores what is not a Codex, and says so', async () => {
    const { dir } = repository({ 'prompts/large.md': 'x'.repeat(1024 * 1024 + 1), 'src/main.ts': '', 'README.md': '' })
    symlinkSync('/etc/hostname', join(dir, 'prompts/link.md'))
    writeFileSync(join(dir, 'prompts/latin.md'), Buffer.from([0xe9, 0x20]))
    const head = commit(dir, {})
    const source = await openSource({ url: dir, home: folder() })
    const { problems } = await source.read(head)
    expect(problems.map(({ file, severity, message }) => `${severity} ${file} ${message}`)).toEqual([
      'error prompts/large.md is larger than 1048576 bytes',
      'error prompts/link.md is a link or a submodule; a Codex holds plain files only',
      'warning src not part of a Codex and not read: src',
      'error prompts/latin.md is not UTF-8 text',
    ])
  })

  it('is not misled by the environment of a hook', async () => {
    const { dir, head } = repository()
    process.env['GIT_DIR'] = '/nowhere'
    try {
      const source = await openSource({ url: dir, home: folder() })
      expect((await source.head()).commit).toBe(head)
    } finally {
      delete process.env['GIT_DIR']
    }
  })
})
