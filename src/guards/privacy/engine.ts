import { type DetectorClass, detectorClasses } from '../../kernel/data-class.ts'
import { GuildError } from '../../kernel/errors.ts'
import { cards } from './card.ts'
import { credentials } from './credentials.ts'
import { emails } from './email.ts'
import { encodedSecrets } from './encoded.ts'
import type { Detector, Finding } from './finding.ts'
import { ibans } from './iban.ts'
import { ips } from './ip.ts'
import { knownSecrets } from './known-secrets.ts'
import { phones } from './phone.ts'
import { pemKeys, webTokens } from './private-keys.ts'
import { providerKeys } from './provider-keys.ts'
import { unfold } from './unfold.ts'

/** Finds what must not pass. Anything thrown, and anything that is no list of findings inside the text, counts as a failure of the guard. */
export interface PrivacyEngine {
  scan(text: string, classes: ReadonlySet<DetectorClass>): readonly Finding[]
}

/** Long texts are refused rather than looked at in part: nothing that passes is longer (tools: 256 KB, bodies: 25 MB are raw events). */
export const textLengthMax = 32 * 1024 * 1024

/** In this order the more telling name wins where two say the same. */
const shaped: readonly Detector[] = [providerKeys, pemKeys, webTokens]
const personal: readonly Detector[] = [emails, ibans, cards, phones, ips]

export interface EngineOptions {
  /** values that are secret whatever they look like: those of this process */
  readonly known?: readonly string[]
}

/** All detectors as one. */
export function privacyEngine({ known = [] }: EngineOptions = {}): PrivacyEngine {
  const strict = known.length > 0 ? [knownSecrets(known), ...shaped] : shaped
  const shapes = (text: string) => strict.flatMap((detector) => detector.find(text))
  const secrets = (text: string): readonly Finding[] => [...shapes(text), ...credentials.find(text)]
  return {
    scan(text, classes) {
      const found: Finding[] = []
      if (classes.has('secrets')) {
        found.push(...secrets(text))
        const opened = text.includes('<!--') ? unfold(text, 'opened') : null
        if (opened)
          found.push(
            ...shapes(opened.text).map((finding) => ({ ...finding, ...opened.place(finding.start, finding.end) })),
          )
        const plain = unfold(text)
        if (plain) {
          const moved = [...shapes(plain.text), ...encodedSecrets(plain.text, shapes)]
          found.push(...moved.map((finding) => ({ ...finding, ...plain.place(finding.start, finding.end) })))
        } else found.push(...encodedSecrets(text, shapes))
      }
      for (const detector of personal) if (classes.has(detector.class)) found.push(...detector.find(text))
      return found
    },
  }
}

/**
 * What `engine` finds, in order and without overlaps: where two overlap, the stretch of both under the first one's name.
 * @throws GUILD_PRIVACY_FAILED when it throws or answers with anything else than findings inside the text
 */
export function scanText(engine: PrivacyEngine, text: string, classes: ReadonlySet<DetectorClass>): readonly Finding[] {
  if (text.length > textLengthMax)
    throw new GuildError('GUILD_PRIVACY_FAILED', { why: 'the text is too long to look at' })
  let found: unknown
  try {
    found = engine.scan(text, classes)
  } catch (error) {
    // Not the cause: its message may quote what was looked at.
    throw new GuildError('GUILD_PRIVACY_FAILED', { why: error instanceof Error ? error.name : 'the engine threw' })
  }
  if (!Array.isArray(found)) throw new GuildError('GUILD_PRIVACY_FAILED', { why: 'the engine answered with no list' })
  if (found.length === 0) return []
  const real = found.map((finding: unknown) => checked(finding, text.length))
  return merged(real)
}

const canary = `ghp_${'A1b2C3d4E5f6'.repeat(3)}`

/** Does the engine find a secret that is there? One that finds nothing lets everything pass, and no other check would tell. */
export function proveEngine(engine: PrivacyEngine): void {
  const [first, ...more] = scanText(engine, `a ${canary} z`, new Set(['secrets']))
  if (first?.start !== 2 || first.end !== 2 + canary.length || more.length > 0) {
    throw new GuildError('GUILD_PRIVACY_FAILED', { why: 'the engine does not find a secret that is there' })
  }
}

function checked(value: unknown, length: number): Finding {
  if (
    typeof value === 'object' &&
    value !== null &&
    'start' in value &&
    'end' in value &&
    'class' in value &&
    'kind' in value
  ) {
    const { start, end, class: kind, kind: name } = value
    if (
      Number.isInteger(start) &&
      Number.isInteger(end) &&
      typeof start === 'number' &&
      typeof end === 'number' &&
      start >= 0 &&
      start < end &&
      end <= length &&
      typeof name === 'string' &&
      /^[a-z][a-z0-9-]{0,98}$/.test(name)
    ) {
      const known = detectorClasses.find((one) => one === kind)
      if (known) return { start, end, class: known, kind: name }
    }
  }
  throw new GuildError('GUILD_PRIVACY_FAILED', { why: 'the engine answered with what is no finding' })
}

function merged(findings: readonly Finding[]): readonly Finding[] {
  const out: Finding[] = []
  // Stable: of those that begin together the earlier detector's comes first.
  for (const finding of findings.toSorted((a, b) => a.start - b.start)) {
    const last = out.at(-1)
    if (!last || finding.start >= last.end) out.push(finding)
    else out[out.length - 1] = joined(last, finding)
  }
  return out
}

/** A secret outweighs personal data, and a name that says whose it is one that only says "credential". */
function joined(a: Finding, b: Finding): Finding {
  const vague = (finding: Finding) =>
    finding.class !== 'secrets' ? 2 : /^(?:credential|password|url-password|own-secret)$/.test(finding.kind) ? 1 : 0
  const named = vague(b) < vague(a) ? b : a
  return { start: a.start, end: Math.max(a.end, b.end), class: named.class, kind: named.kind }
}
