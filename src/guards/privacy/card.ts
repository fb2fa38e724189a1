import type { Detector } from './finding.ts'

const candidate =
  /(?<![\w.+-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5})(?![\w-]|\.\d)/g

export const cards: Detector = {
  class: 'card',
  find(text) {
    // The groups of the pattern are separators; the value is the whole match.
    const whole = [...text.matchAll(candidate)].filter(([value]) => isCard(value.replaceAll(/[ -]/g, '')))
    return whole.map(({ 0: value, index }) => ({
      start: index,
      end: index + value.length,
      class: 'card',
      kind: 'card',
    }))
  },
}

function isCard(digits: string): boolean {
  return issuer(digits) && luhn(digits)
}

/** Prefix (IIN) and length together: a number of a ticket or a commit that passes Luhn by chance rarely fits both. */
function issuer(digits: string): boolean {
  const { length } = digits
  const first4 = Number(digits.slice(0, 4))
  if (digits.startsWith('4')) return length === 13 || length === 16 // Visa
  if ((first4 >= 5100 && first4 <= 5599) || (first4 >= 2221 && first4 <= 2720)) return length === 16 // Mastercard
  if (/^3[47]/.test(digits)) return length === 15 // American Express
  if (/^(?:30[0-5]|36|38|39)/.test(digits)) return length === 14 // Diners
  if (/^(?:6011|64[4-9]|65)/.test(digits)) return length === 16 // Discover
  if (first4 >= 3528 && first4 <= 3589) return length === 16 // JCB
  return digits.startsWith('62') && length >= 16 // UnionPay
}

function luhn(digits: string): boolean {
  let sum = 0
  for (let index = 0; index < digits.length; index += 1) {
    const digit = Number(digits[digits.length - 1 - index])
    const doubled = digit * 2
    sum += index % 2 === 0 ? digit : doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}
