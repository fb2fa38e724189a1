import type { CodexProblem } from './snapshot.ts'
import type { YamlFile } from './yaml-file.ts'

/** Collects what is wrong with one commit, in the order of files and lines. */
export class Report {
  readonly #problems: CodexProblem[] = []

  add(...problems: readonly CodexProblem[]): void {
    this.#problems.push(...problems)
  }
  error(yaml: YamlFile, path: readonly PropertyKey[], message: string): void {
    this.add({ severity: 'error', file: yaml.file, line: yaml.lineOf(path), message })
  }
  warning(yaml: YamlFile, path: readonly PropertyKey[], message: string): void {
    this.add({ severity: 'warning', file: yaml.file, line: yaml.lineOf(path), message })
  }

  get problems(): readonly CodexProblem[] {
    return this.#problems.toSorted((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line))
  }
  get errors(): readonly CodexProblem[] {
    return this.problems.filter(({ severity }) => severity === 'error')
  }
}

/** `routing/events.yaml:12: …`, for people. */
export function problemLine({ file, line, message, severity }: CodexProblem): string {
  return `${file}:${line}: ${severity === 'warning' ? 'warning: ' : ''}${message}`
}
