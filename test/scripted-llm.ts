import type { Llm, LlmAnswer, LlmRequest, LlmUsage } from '../src/llm/llm.ts'

export type ScriptedAnswer = Partial<Omit<LlmAnswer, 'usage'>> & { readonly usage?: Partial<LlmUsage> }
export type Script = (
  request: LlmRequest,
  call: number,
  options: Parameters<Llm['call']>[1],
) => ScriptedAnswer | Promise<ScriptedAnswer>

/** A model whose answers a test writes down. It keeps what it was asked; a script that throws is a provider that fails. */
export class ScriptedLlm implements Llm {
  readonly requests: LlmRequest[] = []
  readonly #script: Script

  constructor(script: Script) {
    this.#script = script
  }

  async call(request: LlmRequest, options: Parameters<Llm['call']>[1]): Promise<LlmAnswer> {
    this.requests.push(request)
    const { usage, ...answer } = await this.#script(request, this.requests.length, options)
    const toolCalls = answer.toolCalls ?? []
    return {
      text: '',
      stop: toolCalls.length > 0 ? 'tool_calls' : 'end',
      provider: request.provider,
      model: request.model,
      ...answer,
      toolCalls,
      usage: {
        inputNocache: 100,
        inputCacheRead: 0,
        inputCacheWrite: 0,
        outputText: 20,
        outputReasoning: 0,
        raw: {},
        ...usage,
      },
    }
  }
}
