import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { provider } from '../codex/kind-provider.ts'
import type { ProviderFile } from '../codex/kinds.ts'
import { loadSettings } from '../config/settings.ts'
import { modelDirectory, variableOf } from './directory.ts'

const price = { version: '2026-11', inputPerMillion: 3, outputPerMillion: 15 }
const snapshot = {
  providers: new Map(
    [
      file('anthropic', { api: 'anthropic', models: [{ alias: 'claude-sonnet', model: 'claude-sonnet-5', price }] }),
      file('gpt', { api: 'openai', models: [{ alias: 'gpt-main', model: 'gpt-6' }] }),
      file('second', { api: 'anthropic', key: 'SECOND_KEY', models: [{ alias: 'm', model: 'm-1' }] }),
      file('ollama', {
        api: 'openai-compatible',
        baseUrl: 'http://localhost:11434/v1',
        models: [{ alias: 'q', model: 'qwen' }],
      }),
      file('my-vllm', {
        api: 'openai-compatible',
        baseUrl: 'https://vllm.acme.test/v1',
        key: 'VLLM_KEY',
        models: [{ alias: 'l', model: 'l-1' }],
      }),
    ].map((one) => [one.metadata.name, one]),
  ),
}

describe('choose', () => {
  it('always offers rules, and replay where there are recordings', () => {
    expect(directory({}).choose(snapshot, 'rules')).toMatchObject({ provider: 'rules', price: { inputPerMillion: 0 } })
    expect(directory({}).choose(snapshot, 'replay')).toHaveProperty('unavailable')
    expect(directory({}, true).choose(snapshot, 'replay')).toMatchObject({ provider: 'replay' })
  })

  it('counts prices in micro-USD, and unknown cache prices never too low', () => {
    expect(directory({ ANTHROPIC_API_KEY: 'k' }).choose(snapshot, 'anthropic/claude-sonnet')).toEqual({
      alias: 'anthropic/claude-sonnet',
      provider: 'anthropic',
      model: 'claude-sonnet-5',
      contextTokens: 128_000,
      price: {
        version: '2026-11',
        inputPerMillion: 3_000_000,
        outputPerMillion: 15_000_000,
        cacheReadPerMillion: 3_000_000,
        cacheWritePerMillion: 3_750_000,
      },
    })
  })

  const configured: readonly [string, Record<string, string>, string][] = [
    ['anthropic/claude-sonnet', { ANTHROPIC_API_KEY: 'k' }, 'https://api.anthropic.com/v1'],
    ['anthropic/claude-sonnet', { ANTHROPIC_BASE_URL: 'http://127.0.0.1:9' }, 'http://127.0.0.1:9/v1'],
    ['anthropic/claude-sonnet', { ANTHROPIC_BASE_URL: 'http://127.0.0.1:9/proxy/v1/' }, 'http://127.0.0.1:9/proxy/v1'],
    ['anthropic/claude-sonnet', {}, 'anthropic needs ANTHROPIC_API_KEY or ANTHROPIC_BASE_URL'],
    ['anthropic/other', { ANTHROPIC_API_KEY: 'k' }, 'no file in providers/ offers anthropic/other'],
    ['openai/gpt-main', { OPENAI_API_KEY: 'k' }, 'https://api.openai.com/v1'],
    ['gpt/gpt-main', { OPENAI_BASE_URL: 'http://127.0.0.1:9' }, 'http://127.0.0.1:9/v1'],
    ['gpt/gpt-main', { OPENAI_BASE_URL: 'http://127.0.0.1:9/openai/x' }, 'http://127.0.0.1:9/openai/x'],
    ['second/m', { SECOND_KEY: 'k' }, 'https://api.anthropic.com/v1'],
    ['second/m', { ANTHROPIC_API_KEY: 'k', ANTHROPIC_BASE_URL: 'http://127.0.0.1:9' }, 'second needs SECOND_KEY'],
    ['ollama/q', {}, 'ollama needs OLLAMA_BASE_URL'],
    ['ollama/q', { OLLAMA_BASE_URL: 'http://127.0.0.1:11434' }, 'http://127.0.0.1:11434/v1'],
    ['my-vllm/l', { VLLM_KEY: 'k' }, 'https://vllm.acme.test/v1'],
    ['my-vllm/l', {}, 'my-vllm needs VLLM_KEY or MY_VLLM_BASE_URL'],
    ['nobody', {}, 'no file in providers/ offers nobody'],
  ]
  it.each(configured)('resolves %s with %o to %s', (alias, env, expected) => {
    const found = directory(env).choose(snapshot, alias)
    const reached =
      'unavailable' in found ? found.unavailable : directory(env).endpoint(snapshot, found.provider)?.baseUrl
    expect(reached).toBe(expected)
  })

  it.each([
    [{ OPENAI_API_KEY: 'k' }, 'openai-responses'],
    [{ OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'https://eu.api.openai.com/v1' }, 'openai-responses'],
    [{ OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'https://api.openai.com.evil.test/v1' }, 'openai'],
    [{ OPENAI_BASE_URL: 'http://127.0.0.1:9' }, 'openai'],
  ])('speaks with %o to OpenAI in its own way, to others by chat completions: %s', (env, api) => {
    expect(directory(env).endpoint(snapshot, 'gpt')?.api).toBe(api)
  })

  it('has no endpoint for a provider that left the Codex', () => {
    expect(directory({ ANTHROPIC_API_KEY: 'k' }).endpoint({ providers: new Map() }, 'anthropic')).toBeNull()
  })
})

describe('variableOf', () => {
  it('reads a variable from the environment, else from the file that NAME_FILE names', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'guild-')), 'key')
    writeFileSync(path, 'from-file\n')
    expect(variableOf({ KEY: 'direct', KEY_FILE: path })('KEY')).toBe('direct')
    expect(variableOf({ KEY_FILE: path })('KEY')).toBe('from-file')
    expect(variableOf({})('KEY')).toBeUndefined()
    expect(() => variableOf({ KEY_FILE: '/no/such' })('KEY')).toThrow(
      expect.objectContaining({ code: 'GUILD_CONFIG_INVALID' }),
    )
  })
})

function directory(env: Record<string, string>, replay = false): ReturnType<typeof modelDirectory> {
  return modelDirectory({ settings: loadSettings(env), variable: variableOf(env), replay })
}

function file(name: string, spec: object): ProviderFile {
  return provider.parse({ apiVersion: 'guild/v1', kind: 'Provider', metadata: { name }, spec })
}
