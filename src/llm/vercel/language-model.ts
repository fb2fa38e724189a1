import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import type { LanguageModel } from 'ai'
import { assertNever } from '../../kernel/assert-never.ts'
import type { LlmEndpoint } from '../endpoint.ts'

/** A local server that asks for no key still gets one: the SDK would otherwise look for it in the environment. */
const noKey = 'none'

export function languageModel(endpoint: LlmEndpoint, model: string, fetch: typeof globalThis.fetch): LanguageModel {
  const { api, baseUrl: baseURL } = endpoint
  const apiKey = endpoint.key?.reveal() ?? noKey
  switch (api) {
    case 'anthropic':
      return createAnthropic({ baseURL, apiKey, fetch })(model)
    case 'openai':
      return createOpenAI({ baseURL, apiKey, fetch }).chat(model)
    case 'openai-responses':
      return createOpenAI({ baseURL, apiKey, fetch }).responses(model)
    case 'openai-compatible':
      return createOpenAICompatible({
        name: 'compatible',
        baseURL,
        ...(endpoint.key && { apiKey }),
        fetch,
        includeUsage: true,
        supportsStructuredOutputs: true,
      }).chatModel(model)
    default:
      return assertNever(api)
  }
}
