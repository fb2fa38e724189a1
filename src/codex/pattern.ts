import { RE2JS } from 're2js'
import { reasonOf } from '../kernel/errors.ts'
import type { Documents } from './documents.ts'
import type { Report } from './report.ts'
import type { CompiledPrivacy, PrivacyPattern } from './snapshot.ts'

/** What a policy adds to the privacy guard: patterns are compiled here, so that a wrong one is an error of the commit, with its line. */
export function compilePrivacy(documents: Documents, report: Report): CompiledPrivacy {
  const patterns: PrivacyPattern[] = []
  const redact = new Set<CompiledPrivacy['redact'][number]>()
  const blocked: CompiledPrivacy['blocked'][number][] = []
  let aboveTarget: CompiledPrivacy['aboveTarget'] = 'ask'
  for (const { file, yaml, value } of documents.Policy) {
    const { privacy } = value.spec
    if (!privacy) continue
    for (const kind of privacy.redact) redact.add(kind)
    if (privacy.aboveTarget === 'deny') aboveTarget = 'deny'
    for (const [index, rule] of privacy.blocked.entries()) {
      const line = yaml.lineOf(['spec', 'privacy', 'blocked', index])
      blocked.push({ ...rule, place: { file, line } })
    }
    for (const [index, { name, regex, action }] of privacy.patterns.entries()) {
      const path = ['spec', 'privacy', 'patterns', index]
      if (patterns.some((other) => other.name === name)) {
        report.error(yaml, [...path, 'name'], `a pattern “${name}” stands above`)
        continue
      }
      const place = { file, line: yaml.lineOf(path) }
      try {
        patterns.push({ name, place, action, find: finder(regex) })
      } catch (error) {
        report.error(yaml, [...path, 'regex'], `the pattern is not valid: ${reasonOf(error)}`)
      }
    }
  }
  return { redact: [...redact], patterns, blocked, aboveTarget }
}

/**
 * RE2: time linear in the text, whatever the pattern; so no look-around and no back references.
 * https://github.com/google/re2/wiki/Syntax
 */
function finder(regex: string): PrivacyPattern['find'] {
  const pattern = RE2JS.compile(regex)
  if (pattern.matcher('').find()) throw new Error('it matches the empty text, and so every text')
  return (text) => {
    const found: { start: number; end: number }[] = []
    const matcher = pattern.matcher(text)
    while (matcher.find()) {
      if (matcher.end() > matcher.start()) found.push({ start: matcher.start(), end: matcher.end() })
    }
    return found
  }
}
