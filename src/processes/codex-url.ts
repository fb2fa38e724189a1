import { fileURLToPath } from 'node:url'
import type { Settings } from '../config/settings.ts'

/** CODEX_URL, else the sample Codex that comes with the product. */
export function codexUrl(settings: Pick<Settings, 'codexUrl'>): string {
  return settings.codexUrl ?? fileURLToPath(new URL('../../codex', import.meta.url))
}
