import { type Detector, entropy, type Finding, matchAt } from './finding.ts'

/**
 * Secrets without a shape of their own, known by what stands before them: `API_KEY=…`, `"password": "…"`, `Authorization: Bearer …`,
 * `postgres://user:…@host`. The value must also look like one, so that code which names a password survives.
 */
const marks = /passw|passphrase|pwd|secret|token|credential|key|bearer|basic/gi
/** A key is a secret only by what stands before it: there are keys of caches, of maps and of keyboards. */
const keyOf = /(?:api|access|auth|private|signing|encryption|account)[_-]?$/i
const suffix = '(?:[_-]?(?:value|key|access[_-]?key|text|string|b64|base64|hash|prod|dev|test|live|[0-9]{1,2})){0,2}'
/** From the core of a name on: the rest of the name, a separator, and the value. */
const assigned = new RegExp(
  String.raw`(?:passw(?:or)?d|passphrase|pwd|secret|token|credentials?|key)${suffix}\\?["'\`\]]{0,2}[ \t]{0,4}(?::=|=>|[:=])[ \t]{0,4}\\?["'\`]?([^\s"'\`,;<>(){}[\]\\]{8,256})`,
  'iy',
)
const bearer = /(?:bearer|basic)[ \t]{1,3}([A-Za-z0-9+/_.~=-]{16,2048})/iy
const urlPassword = /:\/\/[^\s:@/?#"'<>]{0,128}:([^\s@/"'<>]{3,256})@/y
/** `https://ghtoken@host`: a user name that long and that random is a token. */
const urlToken = /:\/\/([A-Za-z0-9_-]{20,128})@/y

export const credentials: Detector = {
  class: 'secrets',
  find(text) {
    const found: Finding[] = []
    for (let at = text.indexOf('://'); at >= 0; at = text.indexOf('://', at + 3)) {
      const password = matchAt(text, urlPassword, at, { class: 'secrets', kind: 'url-password' })
      if (password && !isStandIn(password.value)) found.push(password.finding)
      const token = matchAt(text, urlToken, at, { class: 'secrets', kind: 'url-password' })
      if (token && isRandom(token.value)) found.push(token.finding)
    }
    // One search for all names: most texts have none, and a copy in lower case would cost as much again.
    const bearers: Finding[] = []
    let bearerEnd = 0
    marks.lastIndex = 0
    for (let hit = marks.exec(text); hit !== null; hit = marks.exec(text)) {
      const { index } = hit
      const mark = hit[0].toLowerCase()
      // One name may begin inside another: `secretoken`.
      marks.lastIndex = index + 1
      if (mark !== 'bearer' && mark !== 'basic') {
        const finding = assignmentAt(text, index, mark)
        if (finding) found.push(finding)
      } else if (index >= bearerEnd) {
        const match = matchAt(text, bearer, index, { class: 'secrets', kind: 'credential' })
        bearerEnd = match?.finding.end ?? bearerEnd
        if (match && isRandom(match.value)) bearers.push(match.finding)
      }
    }
    found.push(...bearers)
    return found
  },
}

/** What the name of a secret that begins at `at` gives away; `core` is the part of it by which it was found. */
export function assignmentAt(text: string, at: number, core: string): Finding | null {
  if (core === 'key' && !keyOf.test(text.slice(Math.max(0, at - 12), at))) return null
  assigned.lastIndex = at
  const match = assigned.exec(text)
  if (!match) return null
  const [whole, raw = ''] = match
  const value = raw.replace(/[.,:]{1,8}$/, '')
  if (!isCredential(core, value)) return null
  const start = at + whole.length - raw.length
  return { start, end: start + value.length, class: 'secrets', kind: core.startsWith('p') ? 'password' : 'credential' }
}

/** Is `value`, found under the name of a secret, one? Used for text and for members of objects. */
export function isCredential(name: string, value: string): boolean {
  if (value.length < 8 || isStandIn(value) || isReference(value)) return false
  const digit = /\d/.test(value)
  const letter = /[A-Za-z]/.test(value)
  if (/^pass|^pwd/i.test(name)) return (digit && letter) || /[!@#$%^&*~+=?]/.test(value)
  if (value.length < 12) return false
  if (digit && letter) return entropy(value) >= 2.8
  // Random letters alone: long, of both cases, and not words glued together.
  return value.length >= 24 && /[a-z][A-Z]/.test(value) && entropy(value) >= 4
}

const secretName = new RegExp(
  `(?:passw(?:or)?d|passphrase|pwd|secret|token|credentials?|(?:api|access|auth|private|signing|encryption|account)[_-]?key)${suffix}$`,
  'i',
)

/** Does this member's name say that its value is a secret? */
export function isSecretName(name: string): boolean {
  return name.length <= 64 && secretName.test(name) && !/page|next|cursor/i.test(name)
}

/** Letters and digits as dice make them. */
export function isRandom(value: string): boolean {
  return !isStandIn(value) && !isReference(value) && /\d/.test(value) && /[A-Za-z]/.test(value) && entropy(value) >= 3.2
}

/** What people write where a secret would stand. */
export function isStandIn(value: string): boolean {
  return (
    /^(?:[$%{<[*]|x{3,}|\.{3}|-{3}|your|my[-_]|example|changeme|change-me|redacted|placeholder|dummy|insert|replace|todo|null|undefined|true|false|none)/i.test(
      value,
    ) || /^(?:pass(?:word|wd)?|secret|token|user(?:name)?|string|required|optional)$/i.test(value)
  )
}

/** Code, paths, versions, dates and ids of ours that stand behind such a name without being a secret. */
function isReference(value: string): boolean {
  return (
    /^(?:process\.|os\.|env\.|secrets?\.|vars\.|github\.|import\.|self\.|this\.|config\.|settings\.|https?:|file:|\.{0,2}\/|~\/)/i.test(
      value,
    ) ||
    /^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$/.test(value) || // NAME_OF_A_VARIABLE
    /^[A-Za-z_$][A-Za-z_$]*(?:\.[A-Za-z_$]+)+$/.test(value) || // member.of.something
    /^v?\d+\.\d+(?:\.\d+)?(?:[-+][\w.]+)?$/.test(value) || // 1.2.3-rc.1
    /^\d{4}-\d\d-\d\d/.test(value) ||
    /^(?:guild:)?(?:evt|inv|act|ntf|rcv|apr|aud|res|key|dec|msg)_[0-9a-z]{26}$/.test(value)
  )
}
