import type { Detector, Finding } from './finding.ts'

/** Of a key whose end is missing (cut by a limit), so much of what follows is taken. */
const bodyLengthMax = 16_384
const beginMark = '-----BEGIN '
const beginKey = /-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----/y
/** Also the escapes of a key inside quoted JSON. */
const bodyCharacter = /[A-Za-z0-9+/=\s\\:,-]/

/** PEM and OpenPGP private keys. Certificates and public keys are no secrets. */
export const pemKeys: Detector = {
  class: 'secrets',
  find(text) {
    const found: Finding[] = []
    let endMark = -2 // not looked for yet; it only moves forward, so that many beginnings cost one search
    for (let at = text.indexOf(beginMark); at >= 0; at = text.indexOf(beginMark, at + 1)) {
      beginKey.lastIndex = at
      const begin = beginKey.exec(text)
      if (!begin) continue
      const body = at + begin[0].length
      if (endMark !== -1 && endMark < body) endMark = text.indexOf('-----END ', body)
      const end = endMark >= 0 && endMark - body <= bodyLengthMax ? afterMark(text, endMark) : bodyEnd(text, body)
      found.push({ start: at, end, class: 'secrets', kind: 'private-key' })
      at = end - 1
    }
    return found
  },
}

function afterMark(text: string, endMark: number): number {
  const close = text.slice(endMark + 9, endMark + 90).indexOf('-----')
  return close < 0 ? Math.min(text.length, endMark + 9) : endMark + 9 + close + 5
}

function bodyEnd(text: string, from: number): number {
  let at = from
  while (at < text.length && at - from < bodyLengthMax && bodyCharacter.test(text[at] ?? '')) at += 1
  return at
}

/** Three parts of base64url, of which the first two are JSON objects. */
export const webTokens: Detector = {
  class: 'secrets',
  find(text) {
    const found: Finding[] = []
    for (let at = text.indexOf('eyJ'); at >= 0;) {
      const head = runEnd(text, at)
      const payload = text[head] === '.' && text.startsWith('eyJ', head + 1) ? runEnd(text, head + 1) : head
      // The signature may have been cut off; the claims alone are private enough.
      const end = payload > head && text[payload] === '.' ? runEnd(text, payload + 1) : payload
      if (payload > head && head - at >= 10) found.push({ start: at, end, class: 'secrets', kind: 'jwt' })
      at = text.indexOf('eyJ', Math.max(end, head))
    }
    return found
  },
}

/** Past the last of the base64url characters that begin at `from`; each is looked at once. */
function runEnd(text: string, from: number): number {
  let at = from
  while (at < text.length && isBase64Url(text.charCodeAt(at))) at += 1
  return at
}

function isBase64Url(code: number): boolean {
  return (
    (code >= 97 && code <= 122) ||
    (code >= 65 && code <= 90) ||
    (code >= 48 && code <= 57) ||
    code === 95 ||
    code === 45
  )
}
