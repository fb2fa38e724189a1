import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'

export interface Script {
  /** for errors */
  readonly name: string
  readonly text: string
  /** what EVALSHA calls it */
  readonly sha: string
}

/**
 * Loads a script from `.lua` files beside the code. Redis knows no includes: the files are joined in this order, so that what several
 * scripts share stands in a file of its own. The last one names the script.
 * @example const publish = script(import.meta.url, './shared.lua', './publish.lua')
 */
export function script(base: string, ...files: readonly [string, ...string[]]): Script {
  const text = files.map((file) => readFileSync(new URL(file, base), 'utf8')).join('\n')
  // Not for secrecy: it is the name that Redis gives a script.
  const sha = createHash('sha1').update(text).digest('hex')
  return { name: basename(files.at(-1) ?? '', '.lua'), text, sha }
}
