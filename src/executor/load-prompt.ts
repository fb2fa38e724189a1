import type { Codex, CodexSnapshot, CompiledAgent } from '../codex/snapshot.ts'
import { isGuildError, reasonOf } from '../kernel/errors.ts'
import { sha256 } from '../kernel/ids.ts'
import { failed, type Halt } from './ending.ts'
import type { Journal } from './journal.ts'
import { aStep } from './step.ts'
import { systemText } from './transcript.ts'

export const codexSeq = 0
const attemptsMax = 6

export interface Prompt {
  readonly kind: 'prompt'
  readonly snapshot: CodexSnapshot
  readonly agent: CompiledAgent
}

/** 1. Load prompt: the agent as it was at the commit the run is pinned to, whatever has been merged since. */
export async function loadPrompt(
  codex: Codex,
  journal: Journal,
  delayMs: (failures: number) => number,
): Promise<Prompt | Halt> {
  const { agent_id, codex_commit } = journal.invocation
  const seq = codexSeq
  const attempt = journal.nextAttempt(seq)
  const step = { seq, attempt, kind: 'codex', name: codex_commit, started_at: journal.at } as const
  let snapshot: CodexSnapshot
  try {
    snapshot = await codex.at(codex_commit)
  } catch (error) {
    if (!isGuildError(error)) throw error
    const detail = reasonOf(error)
    await journal.write({ steps: [aStep({ ...step, status: 'FAILED', error: detail })] })
    const ending = failed('CODEX_INVALID', detail)
    if (!error.retryable || attempt >= attemptsMax) return { kind: 'end', ending }
    return { kind: 'wait', delayMs: delayMs(attempt), reason: detail, ending }
  }
  const agent = snapshot.agents.get(agent_id)
  if (!agent)
    return { kind: 'end', ending: failed('CODEX_INVALID', `the Codex at ${codex_commit} has no agent ${agent_id}`) }
  if (!journal.doneAt(seq)) {
    const response = {
      hash: snapshot.hash,
      version: agent.manifest.metadata.version,
      system: sha256(systemText(agent)),
    }
    journal.hold({ steps: [aStep({ ...step, status: 'DONE', response })] })
  }
  return { kind: 'prompt', snapshot, agent }
}
