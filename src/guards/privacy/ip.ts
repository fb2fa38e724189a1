import { isIPv4, isIPv6 } from 'node:net'
import { type Detector, matchesOf } from './finding.ts'

const dotted = /(?<![\w.:-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)/g
const colons = /(?<![\w:.])[0-9a-fA-F:]{3,39}(?![\w:])/g
/** Addresses of no one: this machine, none, everybody. */
const nobody = /^(?:127\.|0\.0\.0\.0$|255\.255\.255\.255$|::1?$)/

export const ips: Detector = {
  class: 'ip',
  find(text) {
    const what = { class: 'ip', kind: 'ip' } as const
    return [
      ...matchesOf(text, dotted, what, (value) => isIPv4(value) && !nobody.test(value)),
      ...(text.includes('::') || /(?:[0-9a-fA-F]{1,4}:){7}/.test(text)
        ? matchesOf(text, colons, what, (value) => isIPv6(value) && !nobody.test(value))
        : []),
    ]
  },
}
