import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Repository } from './codex-repository.ts'
import { pullRequestOpened } from './github.ts'
import { guild, guildJson, temporary } from './process.ts'
import type { ApprovalRow, DoctorReport, Status } from './rows.ts'

const limit = { timeout: 240_000 }
const timeoutMs = 200_000

it('plays the day of guild demo to its end and reads the results back', limit, async () => {
  const home = await temporary('guild-demo-')
  const demo = await guild(['demo', '--exit'], { env: { GUILD_HOME: home }, timeoutMs })
  expect(demo).toMatchObject({ code: 0, stderr: '' })
  for (const journey of ['PR_OPENED', 'BRANCH_FORCE_PUSHED', 'SECRET_LEAKED']) {
    expect(demo.stdout).toMatch(new RegExp(`dispatcher  ${journey} ROUTED: wakes \\w`))
  }
  expect(demo.stdout).toMatch(/What stands on GitHub now[\s\S]*has 1 comment by agents[\s\S]*issue #\d+/)
  const proofs = demo.stdout.slice(demo.stdout.indexOf('The proofs'))
  expect(proofs.match(/^ {2}✓ /gm)?.length).toBeGreaterThanOrEqual(8)
  expect(proofs).not.toContain('✗')
  process.stderr.write(`demo: ${demo.ms} ms\n${proofs}`)
})

interface Tried {
  readonly deliveries: number
  readonly status: Status
  readonly written: number
  readonly doctor: DoctorReport
  readonly desk: readonly ApprovalRow[]
}

const day = 86_400_000
const ago = (days: number): Date => new Date(Date.now() - days * day)

/** What people have: each is a folder that `guild try` must make something of. */
const histories: Readonly<Record<string, (repository: Repository) => Promise<unknown>>> = {
  'with one commit': (repository) =>
    repository.commit({ 'src/pay.ts': 'export const fee = 2\n' }, 'feat: fees', ago(3)),
  'with merges, squashes, a revert and tags': async (repository) => {
    await repository.commit(
      { 'src/a.ts': 'export const a = 1\n', 'package.json': '{"name":"shop"}\n' },
      'feat: begin',
      ago(60),
    )
    await repository.git('tag', 'v1.0.0')
    await repository.git('checkout', '--quiet', '-b', 'retries')
    await repository.commit({ 'src/retry.ts': 'export const retries = 3\n' }, 'feat: retry', ago(40))
    await repository.commit(
      { 'migrations/0001.sql': 'ALTER TABLE orders ADD tries int;\n' },
      'feat: count tries',
      ago(39),
    )
    await repository.git('checkout', '--quiet', 'main')
    const merge = ['merge', '--quiet', '--no-ff', 'retries', '-m', 'Merge pull request #12 from ada/retries']
    await repository.gitAt(ago(38), ...merge)
    const squash = await repository.commit({ 'src/a.ts': 'export const a = 2\n' }, 'fix: rounding (#13)', ago(20))
    await repository.gitAt(ago(10), 'revert', '--no-edit', squash)
    await repository.git('tag', '-a', 'v1.1.0', '-m', 'v1.1.0')
  },
  'that has been quiet for years': async (repository) => {
    await repository.commit({ 'lib.py': 'x = 1\n' }, 'Initial import', ago(1_200))
    await repository.commit({ 'lib.py': 'x = 2\n', 'setup.py': 'setup()\n' }, 'Fix x', ago(1_190))
  },
  'with nothing but a README': (repository) =>
    repository.commit({ 'README.md': '# Notes\n' }, 'Initial commit', ago(1)),
}

describe('guild try ends with a proposal on the desk and writes nothing, in a repository', () => {
  it.each(Object.entries(histories))('%s', limit, async (_, write) => {
    const repository = await Repository.init('try me ')
    await write(repository)
    const before = await repository.git('status', '--porcelain', '--branch')
    const env = { GUILD_HOME: await temporary('guild-try-') }
    const tried = await guildJson<Tried>(['try', '.'], { env, cwd: repository.folder, timeoutMs })
    const { received, dispositions, actions } = tried.status
    expect(tried.deliveries).toBeGreaterThan(0)
    expect(received).toBeGreaterThan(0)
    expect(Object.values(dispositions).reduce((sum, count) => sum + count, 0)).toBe(received)
    expect(tried.doctor.checks.find((check) => check.name === 'events')).toMatchObject({ verdict: 'ok' })
    expect(tried.desk.length).toBeGreaterThan(0)
    expect(tried.written).toBe(0)
    expect(Object.keys(actions)).not.toContain('SUCCEEDED')
    expect(await repository.git('status', '--porcelain', '--branch')).toBe(before)
  })
})

it('tells the story of one saved webhook body', limit, async () => {
  const folder = await temporary('guild-payload-')
  const file = join(folder, 'pull request.json')
  await writeFile(file, JSON.stringify(pullRequestOpened(7)))
  const tried = await guild(['try', file], { env: { GUILD_HOME: join(folder, 'home') }, timeoutMs })
  expect(tried).toMatchObject({ code: 0, stderr: '' })
  expect(tried.stdout).toMatch(/gateway {2}202 {2}pull_request, signed as GitHub signs/)
  expect(tried.stdout).toMatch(/PR_OPENED/)
  expect(tried.stdout).toMatch(/sentinel 1\.\d\.\d ended/)
})

it.each([
  ['an empty folder', [] as string[]],
  ['no such path', ['nowhere']],
])('says in one line what it needs when given %s', async (_, args) => {
  const folder = await temporary('guild-nothing-')
  const tried = await guild(['try', ...args], { env: { GUILD_HOME: join(folder, 'home') }, cwd: folder, timeoutMs })
  expect(tried.code).toBe(1)
  expect(tried.stderr).toMatch(/^error {2}[^\n]+\nfix {4}[^\n]+\ncode {3}GUILD_\w+\n$/)
})
