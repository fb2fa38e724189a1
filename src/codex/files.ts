import { codexFolders, rootFiles } from './documents.ts'
import type { CodexProblem } from './snapshot.ts'

export const fileBytesMax = 1024 * 1024
export const filesMax = 5_000
export const codexBytesMax = 32 * 1024 * 1024

/** The texts of one commit, by path inside the Codex, and what could not be taken in. */
export interface CodexFiles {
  readonly commit: string
  readonly files: ReadonlyMap<string, string>
  readonly problems: readonly CodexProblem[]
}

/** A file before it is read. */
export interface Found {
  readonly path: string
  readonly bytes: number
  readonly kind: 'file' | 'link' | 'other'
}

/** Which of the files found belong to a Codex, within the limits; strangers are named once. */
export function selectFiles<T extends Found>(
  found: readonly T[],
): { readonly selected: readonly T[]; readonly problems: readonly CodexProblem[] } {
  const problems: CodexProblem[] = []
  const strangers = new Set<string>()
  const selected: T[] = []
  let bytes = 0
  for (const file of found.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    const [top = ''] = file.path.split('/')
    const known = file.path.includes('/') ? codexFolders.includes(top) : Object.hasOwn(rootFiles, file.path)
    if (!known) {
      if (!harmless.test(top)) strangers.add(top)
    } else if (file.kind !== 'file') {
      problems.push(error(file.path, 'is a link or a submodule; a Codex holds plain files only'))
    } else if (file.bytes > fileBytesMax) {
      problems.push(error(file.path, `is larger than ${fileBytesMax} bytes`))
    } else if (selected.length >= filesMax || bytes + file.bytes > codexBytesMax) {
      problems.push(error(file.path, `is too much: at most ${filesMax} files and ${codexBytesMax} bytes`))
      break
    } else {
      bytes += file.bytes
      selected.push(file)
    }
  }
  if (strangers.size > 0) {
    const names = [...strangers].slice(0, 10).join(', ')
    problems.push({
      severity: 'warning',
      file: [...strangers][0] ?? '',
      line: 1,
      message: `not part of a Codex and not read: ${names}${strangers.size > 10 ? ' …' : ''}`,
    })
  }
  return { selected, problems }
}

/** Decodes what was read; bytes that are no UTF-8 text are an error where a text is expected, else ignored. */
export function decodeFiles(
  commit: string,
  contents: readonly { readonly path: string; readonly bytes: Uint8Array }[],
  before: readonly CodexProblem[],
): CodexFiles {
  const files = new Map<string, string>()
  const problems = [...before]
  const decoder = new TextDecoder('utf-8', { fatal: true })
  for (const { path, bytes } of contents) {
    try {
      files.set(path, decoder.decode(bytes).replaceAll('\r\n', '\n'))
    } catch {
      // An image beside an ADR is fine; a manifest must be text.
      if (/\.(ya?ml|md|json|txt)$/.test(path)) problems.push(error(path, 'is not UTF-8 text'))
    }
  }
  return { commit, files, problems }
}

const harmless =
  /^(\..*|readme.*|licen[cs]e.*|changelog.*|contributing.*|codeowners|docs|scripts|package(-lock)?\.json)$/i

function error(file: string, message: string): CodexProblem {
  return { severity: 'error', file, line: 1, message }
}
