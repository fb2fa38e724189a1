import { sha256 } from '../kernel/ids.ts'

/** `github.get_pull_request` → `github__get_pull_request`: vendors take [a-zA-Z0-9_-]{1,64}. Two names never become one. */
export function toolName(name: string): string {
  const plain = name.replace('.', '__').replaceAll(/[^\w-]/g, '_')
  return plain.length <= 64 ? plain : `${plain.slice(0, 55)}_${sha256(name).slice(0, 8)}`
}
