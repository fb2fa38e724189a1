import type { Settings } from '../config/settings.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import { isSecretName } from '../guards/privacy/credentials.ts'
import { privacyEngine } from '../guards/privacy/engine.ts'
import { Redactor } from '../guards/privacy/redact.ts'
import { Secret } from '../kernel/secret.ts'

/** A shorter one is a word of a test or a laptop, and would be taken out of every sentence that has it. */
const lengthMin = 12

export interface OwnSecretsDeps {
  readonly settings: Settings
  readonly env: Readonly<Record<string, string | undefined>>
  /** of a name, also from the file that `<name>_FILE` names */
  readonly variable?: (name: string) => string | undefined
  readonly snapshot?: Pick<CodexSnapshot, 'connectors' | 'providers'>
}

/** The engine that knows the secrets of this very process, so that no part of them leaves whatever shape it is given. */
export function processRedactor(deps: OwnSecretsDeps): Redactor {
  const redactor = new Redactor(privacyEngine({ known: ownSecrets(deps) }))
  redactor.text('') // an engine that does not work keeps the process from starting
  return redactor
}

/** Secrets of the settings, variables named like one, those that the Codex names, and passwords in addresses. */
export function ownSecrets({ settings, env, variable, snapshot }: OwnSecretsDeps): readonly string[] {
  const set = Object.values(settings).flatMap(secretsIn)
  const named = Object.entries(env).flatMap(([name, value = '']) => (isSecretName(name) ? [value] : passwordOf(value)))
  const referred = [
    ...[...(snapshot?.connectors.values() ?? [])].flatMap(({ spec }) => [spec.secret, spec.token]),
    ...[...(snapshot?.providers.values() ?? [])].map(({ spec }) => spec.key),
  ].flatMap((name) => (name === undefined ? [] : [variable?.(name) ?? '']))
  const values = [...set, ...named, ...referred].map((value) => value.trim())
  return [...new Set(values)].filter((value) => value.length >= lengthMin)
}

function secretsIn(value: unknown): readonly string[] {
  if (value instanceof Secret) return isPublicAddress(value.reveal()) ? [] : [value.reveal()]
  return Array.isArray(value) ? value.flatMap(secretsIn) : []
}

const stores = /^(postgres(ql)?|rediss?):$/

/** Of a store without a password: what is wrong with it must be told by its name. Other addresses may be a secret as a whole. */
function isPublicAddress(value: string): boolean {
  if (!URL.canParse(value)) return false
  const { protocol, username, password, search } = new URL(value)
  return stores.test(protocol) && password === '' && search === '' && username.length < lengthMin
}

function passwordOf(value: string): readonly string[] {
  if (!value.includes('://') || !URL.canParse(value)) return []
  const { password } = new URL(value)
  return [password, decoded(password)]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a lone percent sign
  }
}
