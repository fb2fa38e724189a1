import { describe, expect, it } from 'vitest'
import { loadSettings } from '../config/settings.ts'
import { ownSecrets, processRedactor } from './own-secrets.ts'

const key = 'kX7pQ2mV9sB4nL6tR1wZ'
const env = {
  GITHUB_WEBHOOK_SECRET: 'webhook-words-only',
  ANTHROPIC_API_KEY: key,
  DATABASE_URL: 'postgres://guild:pa%24word-of-the-database@db/guild',
  MY_TOKEN: 'short',
  PATH: '/usr/local/bin:/usr/bin',
}

describe('the secrets of this process', () => {
  it('are those of settings, of variables named so, and of passwords in addresses; short ones and other variables are not', () => {
    const found = ownSecrets({ settings: loadSettings(env), env })
    expect([...found].toSorted()).toEqual(
      [env.DATABASE_URL, key, 'pa$word-of-the-database', 'pa%24word-of-the-database', 'webhook-words-only'].toSorted(),
    )
  })

  it('are no addresses of stores without a password: a finding names them', () => {
    const open = {
      REDIS_URL: 'redis://cache.example.org:6379/3',
      DATABASE_URL: 'postgres://guild@db.example.org/guild',
    }
    expect(ownSecrets({ settings: loadSettings(open), env: open })).toEqual([])
    const search = { DATABASE_URL: 'postgres://guild@db.example.org/guild?password=pa-word-of-it' }
    expect(ownSecrets({ settings: loadSettings(search), env: search })).toEqual([search.DATABASE_URL])
  })

  it('leave neither whole nor without their beginning, though no shape tells them', () => {
    const redactor = processRedactor({ settings: loadSettings(env), env })
    expect(redactor.text(`it is ${key}.`).value).toBe('it is [secret: own-secret].')
    expect(redactor.text(`the rest is ${key.slice(1)}`).value).toBe('the rest is [secret: own-secret]')
    expect(redactor.text(`say webhook-words-only`).value).toBe('say [secret: own-secret]')
  })
})
