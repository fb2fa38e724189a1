import { type Detector, type Finding, matchesOf } from './finding.ts'

/** (555) 123-4567 and 555-123-4567, as North America writes them; area and exchange begin with 2 to 9. */
const northAmerican = /(?<![\w.+/-])(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}(?![\w-])/g
/** Without a country code only where a word says that it is a telephone. */
const named =
  /(?:tel|phone|telephone|telefon|mobile|mobil|handy|cell|fax|whatsapp|call)\.?:?[ \t]{0,3}((?:\(?0\d{1,4}\)?)[ /.-]?\d{2,4}(?:[ /.-]?\d{2,4}){1,3})(?![\w-])/gi

export const phones: Detector = {
  class: 'phone',
  find(text) {
    const what = { class: 'phone', kind: 'phone' } as const
    return [...international(text), ...matchesOf(text, northAmerican, what), ...matchesOf(text, named, what)]
  },
}

/** E.164: a plus, then 8 to 15 digits, with single separators or a bracketed zero between them. */
function international(text: string): readonly Finding[] {
  const found: Finding[] = []
  for (let at = text.indexOf('+'); at >= 0; at = text.indexOf('+', at + 1)) {
    if (/[\w+.]/.test(text[at - 1] ?? '') || !/[1-9]/.test(text[at + 1] ?? '')) continue
    let digits = 0
    let end = at + 1
    let look = at + 1
    for (let gap = 0; look < text.length && look - at <= 28; look += 1) {
      const character = text[look] ?? ''
      if (character >= '0' && character <= '9') {
        digits += 1
        gap = 0
        end = look + 1
      } else if (' .-()/'.includes(character) && gap < 2) gap += 1
      else break
    }
    if (digits >= 8 && digits <= 15 && !/\w/.test(text[end] ?? '')) {
      found.push({ start: at, end, class: 'phone', kind: 'phone' })
    }
  }
  return found
}
