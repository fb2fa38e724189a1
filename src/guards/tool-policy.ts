import type { ConnectorFile, ToolPin } from '../codex/kinds.ts'
import { definitionHash, definitionProblem, hintedClass, type ToolDefinition } from '../codex/tool-lock.ts'
import { own } from '../kernel/own.ts'

export interface QuarantinedTool {
  readonly tool: string
  readonly why: string
  /** hash of what is offered, or why it has none */
  readonly have: string
  /** hash that a person agreed to, or `nothing` */
  readonly pinned: string
}

export type ToolVerdict =
  | { readonly kind: 'read' }
  | { readonly kind: 'write' }
  | ({ readonly kind: 'quarantined' } & Omit<QuarantinedTool, 'tool'>)

/**
 * May a run call this tool, as it is offered now? (design: runs 4.) What a server of this build says of itself is pinned by the build's
 * version. Of any other server a tool counts only as a person has merged it into `tools.lock.yaml`, to the byte: its description and
 * schemas are text that a model reads, and its hints are claims. The class is the connector's, else the lock's. Pure.
 * @param pin absent: nobody has agreed to it
 */
export function admitTool(
  tool: ToolDefinition & { readonly builtin: boolean },
  pin: ToolPin | undefined,
  connector: ConnectorFile | undefined,
): ToolVerdict {
  const declared = own(connector?.spec.toolAccess, tool.name.slice(tool.name.indexOf('.') + 1))
  if (tool.builtin) return { kind: declared ?? hintedClass(tool) }
  const problem = definitionProblem(tool)
  if (problem !== null) {
    return { kind: 'quarantined', why: problem, have: 'what cannot be pinned', pinned: pin?.hash ?? 'nothing' }
  }
  const have = definitionHash(tool)
  if (!pin) return { kind: 'quarantined', why: 'tools.lock.yaml does not pin it', have, pinned: 'nothing' }
  if (pin.hash !== have) {
    return { kind: 'quarantined', why: 'it has changed since it was pinned', have, pinned: pin.hash }
  }
  return { kind: declared ?? pin.class }
}
