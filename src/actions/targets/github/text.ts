import { z } from 'zod'

/** GitHub refuses bodies above 65 536 characters; the rest is left for markers and escapes (edges 3.3). */
export const bodyCharactersMax = 60_000
const sentCharactersMax = 65_000

/** Text that JSON columns and hashes accept: PostgreSQL has no NUL, canonical JSON no lone surrogate. */
export function text(max: number): z.ZodString {
  return z
    .string()
    .min(1)
    .max(max)
    .overwrite((value) => value.toWellFormed().replaceAll('\0', ''))
}

export const repo = z
  .string()
  .max(140)
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})\/(?!\.{1,2}$)[\w.-]{1,100}$/, 'owner/name')
  .describe('owner/name')
export const issueNumber = z.int().min(1).max(2_147_483_647).describe('number of the issue or pull request')

/** A model's words, made harmless, with the marks by which we find our own work again at the end. */
export function markedBody(words: string, marks: readonly string[]): string {
  const tail = marks.map((mark) => `\n<!-- ${mark} -->`).join('')
  const safe = neutralise(words)
  const room = sentCharactersMax - tail.length
  const cut = safe.length > room ? `${safe.slice(0, room - 20).toWellFormed()}\n\n… (cut)` : safe
  return `${cut}\n${tail}`
}

export function threadMark(agentId: string): string {
  return `guild-thread:${agentId}`
}

export function hasMark(body: string | null, mark: string): boolean {
  return body?.includes(`<!-- ${mark} -->`) ?? false
}

/**
 * Nobody but us may write our marks, and no model may page a team: comments cannot be opened, the marker's words do not stay whole,
 * and mentions of teams and of everybody lose their effect. Code is left alone, where `@scope/package` is a name and not a team.
 */
export function neutralise(words: string): string {
  const unmarked = words.replaceAll('<!--', '&lt;!--').replaceAll(/guild(?=:act_|-thread:)/gi, `$&${zeroWidth}`)
  // HTML, tilde fences and unusual line ends move the borders of code in ways that only a Markdown parser sees.
  if (/<[a-z/!?]|~~~|[\r\u2028\u2029]/i.test(unmarked)) return silence(unmarked)
  return aroundFences(unmarked, (prose) =>
    // So do a backtick that is escaped, doubled or left alone in its line, and a table, whose cells end inside of code.
    /``|[\\|]/.test(prose) || prose.split('\n').some((line) => line.split('`').length % 2 === 0)
      ? silence(prose)
      : prose
          .split(inlineCode)
          .map((part, index) => (index % 2 === 1 ? part : silence(part)))
          .join(''),
  )
}

const zeroWidth = '\u200b'
const inlineCode = /(`[^`\n]+`)/
const loudMention = /(?<!\w)@(?=[\w-]+\/[\w.-]|(?:everyone|here|channel|all)\b)/gi

function silence(words: string): string {
  return words.replaceAll(loudMention, `@${zeroWidth}`)
}

/** Changes what stands outside of fenced code. A fence counts at the very beginning of a line (in no list, no quote), and when it is closed. */
function aroundFences(words: string, change: (prose: string) => string): string {
  const out: string[] = []
  let prose: string[] = []
  let code: string[] = []
  let ticks = 0
  for (const line of words.split('\n')) {
    const [, run = '', rest = ''] = /^(`{3,})([^`]*)$/.exec(line) ?? []
    if (ticks === 0 && run === '') {
      prose.push(line)
      continue
    }
    code.push(line)
    if (ticks === 0) ticks = run.length
    else if (run.length >= ticks && rest.trim() === '') {
      if (prose.length > 0) out.push(change(prose.join('\n')))
      out.push(...code)
      prose = []
      code = []
      ticks = 0
    }
  }
  prose.push(...code)
  return [...out, ...(prose.length > 0 ? [change(prose.join('\n'))] : [])].join('\n')
}
