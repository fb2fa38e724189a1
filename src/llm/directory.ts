import { readFileSync } from 'node:fs'
import type { ProviderFile } from '../codex/kinds.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Settings } from '../config/settings.ts'
import { GuildError, reasonOf } from '../kernel/errors.ts'
import { Secret } from '../kernel/secret.ts'
import type { LlmEndpoint } from './endpoint.ts'
import type { ModelChoice, ModelPrice } from './llm.ts'

type Providers = Pick<CodexSnapshot, 'providers'>

export interface ModelDirectory {
  /** Alias of a manifest → what to call and what it costs, or why not here. */
  choose(snapshot: Providers, alias: string): ModelChoice | { readonly unavailable: string }
  /** Where and with which key a provider is called; null: not in this snapshot, or not configured. */
  endpoint(snapshot: Providers, provider: string): LlmEndpoint | null
}

export interface ModelDirectoryDeps {
  readonly settings: Pick<Settings, 'anthropicApiKey' | 'anthropicBaseUrl' | 'openaiApiKey' | 'openaiBaseUrl'>
  /** keys and base URLs that the Codex names: see `variableOf` */
  readonly variable: (name: string) => string | undefined
  /** recordings are at hand, so that `replay` may be chosen */
  readonly replay: boolean
}

/**
 * `rules` is always there; `replay` when there are recordings; every other alias is `<provider>/<alias>`, where provider is the name
 * or the api of a file in providers/. A provider counts as configured when its key is set, or when its base URL is set in the
 * environment (a local server needs no key). A `baseUrl` in the Codex alone configures nothing: an unset Ollama must not be tried.
 */
export function modelDirectory(deps: ModelDirectoryDeps): ModelDirectory {
  return {
    choose(snapshot, alias) {
      if (alias === 'rules') return builtIn('rules')
      if (alias === 'replay') return deps.replay ? builtIn('replay') : unavailable('there are no recordings here')
      const found = find(snapshot, alias)
      if (!found) return unavailable(`no file in providers/ offers ${alias}`)
      const { provider, model } = found
      const reached = reach(provider, deps)
      // Recordings stand in for a model that has no key here, and say so: what answers is `replay`.
      if (!reached.endpoint && deps.replay) return { ...builtIn('replay'), alias }
      if (!reached.endpoint) return unavailable(`${provider.metadata.name} needs ${reached.needs}`)
      return {
        alias,
        provider: provider.metadata.name,
        model: model.model,
        contextTokens: model.contextTokens,
        price: model.price ? micros(model.price, provider.spec.api) : null,
      }
    },
    endpoint(snapshot, name) {
      const provider = snapshot.providers.get(name)
      return provider ? reach(provider, deps).endpoint : null
    },
  }
}

/** Reads `NAME`, else the file that `NAME_FILE` names. @throws GUILD_CONFIG_INVALID when that file cannot be read */
export function variableOf(env: Readonly<Record<string, string | undefined>>): (name: string) => string | undefined {
  return (name) => {
    if (env[name]) return env[name]
    const file = env[`${name}_FILE`]
    if (!file) return undefined
    try {
      return readFileSync(file, 'utf8').trim() || undefined
    } catch (cause) {
      throw new GuildError('GUILD_CONFIG_INVALID', { name: `${name}_FILE`, why: reasonOf(cause) }, { cause })
    }
  }
}

type ProviderModel = ProviderFile['spec']['models'][number]

function find({ providers }: Providers, alias: string): { provider: ProviderFile; model: ProviderModel } | null {
  const slash = alias.indexOf('/')
  if (slash < 1) return null
  const [head, tail] = [alias.slice(0, slash), alias.slice(slash + 1)]
  const named = providers.get(head)
  const candidates = named ? [named] : [...providers.values()].filter(({ spec }) => spec.api === head)
  for (const provider of candidates) {
    const model = provider.spec.models.find((offered) => offered.alias === tail)
    if (model) return { provider, model }
  }
  return null
}

type Reached = { readonly endpoint: LlmEndpoint } | { readonly endpoint: null; readonly needs: string }

function reach({ metadata, spec }: ProviderFile, { settings, variable }: ModelDirectoryDeps): Reached {
  if (spec.api === 'openai-compatible') {
    const urlName = `${metadata.name.toUpperCase().replaceAll('-', '_')}_BASE_URL`
    const url = variable(urlName)
    const key = spec.key ? secretOf(variable(spec.key)) : null
    const baseUrl = url ?? spec.baseUrl
    if (!baseUrl || (!url && !key)) {
      return { endpoint: null, needs: spec.key ? `${spec.key} or ${urlName}` : urlName }
    }
    const nativeOutput = spec.structuredOutput ?? false
    return { endpoint: { api: spec.api, baseUrl: withVersion(baseUrl, 'bare'), nativeOutput, key } }
  }
  const vendor = vendors[spec.api]
  const keyName = spec.key ?? vendor.keyName
  // A file that names a key of its own is another account: the vendor's variables do not redirect it.
  const own = keyName !== vendor.keyName
  const key = own ? secretOf(variable(keyName)) : (settings[vendor.key] ?? null)
  const override = own ? undefined : settings[vendor.url]
  if (!key && !override) return { endpoint: null, needs: own ? keyName : `${keyName} or ${vendor.urlName}` }
  const baseUrl = withVersion(override ?? spec.baseUrl ?? vendor.baseUrl, vendor.version)
  const api = spec.api === 'openai' ? openaiApi(baseUrl) : spec.api
  const nativeOutput = spec.structuredOutput ?? isVendor(baseUrl)
  return { endpoint: { api, baseUrl, nativeOutput, key } }
}

/**
 * OpenAI's own models since GPT-5.4 refuse tools on /chat/completions, and servers that only speak like OpenAI know nothing else:
 * https://github.com/openai/openai-openapi/issues/541
 */
function openaiApi(baseUrl: string): LlmEndpoint['api'] {
  return isVendor(baseUrl) ? 'openai-responses' : 'openai'
}

/** The vendor itself, not a gateway that speaks like it. */
function isVendor(baseUrl: string): boolean {
  return /(^|\.)api\.(openai|anthropic)\.com$/.test(new URL(baseUrl).hostname)
}

const vendors = {
  anthropic: {
    baseUrl: 'https://api.anthropic.com/v1',
    key: 'anthropicApiKey',
    keyName: 'ANTHROPIC_API_KEY',
    url: 'anthropicBaseUrl',
    urlName: 'ANTHROPIC_BASE_URL',
    // Anthropic's own clients take the URL without /v1, the AI SDK takes it with.
    version: 'always',
  },
  openai: {
    baseUrl: 'https://api.openai.com/v1',
    key: 'openaiApiKey',
    keyName: 'OPENAI_API_KEY',
    url: 'openaiBaseUrl',
    urlName: 'OPENAI_BASE_URL',
    // OpenAI's own clients take the URL with /v1; gateways live under paths of their own.
    version: 'bare',
  },
} as const

/** Adds /v1 where the URL lacks it: to any path (`always`) or only to a bare host (`bare`). */
function withVersion(url: string, when: 'always' | 'bare'): string {
  const trimmed = url.replace(/\/+$/, '')
  if (trimmed.endsWith('/v1')) return trimmed
  return when === 'always' || new URL(trimmed).pathname === '/' ? `${trimmed}/v1` : trimmed
}

function secretOf(value: string | undefined): Secret | null {
  return value ? new Secret(value) : null
}

/**
 * USD → micro-USD. Where the file gives no cache prices nothing may be counted too low: reads cost as much as input, writes as much
 * as Anthropic asks (1.25 times the input price) and as input elsewhere.
 */
function micros(price: NonNullable<ProviderModel['price']>, api: ProviderFile['spec']['api']): ModelPrice {
  const { version, inputPerMillion, outputPerMillion } = price
  const cacheRead = price.cacheReadPerMillion ?? inputPerMillion
  const cacheWrite = price.cacheWritePerMillion ?? inputPerMillion * (api === 'anthropic' ? 1.25 : 1)
  return {
    version,
    inputPerMillion: Math.round(inputPerMillion * 1e6),
    outputPerMillion: Math.round(outputPerMillion * 1e6),
    cacheReadPerMillion: Math.round(cacheRead * 1e6),
    cacheWritePerMillion: Math.round(cacheWrite * 1e6),
  }
}

/** No tokens are bought, so the price is known: nothing. */
function builtIn(name: 'rules' | 'replay'): ModelChoice {
  const price = {
    version: name,
    inputPerMillion: 0,
    outputPerMillion: 0,
    cacheReadPerMillion: 0,
    cacheWritePerMillion: 0,
  }
  return { alias: name, provider: name, model: name, contextTokens: 1_000_000_000, price }
}

function unavailable(reason: string): { readonly unavailable: string } {
  return { unavailable: reason }
}
