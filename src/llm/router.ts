import { GuildError } from '../kernel/errors.ts'
import type { Llm } from './llm.ts'

export interface RoutedLlms {
  readonly rules: Llm
  /** null: there are no recordings here */
  readonly replay: Llm | null
  /** every provider of the Codex */
  readonly models: Llm
}

/** One `Llm` over all of them, by `request.provider`. */
export function routedLlm({ rules, replay, models }: RoutedLlms): Llm {
  return {
    async call(request, options) {
      if (request.provider === 'rules') return rules.call(request, options)
      if (request.provider !== 'replay') return models.call(request, options)
      if (!replay) throw new GuildError('GUILD_PROVIDER_UNKNOWN', { model: 'replay' })
      return replay.call(request, options)
    },
  }
}
