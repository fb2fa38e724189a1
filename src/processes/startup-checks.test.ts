import { describe, expect, it } from 'vitest'
import { loadSettings } from '../config/settings.ts'
import { roles } from './roles.ts'
import { doubts, refuseNonsense } from './startup-checks.ts'

const server = { DATABASE_URL: 'postgres://db/guild' }

describe('what can never work is refused', () => {
  it.each([
    ['some roles on the embedded database', {}, ['gateway'], 'GUILD_ROLES_NEED_SERVER'],
    ['a bus on Redis beside it', { EVENT_BUS_URL: 'redis://bus:6379' }, roles, 'GUILD_CONFIG_INVALID'],
    [
      'a grace that fills the whole drain',
      { ...server, DRAIN_MS: '5000', DRAIN_GRACE_MS: '5000' },
      roles,
      'GUILD_CONFIG_INVALID',
    ],
  ] as const)('%s', (_, env, which, code) => {
    expect(() => refuseNonsense(loadSettings(env), which)).toThrow(expect.objectContaining({ code }))
  })

  it('and nothing else', () => {
    expect(() => refuseNonsense(loadSettings({}), roles)).not.toThrow()
    const apart = loadSettings({ ...server, EVENT_BUS_URL: 'redis://bus:6379' })
    expect(() => refuseNonsense(apart, ['executor'])).not.toThrow()
  })
})

describe('what is more often a mistake is said', () => {
  const snapshot = { connectors: new Map() }
  const about = (env: Record<string, string>, which: readonly (typeof roles)[number][]) =>
    doubts({
      settings: loadSettings({ ...server, ...env }),
      roles: which,
      snapshot,
      variable: () => undefined,
      apart: true,
    })

  it('a gateway that can trust nobody', () => {
    expect(about({}, roles)).toEqual([expect.stringContaining('set GITHUB_WEBHOOK_SECRET')])
    expect(about({ GITHUB_WEBHOOK_SECRET: 'x' }, roles)).toEqual([])
    expect(about({}, ['dispatcher'])).toEqual([])
  })

  it('transcripts in a folder of one host', () => {
    expect(about({}, ['executor'])).toEqual([expect.stringContaining('shared volume')])
    expect(about({ ARTIFACTS_URL: 's3://bucket' }, ['executor'])).toEqual([])
    expect(about({}, ['scheduler'])).toEqual([])
  })
})
