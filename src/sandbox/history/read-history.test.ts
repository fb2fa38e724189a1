import { execFileSync } from 'node:child_process'
import { access, chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readHistory, readPatches } from './read-history.ts'

let folder: string
const git = (args: readonly string[], input?: string) =>
  execFileSync('git', ['-C', folder, '-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], {
    encoding: 'utf8',
    ...(input !== undefined && { input }),
  }).trim()

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'guild-history-'))
  git(['init', '--quiet', '--initial-branch=main'])
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('a repository that somebody else prepared', () => {
  it('runs none of the programs that its configuration names', async () => {
    const ran = join(folder, 'ran')
    const program = join(folder, '.git', 'evil.sh')
    await writeFile(program, `#!/bin/sh\ntouch '${ran}'\nexit 1\n`)
    await chmod(program, 0o755)
    await writeFile(join(folder, '.gitattributes'), '* diff=evil\n')
    git(['add', '.'])
    git(['commit', '--quiet', '--message=one'])
    const now = new Date()
    const who = `a <a@example.org> ${Math.floor(now.getTime() / 1_000)} +0000`
    const signature = 'gpgsig -----BEGIN PGP SIGNATURE-----\n \n abcd\n -----END PGP SIGNATURE-----'
    await writeFile(join(folder, 'b'), 'b\n')
    git(['add', 'b'])
    const parents = `parent ${git(['rev-parse', 'HEAD'])}`
    const commit = `tree ${git(['write-tree'])}\n${parents}\nauthor ${who}\ncommitter ${who}\n${signature}\n\ntwo\n`
    const sha = git(['hash-object', '-t', 'commit', '-w', '--stdin'], commit)
    git(['reset', '--quiet', '--soft', sha])
    const named = ['gpg.program', 'diff.external', 'diff.evil.command', 'diff.evil.textconv', 'core.fsmonitor']
    for (const name of named) git(['config', name, program])
    git(['config', 'log.showSignature', 'true'])

    expect((await readHistory(folder, 90, now)).commits).toHaveLength(2)
    expect([...(await readPatches(folder, sha)).keys()]).toEqual(['b'])
    await expect(access(ran)).rejects.toThrow('ENOENT')
  })
})
