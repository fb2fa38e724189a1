import type { CodexSnapshot, CompiledAgent } from '../codex/snapshot.ts'

export interface CausalLimits {
  /** an agent is woken by causes up to this deep */
  readonly maxDepth: number
  /** runs of all agents that a tree may hold when this agent joins it */
  readonly maxFanOut: number
}

/** The strictest of the manifest and of every policy. */
export function causalLimits(snapshot: Pick<CodexSnapshot, 'policies'>, agent: CompiledAgent): CausalLimits {
  const ceilings = snapshot.policies.flatMap(({ spec }) => spec.causal ?? [])
  const own = agent.manifest.spec.limits.causal
  return {
    maxDepth: Math.min(own.maxDepth, ...ceilings.map(({ maxDepth }) => maxDepth ?? own.maxDepth)),
    maxFanOut: Math.min(own.maxFanOut, ...ceilings.map(({ maxFanOut }) => maxFanOut ?? own.maxFanOut)),
  }
}
