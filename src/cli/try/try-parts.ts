import type { Settings } from '../../config/settings.ts'
import type { Rehearsal } from '../../processes/rehearsal.ts'
import type { Client } from '../client.ts'

export interface TryParts {
  readonly rehearsal: Rehearsal
  readonly client: Client
  readonly say: (text: string) => void
  readonly home: string
  readonly settings: Settings
}
