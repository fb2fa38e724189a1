import { GuildError } from '../../kernel/errors.ts'
import type { LlmEndpoint } from '../endpoint.ts'
import type { Llm } from '../llm.ts'
import { failureOf } from './failure.ts'
import { Watchdog } from './watchdog.ts'

export interface VercelLlmDeps {
  /** null: the provider is not in the Codex any more, or not configured here */
  readonly endpoint: (provider: string) => LlmEndpoint | null
  readonly idleMs?: number
  readonly totalMs?: number
}

/**
 * Anthropic, OpenAI and OpenAI-compatible servers through the AI SDK, one step per call: tools without `execute`, retries off,
 * telemetry off, model objects (a string would go to the SDK vendor's gateway). The SDK is loaded by the first call, so that an
 * installation that runs on rules never pays for it.
 */
export function vercelLlm({ endpoint, idleMs = 60_000, totalMs = 180_000 }: VercelLlmDeps): Llm {
  return {
    async call(request, { signal, onUsage }) {
      signal.throwIfAborted()
      const at = endpoint(request.provider)
      if (!at) throw new GuildError('GUILD_PROVIDER_UNKNOWN', { model: `${request.provider}/${request.model}` })
      const { streamStep } = await import('./stream-step.ts')
      using watchdog = new Watchdog({ idleMs, totalMs, signal })
      try {
        return await streamStep({ request, endpoint: at, watchdog, ...(onUsage && { onUsage }) })
      } catch (error) {
        signal.throwIfAborted()
        if (watchdog.expired) {
          throw new GuildError('GUILD_LLM_TIMEOUT', { provider: request.provider, why: watchdog.expired })
        }
        throw failureOf(error, { provider: request.provider, key: at.key, nowMs: Date.now() })
      }
    },
  }
}
