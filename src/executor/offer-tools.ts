import { reasonOf } from '../kernel/errors.ts'
import type { LlmTool } from '../llm/llm.ts'
import { handoffOffer } from './hand-off.ts'
import { parallel } from './parallel.ts'
import type { Run } from './run-context.ts'
import { toolName } from './tool-name.ts'

/**
 * What the model may call: the reads that the manifest allows and the server declares as reads, and the actions that it grants, each
 * described by whoever executes it. Sorted by name: the same bytes every time. What cannot be offered is noted once, on the first call.
 * @param reads false: only actions, for providers that never read
 */
export async function offerTools(run: Run, reads: boolean, first: boolean): Promise<readonly LlmTool[]> {
  const { allow, actions } = run.agent.manifest.spec.tools
  if (run.agent.manifest.spec.limits.maxToolCalls === 0) return []
  const missing = (name: string, why: string) => {
    if (!first) return
    const rule = `${run.agent.place.file}#${name}`
    run.journal.note({ stage: 'guard', outcome: 'TOOL_NOT_OFFERED', rule, reason: `${name} is not offered: ${why}` })
  }
  const tools: LlmTool[] = []
  for (const { type } of actions) {
    const described = run.deps.intake.describe(type)
    if (described) tools.push({ name: type, ...described })
    else missing(type, 'no target knows this action')
  }
  const handoff = handoffOffer(run)
  if (handoff) tools.push(handoff)
  if (reads) {
    await parallel(allow, allow.length, async ({ name }) => {
      try {
        const { description, inputSchema } = await run.tools.describe(name, run.signal)
        tools.push({ name: toolName(name), description, inputSchema })
      } catch (error) {
        run.signal.throwIfAborted()
        missing(name, reasonOf(error))
      }
    })
  }
  return tools.sort((a, b) => (a.name < b.name ? -1 : 1))
}
