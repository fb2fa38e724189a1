import type { Detector, Finding } from './finding.ts'

/** Length by country, of the registry of ISO 13616. */
const lengths: Readonly<Record<string, number>> = Object.fromEntries(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 ' +
    'FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ' +
    'ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ' +
    'ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
)
const head = /(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?=[ A-Z0-9])/g

export const ibans: Detector = {
  class: 'iban',
  find(text) {
    const found: Finding[] = []
    for (const match of text.matchAll(head)) {
      const length = lengths[match[0].slice(0, 2)]
      const read = length === undefined ? null : compact(text, match.index, length)
      if (read && mod97(read.value) === 1) {
        found.push({ start: match.index, end: read.end, class: 'iban', kind: 'iban' })
      }
    }
    return found
  },
}

/** `length` letters and digits from `start` on, over single blanks; null: there are fewer, or the word goes on. */
function compact(text: string, start: number, length: number): { readonly value: string; readonly end: number } | null {
  let value = ''
  let at = start
  for (; at < text.length && value.length < length; at += 1) {
    const character = text[at] ?? ''
    if (/[A-Z0-9]/.test(character)) value += character
    else if (character !== ' ' || text[at - 1] === ' ') return null
  }
  return value.length === length && !/[A-Za-z0-9]/.test(text[at] ?? '') ? { value, end: at } : null
}

/** ISO 7064: country and check digits to the end, letters as 10 to 35, remainder 1. */
function mod97(iban: string): number {
  let rest = 0
  for (const character of iban.slice(4) + iban.slice(0, 4)) {
    for (const digit of String(Number.parseInt(character, 36))) rest = (rest * 10 + Number(digit)) % 97
  }
  return rest
}
