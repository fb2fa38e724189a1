/**
 * A part that runs until told to stop: `run` resolves after `signal` has aborted and all that was in flight has settled,
 * and rejects only when it cannot go on. Whatever drives it (monolith, pod, test) is outside.
 */
export interface Service {
  readonly name: string
  run(signal: AbortSignal): Promise<void>
}
