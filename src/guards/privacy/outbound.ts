import type { CompiledPrivacy } from '../../codex/snapshot.ts'
import {
  type DataClass,
  dataClasses,
  type DetectorClass,
  detectorClasses,
  isMoreConfidential,
} from '../../kernel/data-class.ts'
import { isGuildError } from '../../kernel/errors.ts'
import type { JsonObject, JsonValue } from '../../kernel/json.ts'
import type { ActionVerdict } from '../action-policy.ts'
import { targetMatches } from '../target-glob.ts'
import { mapStrings, type Redactor, replaced } from './redact.ts'
import { apart, patternFindings } from './run-privacy.ts'

export interface Outbound {
  readonly target: string
  readonly args: JsonObject
  /** kinds of secrets that were taken out of the arguments */
  readonly leaks: readonly string[]
  /** the most confidential data the run has read */
  readonly confidentiality: DataClass
  /** how confidential what the target's connector holds is */
  readonly holds: DataClass
  readonly privacy: CompiledPrivacy
}

export type OutboundVerdict =
  { readonly kind: 'pass' } | { readonly kind: 'ask' | 'deny'; readonly rule: string; readonly reason: string }

const pass: OutboundVerdict = { kind: 'pass' }

/** May this leave for that target? Asked when an action is proposed and again before it is carried out. Never throws: what fails denies. */
export function outboundVerdict(outbound: Outbound, redactor: Redactor): OutboundVerdict {
  try {
    return judged(outbound, redactor)
  } catch (error) {
    const reason = isGuildError(error) ? error.message : 'the privacy guard failed, so nothing passes'
    return { kind: 'deny', rule: 'privacy#guard', reason }
  }
}

function judged(
  { target, args, leaks, confidentiality, holds, privacy }: Outbound,
  redactor: Redactor,
): OutboundVerdict {
  const secrets = new Set([...leaks, ...redactor.json(args).removed])
  if (secrets.size > 0) {
    const reason = `the arguments held a secret (${[...secrets].join(', ')}), and secrets do not leave; if it is real, replace it`
    return { kind: 'deny', rule: 'privacy#secrets', reason }
  }
  const blocking = privacy.patterns.filter(({ action }) => action === 'block')
  mapStrings(args, (text) => {
    patternFindings(blocking, text) // throws where one matches
    return text
  })
  for (const { target: glob, classes, reason: why, place } of privacy.blocked) {
    if (!targetMatches(target, glob)) continue
    const rule = `${place.file}:${place.line}`
    const read = classes.find((one) => isDataClass(one) && !isMoreConfidential(one, confidentiality))
    if (read) return { kind: 'deny', rule, reason: `the run has read ${confidentiality} data: ${why}` }
    const held = heldIn(args, new Set(classes.filter(isDetectorClass)), redactor)
    if (held) return { kind: 'deny', rule, reason: `the arguments hold personal data (${held}): ${why}` }
  }
  if (!isMoreConfidential(confidentiality, holds)) return pass
  const reason = `the run has read ${confidentiality} data, and ${target} is where ${holds} data is kept`
  return { kind: privacy.aboveTarget, rule: 'privacy#aboveTarget', reason }
}

/** Which classes of personal data may be put back into an action for this target. */
export function mayPassTo(target: string, privacy: CompiledPrivacy): (kind: DetectorClass) => boolean {
  const blocked = privacy.blocked.filter((rule) => targetMatches(target, rule.target)).flatMap((rule) => rule.classes)
  return (kind) => kind !== 'secrets' && !blocked.includes(kind)
}

/** The stricter of what policy and the privacy guard say. */
export function stricter(verdict: ActionVerdict, outbound: OutboundVerdict): ActionVerdict {
  if (outbound.kind === 'pass' || verdict.verdict === 'deny') return verdict
  const { rule, reason } = outbound
  if (outbound.kind === 'deny') return { ...verdict, verdict: 'deny', autonomy: 0, rule, reason }
  return verdict.verdict === 'run' ? { ...verdict, verdict: 'ask', autonomy: 1, rule, reason } : verdict
}

export type CleanArgs =
  | { readonly kind: 'clean'; readonly args: JsonValue; readonly leaks: readonly string[] }
  | { readonly kind: 'failed'; readonly reason: string }

/** Arguments as a row may hold them: without secrets, and without what a policy's patterns take out. Never throws. */
export function cleanArgs(args: JsonValue, privacy: CompiledPrivacy, redactor: Redactor): CleanArgs {
  try {
    const { value, removed } = redactor.json(args)
    const redacting = privacy.patterns.filter(({ action }) => action === 'redact')
    const clean = mapStrings(value, (text) =>
      replaced(text, apart(patternFindings(redacting, text)), (one) => `[private: ${one.kind}]`),
    )
    return { kind: 'clean', args: clean ?? null, leaks: removed }
  } catch (error) {
    return {
      kind: 'failed',
      reason: isGuildError(error) ? error.message : 'the privacy guard failed, so nothing passes',
    }
  }
}

function heldIn(args: JsonObject, classes: ReadonlySet<DetectorClass>, redactor: Redactor): string | null {
  if (classes.size === 0) return null
  let held: string | null = null
  mapStrings(args, (text) => {
    held ??= redactor.find(text, classes)[0]?.kind ?? null
    return text
  })
  return held
}

function isDataClass(one: string): one is DataClass {
  return dataClasses.some((known) => known === one)
}

function isDetectorClass(one: string): one is DetectorClass {
  return detectorClasses.some((known) => known === one)
}
