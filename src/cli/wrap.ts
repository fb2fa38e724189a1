import stringWidth from 'string-width'

/** Lines of at most `width` columns, broken between words where that is possible. Line ends stay. */
export function wrap(text: string, width: number): readonly string[] {
  return text.split('\n').flatMap((line) => wrapLine(line.trimEnd(), Math.max(20, width)))
}

function wrapLine(line: string, width: number): readonly string[] {
  if (stringWidth(line) <= width) return [line]
  // What is indented stays indented: lists and code read as such.
  const indent = /^\s*(?:[-*] )?/.exec(line)?.[0].length ?? 0
  const hang = ' '.repeat(Math.min(indent, 12))
  const lines: string[] = []
  let now = ''
  for (const word of line.split(/(?<= )/)) {
    for (const piece of pieces(word, width - hang.length)) {
      if (now !== '' && stringWidth(`${now}${piece.trimEnd()}`) > width) {
        lines.push(now.trimEnd())
        now = hang
      }
      now += piece
    }
  }
  return now.trim() === '' ? lines : [...lines, now.trimEnd()]
}

/** A word longer than a line, such as an address or a hash. */
function pieces(word: string, width: number): readonly string[] {
  if (stringWidth(word) <= width) return [word]
  const out: string[] = []
  let now = ''
  for (const { segment } of new Intl.Segmenter().segment(word)) {
    if (stringWidth(now + segment) > width) {
      out.push(now)
      now = ''
    }
    now += segment
  }
  return [...out, now]
}
