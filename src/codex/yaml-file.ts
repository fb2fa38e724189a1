import {
  isMap,
  isNode,
  isPair,
  isScalar,
  LineCounter,
  parseAllDocuments,
  type Document,
  type YAMLParseError,
} from 'yaml'
import { reasonOf } from '../kernel/errors.ts'
import type { CodexProblem } from './snapshot.ts'

/** A YAML file whose every member knows its line. */
export interface YamlFile {
  readonly file: string
  readonly value: unknown
  /** the line of a member, or of the nearest one above it that exists; with `key`, the line of that key inside */
  lineOf(path: readonly PropertyKey[], key?: string): number
}

/** Aliases are refused beyond a hundred copies: a kilobyte of YAML can otherwise unfold to gigabytes. */
const aliasesMax = 100

/** Reads one YAML 1.2 document; duplicate keys, several documents and syntax errors are problems with their line. */
export function parseYamlFile(
  file: string,
  text: string,
): { readonly yaml: YamlFile | null; readonly problems: readonly CodexProblem[] } {
  const lines = new LineCounter()
  try {
    const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false })
    const [document, second] = Array.isArray(documents) ? documents : []
    if (!document) return failed(file, 1, 'the file is empty')
    if (second) return failed(file, at(lines, second.range[0]), 'one document per file; this begins a second one')
    if (document.errors.length > 0) {
      return {
        yaml: null,
        problems: document.errors.map((error) => ({
          severity: 'error',
          file,
          line: at(lines, error.pos[0]),
          message: wordsOf(error),
        })),
      }
    }
    const value: unknown = document.toJS({ maxAliasCount: aliasesMax })
    return {
      yaml: { file, value, lineOf: (path, key) => at(lines, offsetOf(document, path, key)) },
      problems: [],
    }
  } catch (error) {
    // Aliases beyond the limit, or nesting deeper than the stack.
    return failed(file, 1, `it cannot be read: ${reasonOf(error)}`)
  }
}

/** The commonest mistake in YAML has the least helpful message. */
function wordsOf({ code, message }: YAMLParseError): string {
  const plain = message.replaceAll(/\s+/g, ' ')
  return code === 'BLOCK_AS_IMPLICIT_KEY' ? `${plain}; a text that holds “: ” needs quotes` : plain
}

function failed(file: string, line: number, message: string): ReturnType<typeof parseYamlFile> {
  return { yaml: null, problems: [{ severity: 'error', file, line, message }] }
}

function at(lines: LineCounter, offset: number): number {
  return Math.max(1, lines.linePos(offset).line)
}

function offsetOf(document: Document, path: readonly PropertyKey[], key: string | undefined): number {
  let node: unknown = document.contents
  let offset = start(node) ?? 0
  for (const step of key === undefined ? path : [...path, key]) {
    let next: unknown
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === String(step))
      // The key's line, not the value's: `spec:` stands above what it holds.
      offset = start(pair?.key) ?? offset
      next = pair?.value
    } else if (typeof node === 'object' && node !== null && 'items' in node && Array.isArray(node.items)) {
      next = node.items[Number(step)]
      offset = start(next) ?? offset
    }
    if (next === undefined || next === null) break
    node = next
  }
  return offset
}

function start(node: unknown): number | null {
  return isNode(node) && node.range ? node.range[0] : null
}
