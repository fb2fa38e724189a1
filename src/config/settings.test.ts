import { describe, expect, it } from 'vitest'
import { effectiveSettings, loadSettings, settingRows } from './settings.ts'

describe('what guild config prints', () => {
  it('holds no secret, and no credentials of a URL', () => {
    const secrets = Object.values(settingRows).filter((row) => 'secret' in row && row.secret)
    const env = {
      ...Object.fromEntries(secrets.map(({ env: name }) => [name, 'hunter2'])),
      CODEX_URL: 'https://bot:hunter2@git.example.org/codex.git#main',
      EVENT_BUS_URL: 'redis://:hunt@er2@cache:6379',
      ANTHROPIC_BASE_URL: 'https://hunter2@proxy.example.org',
    }
    const shown = effectiveSettings(env)
    expect(JSON.stringify(shown)).not.toMatch(/hunt|er2/)
    expect(shown.find(({ env: name }) => name === 'CODEX_URL')?.shown).toBe(
      'https://[secret]@git.example.org/codex.git#main',
    )
  })

  it('shows the host of a secret URL, and nothing when it cannot be sure what is the host', () => {
    const shown = (url: string) =>
      effectiveSettings({ EVENT_BUS_URL: url }).find(({ env }) => env === 'EVENT_BUS_URL')?.shown
    expect(shown('rediss://ann:hunter2@cache:7000/1')).toBe('rediss://cache:7000')
    expect(shown('postgres:')).toBe('postgres:')
    expect(shown('redis://hunter2/er@cache')).toBe('redis:')
    expect(shown('hunter2')).toBe('[secret]')
  })
})

describe('the address of the database', () => {
  it('is refused without being shown when it is none, instead of being waited for', () => {
    const load = () => loadSettings({ DATABASE_URL: 'postgrs://ann:hunter2@db/guild' })
    expect(load).toThrow('DATABASE_URL is not valid: it takes an address that begins with postgres://')
    expect(load).not.toThrow('hunter2')
  })
})

describe('a secret of two lines', () => {
  it('is refused without being shown: no header takes it, and the refusal of fetch would quote it', () => {
    const load = () => loadSettings({ GITHUB_TOKEN: 'ghp_hunter2\nghp_other' })
    expect(load).toThrow('GITHUB_TOKEN is not valid: it holds a line break')
    expect(load).not.toThrow('hunter2')
  })
})
