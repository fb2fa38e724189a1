import type { Codex, CodexSnapshot } from '../codex/snapshot.ts'

type Connector = CodexSnapshot['connectors'] extends ReadonlyMap<string, infer File> ? File : never

/**
 * A Codex whose connectors reach nothing but the sandbox, whatever its files say: no address, token or secret of their own, no tool
 * server but the built-in ones, and shadow mode unless the rehearsal says live. For `guild demo` and `guild try`.
 */
export class SealedCodex implements Codex {
  readonly #codex: Codex
  readonly #sealed = new WeakMap<CodexSnapshot, CodexSnapshot>()

  constructor(codex: Codex) {
    this.#codex = codex
  }

  current(): CodexSnapshot {
    return this.#seal(this.#codex.current())
  }

  async at(commit: string): Promise<CodexSnapshot> {
    return this.#seal(await this.#codex.at(commit))
  }

  problems(): ReturnType<Codex['problems']> {
    return this.#codex.problems()
  }

  #seal(snapshot: CodexSnapshot): CodexSnapshot {
    const known = this.#sealed.get(snapshot)
    if (known) return known
    const sealed = sealSnapshot(snapshot)
    this.#sealed.set(snapshot, sealed)
    return sealed
  }
}

export function sealSnapshot(snapshot: CodexSnapshot): CodexSnapshot {
  const connectors = new Map([...snapshot.connectors].map(([name, file]) => [name, sealConnector(file)]))
  return { ...snapshot, connectors }
}

function sealConnector(file: Connector): Connector {
  const { tools, baseUrl: _baseUrl, token: _token, secret: _secret, ...spec } = file.spec
  const builtin = tools && 'builtin' in tools ? { tools } : {}
  return { ...file, spec: { ...spec, ...builtin, mode: 'shadow' } }
}
