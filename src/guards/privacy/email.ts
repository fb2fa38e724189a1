import type { Detector, Finding } from './finding.ts'

const domain = /[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?){1,6}/y
const localCharacter = /[\w.%+'-]/
/** `icon@2x.png`, `package@file.js`: names of files. */
const fileEnding = /\.(?:png|jpe?g|gif|svg|webp|js|ts|css|json|map)$/i
/** Nobody reads these; `git@` is how repositories are addressed. */
const nobody = /^(?:git|hg|svn|no-?reply)$/i

export const emails: Detector = {
  class: 'email',
  find(text) {
    const found: Finding[] = []
    for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
      let start = at
      while (start > 0 && at - start < 64 && localCharacter.test(text[start - 1] ?? '')) start -= 1
      while (start < at && /[.'-]/.test(text[start] ?? '')) start += 1
      domain.lastIndex = at + 1
      const [host = ''] = start < at ? (domain.exec(text) ?? []) : []
      if (!/\.[A-Za-z]{2,24}$/.test(host) || fileEnding.test(host) || nobody.test(text.slice(start, at))) continue
      found.push({ start, end: at + 1 + host.length, class: 'email', kind: 'email' })
    }
    return found
  },
}
