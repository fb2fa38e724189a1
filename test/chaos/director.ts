import { setTimeout as delay } from 'node:timers/promises'
import type { FaultKind } from './fault.ts'
import { Random } from './random.ts'
import type { World } from './world.ts'

/** One fault that happened; times are performance.now(). */
export interface Fault {
  readonly kind: string
  readonly what: string
  readonly beganMs: number
  readonly overMs: number
}

export interface DirectorOptions {
  readonly planned: readonly FaultKind[]
  readonly seed: number
  /** no new fault after this, performance.now() */
  readonly untilMs: number
  readonly onFault: (fault: Pick<Fault, 'kind' | 'what'>, number: number) => void
}

const gapMs = { min: 600, max: 2_500 } as const
/** as guessed before the first faults have shown it: a process takes two seconds to start */
const usualMs = 4_500

/**
 * Inflicts one fault after the other, and paces the deliveries so that the last ones are sent about when the last fault is over: faults
 * are to hit work.
 */
export async function direct(world: World, options: DirectorOptions): Promise<readonly Fault[]> {
  const { planned, seed, untilMs, onFault } = options
  const { deliveries } = world
  const beganMs = performance.now()
  const faults: Fault[] = []
  const open: Promise<void>[] = []
  for (const [index, kind] of planned.entries()) {
    if (performance.now() > untilMs) break
    const averageMs = index < 5 ? usualMs : (performance.now() - beganMs) / index
    const leftSeconds = ((planned.length - index) * averageMs) / 1_000
    deliveries.pace((world.deliveriesMax - deliveries.allowed) / leftSeconds)
    // A random of its own for each fault: how long another one lasted changes nothing in this one.
    const random = new Random(seed * 1_000 + index)
    await delay(random.between(gapMs.min, gapMs.max))
    const asked = performance.now()
    const { what, over, beganMs: struck = asked } = await kind.inflict(world, random)
    onFault({ kind: kind.name, what }, index + 1)
    const end = async () => {
      await over
      faults.push({ kind: kind.name, what, beganMs: struck, overMs: performance.now() })
    }
    const ended = end()
    if (kind.beside) open.push(ended)
    else await ended
  }
  await Promise.all(open)
  return faults.sort((a, b) => a.beganMs - b.beganMs)
}
