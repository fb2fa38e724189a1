import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { type Env, guildCommand, GuildProcess } from '../test/chaos/process.ts'
import type { Lab, StoreKind } from './case.ts'

const run = promisify(execFile)

/** `guild up` in a folder of its own, which goes with it. */
export async function guildUp(
  lab: Lab,
  kind: StoreKind,
  writeCodex: (folder: string) => Promise<void>,
  more: Env = {},
): Promise<{ readonly guild: GuildProcess } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'guild-bench-up-'))
  const codex = join(folder, 'codex')
  await mkdir(codex)
  await writeCodex(codex)
  const store = kind === 'postgres' ? { DATABASE_URL: await (await lab.postgres()).newDatabase('empty') } : {}
  const env: Env = { CODEX_URL: codex, LOG_LEVEL: 'warn', ...store, ...more }
  if (kind === 'postgres') {
    const migrated = await guildCommand(['migrate'], { ...env, GUILD_HOME: join(folder, 'cli') })
    if (migrated.code !== 0) throw new Error(`guild migrate: ${migrated.output}`)
  }
  const guild = new GuildProcess({ name: 'guild', args: ['up'], folder, env, faketime: null })
  await guild.start()
  return {
    guild,
    async [Symbol.asyncDispose]() {
      await guild.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Writes the files of a Codex and commits them. */
export async function commitCodex(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  const who = ['-c', 'user.name=Ada Byron', '-c', 'user.email=ada@example.org', '-c', 'commit.gpgsign=false']
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' }
  await run('git', ['-C', folder, 'init', '--quiet', '--initial-branch=main'], { env })
  await run('git', ['-C', folder, 'add', '--all'], { env })
  await run('git', ['-C', folder, ...who, 'commit', '--quiet', '-m', 'a codex'], { env })
}
