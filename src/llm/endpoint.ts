import type { Secret } from '../kernel/secret.ts'

/** Where a provider of the Codex is reached: which wire format, at which URL, with which key. */
export interface LlmEndpoint {
  /** `openai-responses`: /responses of OpenAI itself; `openai`, `openai-compatible`: /chat/completions */
  readonly api: 'anthropic' | 'openai' | 'openai-responses' | 'openai-compatible'
  /** ends in the API version: `https://api.anthropic.com/v1` */
  readonly baseUrl: string
  /** an answer may have a format and tools at the same time: the vendor itself, or one whose provider file says so */
  readonly nativeOutput: boolean
  /** null: a local server that asks for none */
  readonly key: Secret | null
}
