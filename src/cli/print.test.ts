import { expect, it } from 'vitest'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { table } from './print.ts'

it('colours nothing in a pipe, not even on a build server', () => {
  const guild = fileURLToPath(new URL('../../bin/guild.js', import.meta.url))
  const env = { ...process.env, CI: 'true', FORCE_COLOR: undefined, NO_COLOR: undefined }
  const { stdout } = spawnSync(process.execPath, [guild, 'config'], { env, encoding: 'utf8' })
  expect(stdout).toContain('GUILD_HOME')
  expect(stdout).not.toContain('\u001b')
})

it('gives way in the flexible column when the terminal is narrow', () => {
  const text = table(
    [{ id: 'evt_1', why: 'a reason that is much longer than the terminal is wide' }],
    [
      { head: 'event', cell: (row) => row.id },
      { head: 'why', cell: (row) => row.why, flexible: true },
    ],
    30,
  )
  const [, line = ''] = text.split('\n')
  expect(line.length).toBeLessThanOrEqual(30)
  expect(line.endsWith('…')).toBe(true)
})
